//! Where the files of a control group are: from /proc/PID/cgroup and /proc/PID/mountinfo.

use super::{LEVELS_MAX, Level, Version};

/// How long the path of a group may be, bytes: `PATH_MAX`.
const PATH_BYTES_MAX: usize = 4_096;

/// The groups of a process, the text of /proc/PID/cgroup: `ID:CONTROLLERS:PATH` a line.
#[derive(Clone, Copy, Debug)]
pub struct Memberships<'a> {
    text: &'a str,
}

/// Where hierarchies are mounted: what the text of /proc/PID/mountinfo says of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    mounts: Vec<Mount>,
}

/// One hierarchy, or a part of one, at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    version: Version,
    /// What of version 1 is in it, among other words.
    options: String,
    /// The group that is at the mount point.
    top: String,
    /// Where it is mounted.
    point: String,
}

impl<'a> Memberships<'a> {
    /// Takes the text of /proc/PID/cgroup.
    pub const fn parse(text: &'a str) -> Self {
        Self { text }
    }

    /// The kind and the path of the group that `controller` counts the process to. Where both versions
    /// are used, a controller is in one of them: the first if that has it.
    pub fn of(&self, controller: &str) -> Option<(Version, &'a str)> {
        let lines = || {
            self.text.lines().filter_map(|line| {
                let mut parts = line.splitn(3, ':');
                let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
                Some((controllers, path))
            })
        };
        let first =
            lines().find(|(controllers, _)| controllers.split(',').any(|it| it == controller));
        let second = || lines().find(|(controllers, _)| controllers.is_empty());
        match first {
            Some((_, path)) => Some((Version::V1, path)),
            None => second().map(|(_, path)| (Version::V2, path)),
        }
    }
}

impl Mounts {
    /// Reads the text of /proc/PID/mountinfo (`man 5 proc_pid_mountinfo`).
    pub fn parse(text: &str) -> Self {
        Self {
            mounts: text.lines().filter_map(parse_mount).collect(),
        }
    }

    /// A group and those that it is in, the innermost first, as far as they are mounted; `None` if the
    /// group itself is not. Without any mount that is known they are where everybody has them.
    pub fn levels(&self, version: Version, controller: &str, path: &str) -> Option<Vec<Level>> {
        let usual = Mount {
            version,
            options: controller.to_owned(),
            top: "/".to_owned(),
            point: match version {
                Version::V1 => format!("/sys/fs/cgroup/{controller}"),
                Version::V2 => "/sys/fs/cgroup".to_owned(),
            },
        };
        let mounts = if self.mounts.is_empty() {
            std::slice::from_ref(&usual)
        } else {
            &self.mounts
        };
        mounts
            .iter()
            .filter(|mount| mount.has(version, controller))
            .find_map(|mount| mount.levels(path))
    }
}

impl Mount {
    fn has(&self, version: Version, controller: &str) -> bool {
        let is_in_it = || self.options.split(',').any(|option| option == controller);
        self.version == version && (version == Version::V2 || is_in_it())
    }

    fn levels(&self, path: &str) -> Option<Vec<Level>> {
        let below = match path.strip_prefix(self.top.trim_end_matches('/')) {
            Some(below) if below.is_empty() || below.starts_with('/') => below,
            _ => return None,
        };
        // Above the reader's own namespace of groups there is nothing to be seen.
        if below.len() > PATH_BYTES_MAX || below.split('/').any(|part| part == "..") {
            return None;
        }
        let mut below = below.trim_end_matches('/');
        let mut levels = Vec::new();
        while levels.len() < LEVELS_MAX {
            let top = self.top.trim_end_matches('/');
            let path = format!("{top}{below}");
            levels.push(Level {
                path: if path.is_empty() {
                    "/".to_owned()
                } else {
                    path
                },
                directory: format!("{}{below}", self.point),
            });
            let Some((above, _)) = below.rsplit_once('/') else {
                break;
            };
            below = above;
        }
        Some(levels)
    }
}

/// `36 25 0:31 TOP POINT rw,… shared:1 - TYPE SOURCE OPTIONS`.
fn parse_mount(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (top, point) = (left.next()?, left.next()?);
    let mut right = right.split(' ');
    let version = match right.next()? {
        "cgroup" => Version::V1,
        "cgroup2" => Version::V2,
        _ => return None,
    };
    Some(Mount {
        version,
        options: right.nth(1).unwrap_or_default().to_owned(),
        top: unescaped(top),
        point: unescaped(point),
    })
}

/// The kernel writes a blank, a tab, a line break and a backslash as `\` and three octal digits.
fn unescaped(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
9:name=systemd:/
8:pids:/
4:memory:/api/834d8b
3:cpu,cpuacct:/
0::/
";

    fn directories(mounts: &Mounts, version: Version, controller: &str, path: &str) -> Vec<String> {
        let levels = mounts.levels(version, controller, path).unwrap_or_default();
        levels.into_iter().map(|level| level.directory).collect()
    }

    #[test]
    fn a_controller_is_in_one_version() {
        let groups = Memberships::parse(HYBRID);
        assert_eq!(groups.of("memory"), Some((Version::V1, "/api/834d8b")));
        assert_eq!(groups.of("cpuacct"), Some((Version::V1, "/")));
        assert_eq!(groups.of("io"), Some((Version::V2, "/")));
        let second = Memberships::parse("0::/a:b.slice/c\n");
        assert_eq!(second.of("memory"), Some((Version::V2, "/a:b.slice/c")));
        for odd in ["", "memory", "4:memory", "\n\n"] {
            assert_eq!(Memberships::parse(odd).of("memory"), None);
        }
    }

    #[test]
    fn every_group_on_the_way_up_binds() {
        let mounts = Mounts::parse(
            "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
        );
        let found = directories(&mounts, Version::V2, "memory", "/shop.slice/web.service");
        assert_eq!(
            found,
            [
                "/sys/fs/cgroup/shop.slice/web.service",
                "/sys/fs/cgroup/shop.slice",
                "/sys/fs/cgroup"
            ]
        );
        let root = mounts.levels(Version::V2, "memory", "/").unwrap();
        assert_eq!(root.len(), 1);
        assert_eq!(
            (&*root[0].path, &*root[0].directory),
            ("/", "/sys/fs/cgroup")
        );
    }

    #[test]
    fn a_container_sees_a_part_of_a_hierarchy_at_its_top() {
        // Version 1 without a namespace of groups: the path is the host's, the mount is a part of it.
        let mounts = Mounts::parse(
            "700 690 0:33 /docker/3f /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
             701 690 0:34 /docker/3f /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n",
        );
        let found = directories(&mounts, Version::V1, "memory", "/docker/3f/inner");
        assert_eq!(
            found,
            ["/sys/fs/cgroup/memory/inner", "/sys/fs/cgroup/memory"]
        );
        let levels = mounts.levels(Version::V1, "memory", "/docker/3f").unwrap();
        assert_eq!(levels[0].path, "/docker/3f");
        // What is mounted is not what the process is in.
        assert_eq!(mounts.levels(Version::V1, "memory", "/docker/3f2"), None);
        assert_eq!(mounts.levels(Version::V1, "memory", "/user"), None);
        assert_eq!(mounts.levels(Version::V1, "pids", "/docker/3f"), None);
        assert_eq!(mounts.levels(Version::V2, "memory", "/docker/3f"), None);
    }

    #[test]
    fn groups_outside_of_the_namespace_are_not_seen() {
        let mounts = Mounts::parse("1 1 0:1 / /sys/fs/cgroup rw - cgroup2 none rw\n");
        assert_eq!(mounts.levels(Version::V2, "memory", "/../web"), None);
        assert!(mounts.levels(Version::V2, "memory", "/..web").is_some());
    }

    #[test]
    fn without_mounts_groups_are_at_their_usual_place() {
        let none = Mounts::parse("odd\n1 2 3 - tmpfs x y\n");
        assert_eq!(none, Mounts::default());
        let found = directories(&none, Version::V1, "pids", "/");
        assert_eq!(found, ["/sys/fs/cgroup/pids"]);
        let found = directories(&none, Version::V2, "pids", "/a");
        assert_eq!(found, ["/sys/fs/cgroup/a", "/sys/fs/cgroup"]);
    }

    #[test]
    fn the_way_up_ends() {
        let deep = "/x".repeat(1_000);
        let levels = Mounts::default().levels(Version::V2, "memory", &deep);
        assert_eq!(levels.map(|levels| levels.len()), Some(LEVELS_MAX));
    }

    #[test]
    fn blanks_in_a_path_come_back() {
        assert_eq!(unescaped(r"/a\040b\134c"), r"/a b\c");
        let mounts = Mounts::parse("1 1 0:1 / /my\\040groups rw - cgroup2 none rw\n");
        assert_eq!(
            directories(&mounts, Version::V2, "memory", "/"),
            ["/my groups"]
        );
    }
}
