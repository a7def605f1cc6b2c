//! What the control groups of a process allow and how much of it is used (`man 7 cgroups`).
//!
//! A group is a directory below a mount point, and its limits bind together with those of every group
//! that it is in:
//!
//! ```text
//!  /proc/PID/cgroup        0::/shop.slice/web.service     version 2, all controllers in one hierarchy
//!                          4:memory:/docker/3f…           version 1, one hierarchy for each
//!  /proc/self/mountinfo    where a hierarchy is mounted, and which part of it
//!  memory.max              version 2          memory.limit_in_bytes    version 1
//! ```

mod paths;

use std::path::Path;

pub use paths::{Memberships, Mounts};

use super::{
    Bounds, Known, Unknown,
    directory::{Directory, text_below},
    unknown::parse_number,
};

/// How far up the groups are looked at.
const LEVELS_MAX: usize = 32;

/// Version 1 writes the most bytes that its counter can hold, in whole pages, for "no limit".
const UNLIMITED_MIN: u64 = 1 << 62;

/// The control groups of one process, as far as they bound connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Memory, which the memory of sockets in the kernel is counted to.
    pub memory: Known<MemoryGroup>,
    /// Processes and threads.
    pub pids: Known<PidsGroup>,
}

/// Which kind of control groups it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy for each controller.
    V1,
    /// One for all.
    V2,
}

/// The group that the memory of a process is counted to. What is missing here, the kernel or the root
/// group does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryGroup {
    /// Of which kind it is.
    pub version: Version,
    /// It and the groups that it is in, the innermost first; each binds. Bytes.
    pub levels: Vec<GroupLevel>,
    /// From where on the innermost is slowed down, bytes; version 2 alone has it.
    pub high_bytes: Known<u64>,
    /// Memory of sockets, bytes.
    pub socket_bytes: Known<u64>,
    /// Memory of the kernel in small objects, of which sockets and descriptors are, bytes.
    pub slab_bytes: Known<u64>,
    /// All memory of the kernel, bytes.
    pub kernel_bytes: Known<u64>,
    /// Processes of the group that were killed for lack of memory.
    pub oom_kills_count: Known<u64>,
    /// How often memory was asked for and not there within the limit.
    pub refusals_count: Known<u64>,
}

/// The group that counts the processes and threads of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PidsGroup {
    /// Of which kind it is.
    pub version: Version,
    /// It and the groups that it is in, the innermost first; each binds.
    pub levels: Vec<GroupLevel>,
}

/// What one group may have of something, and what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLevel {
    /// Where it is in its hierarchy.
    pub path: String,
    /// What it may have at most; [`Bounds::UNLIMITED`] is no limit.
    pub max: Known<u64>,
    /// What it has, with the groups in it; of memory, without what the kernel takes back before it refuses
    /// anything, which is most of what reading and writing files has left there.
    pub current: Known<u64>,
}

impl Cgroup {
    /// Reads both groups.
    pub(super) fn of(directory: &Directory) -> Self {
        let root = directory.root();
        let memberships = directory.text("cgroup");
        let mounts = text_below(root, "/proc/self/mountinfo");
        let mounts = Mounts::parse(mounts.as_deref().unwrap_or_default());
        let group = |controller: &str| {
            let text = memberships.as_deref().map_err(Clone::clone)?;
            let (version, path) = Memberships::parse(text)
                .of(controller)
                .ok_or_else(|| Unknown::Absent(format!("{controller} in /proc/PID/cgroup")))?;
            let levels = mounts.levels(version, controller, path);
            let levels = levels.ok_or_else(|| {
                Unknown::Absent(format!("the control group {path}, seen from here,"))
            })?;
            Ok((version, levels))
        };
        Self {
            memory: group("memory")
                .map(|(version, levels)| MemoryGroup::read(root, version, &levels)),
            pids: group("pids").map(|(version, levels)| PidsGroup {
                version,
                levels: GroupLevel::read(root, &levels, "pids.max", "pids.current"),
            }),
        }
    }
}

impl MemoryGroup {
    /// The level that leaves least of its limit, with that rest in bytes; none without a limit.
    pub fn tightest(&self) -> Option<(&GroupLevel, u64)> {
        GroupLevel::tightest(&self.levels)
    }

    fn read(root: &Path, version: Version, levels: &[Level]) -> Self {
        let file = |name: &str| {
            let innermost = levels.first().map_or("", |level| &*level.directory);
            format!("{innermost}/{name}")
        };
        let number = |name: &str| read_number(root, &file(name));
        let fields = |name: &str| Fields::read(root, file(name));
        let [sockets, slab, kernel, kills, refusals] = match version {
            Version::V2 => {
                // Read once: the kernel adds up what its cores counted for it.
                let (stat, events) = (fields("memory.stat"), fields("memory.events"));
                [
                    stat.number("sock"),
                    stat.number("slab"),
                    stat.number("kernel"),
                    events.number("oom_kill"),
                    events.number("max"),
                ]
            }
            Version::V1 => [
                number("memory.kmem.tcp.usage_in_bytes"),
                Err(Unknown::Absent(
                    "slab in control groups of version 1".to_owned(),
                )),
                number("memory.kmem.usage_in_bytes"),
                fields("memory.oom_control").number("oom_kill"),
                number("memory.failcnt"),
            ],
        };
        let (mut groups, high) = match version {
            Version::V2 => (
                GroupLevel::read(root, levels, "memory.max", "memory.current"),
                number("memory.high"),
            ),
            Version::V1 => (
                GroupLevel::read(
                    root,
                    levels,
                    "memory.limit_in_bytes",
                    "memory.usage_in_bytes",
                ),
                Err(Unknown::Absent(
                    "high in control groups of version 1".to_owned(),
                )),
            ),
        };
        for (group, level) in groups.iter_mut().zip(levels) {
            let stat = fields_of(root, &level.directory);
            group.current = group.current.clone().map(|current| {
                let fields = reclaimable_fields(version).iter();
                let bytes = fields.filter_map(|field| stat.number(field).ok());
                current.saturating_sub(bytes.sum())
            });
        }
        Self {
            version,
            levels: groups,
            high_bytes: high,
            socket_bytes: sockets,
            slab_bytes: slab,
            kernel_bytes: kernel,
            oom_kills_count: kills,
            refusals_count: refusals,
        }
    }
}

impl PidsGroup {
    /// The level that leaves least of its limit, with that rest; none without a limit.
    pub fn tightest(&self) -> Option<(&GroupLevel, u64)> {
        GroupLevel::tightest(&self.levels)
    }
}

impl GroupLevel {
    fn read(root: &Path, levels: &[Level], max: &str, current: &str) -> Vec<Self> {
        let number =
            |level: &Level, name| read_number(root, &format!("{}/{name}", level.directory));
        levels
            .iter()
            .map(|level| Self {
                path: level.path.clone(),
                max: number(level, max),
                current: number(level, current),
            })
            .collect()
    }

    fn tightest(levels: &[Self]) -> Option<(&Self, u64)> {
        let left = |level: &Self| match (&level.max, &level.current) {
            (Ok(max), Ok(current)) if *max != Bounds::UNLIMITED => {
                Some(max.saturating_sub(*current))
            }
            _ => None,
        };
        let limited = levels
            .iter()
            .filter_map(|level| Some((level, left(level)?)));
        limited.min_by_key(|(_, left)| *left)
    }
}

/// One group on the way up: where it is in its hierarchy, and where its files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// Its path in the hierarchy.
    pub path: String,
    /// The directory of its files.
    pub directory: String,
}

fn fields_of(root: &Path, directory: &str) -> Fields {
    Fields::read(root, format!("{directory}/memory.stat"))
}

/// What of the memory of a group the kernel takes back when it needs it, by the names of memory.stat.
const fn reclaimable_fields(version: Version) -> &'static [&'static str] {
    match version {
        Version::V2 => &["inactive_file", "slab_reclaimable"],
        Version::V1 => &["total_inactive_file"],
    }
}

/// A file that holds one number, or what stands for no limit.
fn read_number(root: &Path, path: &str) -> Known<u64> {
    match text_below(root, path)?.trim() {
        "max" => Ok(Bounds::UNLIMITED),
        text => parse_number(path, text).map(or_unlimited),
    }
}

const fn or_unlimited(value: u64) -> u64 {
    if value >= UNLIMITED_MIN {
        Bounds::UNLIMITED
    } else {
        value
    }
}

/// A file with a line `NAME VALUE` for each value.
struct Fields {
    path: String,
    text: Known<String>,
}

impl Fields {
    fn read(root: &Path, path: String) -> Self {
        Self {
            text: text_below(root, &path),
            path,
        }
    }

    fn number(&self, name: &str) -> Known<u64> {
        let text = self.text.as_ref().map_err(Clone::clone)?;
        let place = format!("{name} in {}", self.path);
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        match value {
            Some(value) => parse_number(&place, value),
            None => Err(Unknown::Absent(place)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_whole_name() {
        let fields = Fields {
            path: "/m".to_owned(),
            text: Ok("anon 1\nsock 4096\nslab_reclaimable 7\nslab 12\nkernel x\n".to_owned()),
        };
        let field = |name| fields.number(name);
        assert_eq!(field("sock"), Ok(4096));
        assert_eq!(field("slab"), Ok(12));
        assert!(matches!(field("kernel"), Err(Unknown::Odd { .. })));
        assert_eq!(field("k"), Err(Unknown::Absent("k in /m".to_owned())));
    }

    #[test]
    fn version_1_has_a_number_for_no_limit() {
        assert_eq!(or_unlimited(9_223_372_036_854_771_712), Bounds::UNLIMITED);
        assert_eq!(or_unlimited(1 << 40), 1 << 40);
    }

    #[test]
    fn the_level_that_leaves_least_binds() {
        let level = |path: &str, max, current| GroupLevel {
            path: path.to_owned(),
            max: Ok(max),
            current: Ok(current),
        };
        let mut group = PidsGroup {
            version: Version::V2,
            levels: vec![
                level("/a/b", Bounds::UNLIMITED, 10),
                level("/a", 100, 90),
                level("/", 50, 20),
            ],
        };
        let tightest = group.tightest().map(|(level, left)| (&*level.path, left));
        assert_eq!(tightest, Some(("/a", 10)));
        group.levels.truncate(1);
        assert_eq!(group.tightest(), None);
    }
}
