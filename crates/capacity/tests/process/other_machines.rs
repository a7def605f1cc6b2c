//! Kernels old and new, containers open and closed, and files with lines that nobody expects.

use fourtuple_capacity::process::{
    Bounds, Counted, DESCRIPTORS_LISTED_MAX, Holders, Known, Network, Pid, Process, Unknown,
    cgroup::Version,
};

use crate::tree::Tree;

const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units     
Max stack size            8388608              unlimited            bytes     
Max processes             31366                31366                processes 
Max open files            1024                 524288               files     
Max locked memory         65536                65536                bytes     
Max address space         unlimited            unlimited            bytes     
";

/// Linux 3.10: no `NSpid`, no `RssAnon`.
const STATUS_OLD: &str = "\
Name:\tnginx
State:\tS (sleeping)
Tgid:\t7
Pid:\t7
PPid:\t1
TracerPid:\t0
Uid:\t0\t0\t0\t0
Gid:\t0\t0\t0\t0
FDSize:\t64
VmPeak:\t   46312 kB
VmLck:\t       0 kB
VmPin:\t       0 kB
VmRSS:\t    2048 kB
Threads:\t1
SigQ:\t0/31366
";

fn status(numbers: &str) -> String {
    format!("Name:\tweb\nState:\tR (running)\nPPid:\t1\nNSpid:\t{numbers}\nThreads:\t9\n")
}

fn is_absent<T>(known: &Known<T>) -> bool {
    matches!(known, Err(Unknown::Absent(_)))
}

#[test]
fn an_old_kernel_says_less_and_the_rest_is_read() {
    let tree = Tree::new();
    tree.file("proc/7/limits", LIMITS)
        .file("proc/7/status", STATUS_OLD)
        .file("proc/7/cmdline", "nginx: worker process\0")
        .file("proc/7/oom_score_adj", "-1000\n")
        .file("proc/7/environ", "HOME=/\0")
        .link("proc/7/exe", "/usr/sbin/nginx (deleted)")
        .link("proc/7/fd/0", "/dev/null")
        .link("proc/7/fd/1", "pipe:[90]")
        .link("proc/7/fd/10", "socket:[4001]")
        .link("proc/7/fd/9", "socket:[4002]");
    let process = tree.read(7);
    let nofile = Bounds {
        soft: 1_024,
        hard: 524_288,
    };
    assert_eq!(process.limits.open_files, Ok(nofile));
    assert_eq!(process.status.resident_bytes, Ok(2 << 20));
    assert!(is_absent(&process.status.anonymous_bytes));
    assert!(is_absent(&process.status.numbers));
    assert_eq!(process.oom_score_adj, Ok(-1_000));
    assert_eq!(process.program(), "nginx");
    let descriptors = process.descriptors.as_ref().unwrap();
    assert_eq!(descriptors.open_count, 4);
    assert_eq!(descriptors.counted, Counted::ByListing);
    let sockets = process.sockets().unwrap();
    assert_eq!(
        sockets.inodes,
        [4_002, 4_001],
        "the lowest descriptor first"
    );
    assert_eq!((sockets.listed_count, sockets.is_all), (4, true));
    assert!(is_absent(&process.fullest_thread()));
}

#[test]
fn a_closed_container_leaves_what_it_shows() {
    let tree = Tree::new();
    tree.file("proc/7/status", status("7"));
    let process = tree.read(7);
    assert_eq!(process.status.threads_count, Ok(9));
    assert_eq!(process.program(), "web");
    assert!(is_absent(&process.exe));
    assert!(is_absent(&process.arguments));
    assert!(is_absent(&process.environment));
    assert!(is_absent(&process.limits.open_files));
    assert!(is_absent(&process.limits.stack_bytes));
    assert!(is_absent(&process.descriptors));
    assert!(is_absent(&process.oom_score_adj));
    assert!(is_absent(&process.cgroup.memory));
    assert!(is_absent(&process.sockets()));
    assert!(matches!(
        process.network,
        Network::Unknown(Unknown::Absent(_))
    ));
    let why = process.limits.open_files.unwrap_err().to_string();
    assert!(why.starts_with("/proc/7/limits is not there"), "{why}");
}

#[test]
fn who_is_not_there_is_gone() {
    let tree = Tree::new();
    let gone = Process::read(tree.root(), Pid(7)).unwrap_err();
    assert_eq!(gone.to_string(), "/proc/7 is gone: the process has ended");
    // One that ends while it is read.
    tree.file("proc/8/status", status("8"));
    let process = tree.read(8);
    std::fs::remove_dir_all(tree.root().join("proc/8")).unwrap();
    assert!(matches!(process.sockets(), Err(Unknown::Gone(_))));
}

#[test]
fn a_container_is_seen_from_its_host() {
    let tree = Tree::new();
    tree.file("proc/812/status", status("812\t7"))
        .link("proc/812/ns/net", "net:[4026532201]")
        .link("proc/self/ns/net", "net:[4026531833]")
        .file("proc/812/cgroup", "0::/system.slice/docker-3f.scope\n")
        .file(
            "proc/self/mountinfo",
            "24 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
             30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
        );
    let group = "sys/fs/cgroup/system.slice/docker-3f.scope";
    for (name, content) in [
        ("memory.max", "4294967296\n"),
        ("memory.high", "max\n"),
        ("memory.current", "1073741824\n"),
        (
            "memory.stat",
            "anon 1\nkernel 900\nsock 4096\ninactive_file 5000\nslab_reclaimable 300\nslab 500\n",
        ),
        (
            "memory.events",
            "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n",
        ),
        ("pids.max", "max\n"),
        ("pids.current", "31\n"),
    ] {
        tree.file(&format!("{group}/{name}"), content);
    }
    tree.file("sys/fs/cgroup/system.slice/memory.max", "1200000000\n")
        .file("sys/fs/cgroup/system.slice/memory.current", "1100000000\n")
        .file("sys/fs/cgroup/system.slice/pids.max", "100\n")
        .file("sys/fs/cgroup/system.slice/pids.current", "90\n");
    let process = tree.read(812);
    assert_eq!(process.status.numbers, Ok(vec![Pid(812), Pid(7)]));
    let memory = process.cgroup.memory.as_ref().unwrap();
    assert_eq!(memory.version, Version::V2);
    assert_eq!(memory.levels.len(), 3);
    assert_eq!(memory.levels[0].path, "/system.slice/docker-3f.scope");
    assert_eq!(memory.levels[0].max, Ok(4 << 30));
    // What the kernel takes back is not taken.
    assert_eq!(memory.levels[0].current, Ok((1 << 30) - 5_300));
    assert!(
        is_absent(&memory.levels[2].max),
        "the root group has no limit"
    );
    assert_eq!(memory.high_bytes, Ok(Bounds::UNLIMITED));
    assert_eq!(memory.socket_bytes, Ok(4_096));
    assert_eq!(memory.slab_bytes, Ok(500));
    assert_eq!(memory.kernel_bytes, Ok(900));
    assert_eq!(memory.oom_kills_count, Ok(2));
    assert_eq!(memory.refusals_count, Ok(12));
    // What binds is not the group of the container but the one around it.
    let tightest = memory.tightest().map(|(level, left)| (&*level.path, left));
    assert_eq!(tightest, Some(("/system.slice", 100_000_000)));
    let pids = process.cgroup.pids.as_ref().unwrap();
    let tightest = pids.tightest().map(|(level, left)| (&*level.path, left));
    assert_eq!(tightest, Some(("/system.slice", 10)));
    let caution = process.network.caution(process.pid).unwrap();
    assert!(caution.contains("nsenter -t 812 -n"), "{caution}");
    assert_eq!(process.net_directory(), tree.root().join("proc/812/net"));
}

#[test]
fn version_1_has_other_files_for_the_same() {
    let tree = Tree::new();
    tree.file("proc/7/status", status("7"))
        .file(
            "proc/7/cgroup",
            "8:pids:/docker/3f\n4:memory:/docker/3f\n0::/\n",
        )
        .file(
            "proc/self/mountinfo",
            "700 690 0:33 /docker/3f /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
        );
    let group = "sys/fs/cgroup/memory";
    for (name, content) in [
        ("memory.limit_in_bytes", "9223372036854771712\n"),
        ("memory.usage_in_bytes", "1048576\n"),
        ("memory.failcnt", "5\n"),
        ("memory.kmem.usage_in_bytes", "4096\n"),
        ("memory.kmem.tcp.usage_in_bytes", "8192\n"),
        (
            "memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
        ),
    ] {
        tree.file(&format!("{group}/{name}"), content);
    }
    let process = tree.read(7);
    let memory = process.cgroup.memory.unwrap();
    assert_eq!(memory.version, Version::V1);
    assert_eq!(memory.levels.len(), 1);
    assert_eq!(memory.levels[0].path, "/docker/3f");
    assert_eq!(memory.levels[0].max, Ok(Bounds::UNLIMITED));
    assert_eq!(memory.tightest(), None);
    assert_eq!(memory.socket_bytes, Ok(8_192));
    assert_eq!(memory.kernel_bytes, Ok(4_096));
    assert_eq!(memory.refusals_count, Ok(5));
    assert_eq!(memory.oom_kills_count, Ok(1));
    assert!(is_absent(&memory.slab_bytes));
    // Its hierarchy is not mounted here.
    let why = process.cgroup.pids.unwrap_err().to_string();
    assert!(why.starts_with("the control group /docker/3f"), "{why}");
}

#[test]
fn odd_files_say_so_and_hide_nothing() {
    let tree = Tree::new();
    tree.file("proc/7/limits", "Max open files            \u{fffd}\n")
        .file("proc/7/status", [0xff, 0xfe, b'\n', b'N'])
        .file("proc/7/cmdline", "")
        .file("proc/7/oom_score_adj", "high\n")
        .file("proc/7/cgroup", "\n:::\nx\n")
        .file("proc/7/environ", vec![b'x'; (2 << 20) + 1])
        .link("proc/7/fd/0", "socket:[not a number]")
        .link("proc/7/fd/1", "socket:[18446744073709551616]")
        .link("proc/7/fd/2", "socket:[5]")
        .file("proc/7/fd/x", "no descriptor");
    let process = tree.read(7);
    assert!(matches!(
        process.limits.open_files,
        Err(Unknown::Odd { .. })
    ));
    assert!(is_absent(&process.status.name));
    assert_eq!(process.program(), "");
    assert!(matches!(process.oom_score_adj, Err(Unknown::Odd { .. })));
    assert!(matches!(process.environment, Err(Unknown::TooLong { .. })));
    assert_eq!(process.descriptors.unwrap().open_count, 3);
    assert_eq!(tree.read(7).sockets().unwrap().inodes, [5]);
}

#[test]
fn descriptors_are_listed_up_to_a_bound() {
    let tree = Tree::new();
    tree.file("proc/7/status", status("7"))
        .sockets(7, DESCRIPTORS_LISTED_MAX + 1);
    let process = tree.read(7);
    let descriptors = process.descriptors.as_ref().unwrap();
    assert_eq!(descriptors.counted, Counted::InPart);
    assert_eq!(descriptors.open_count, DESCRIPTORS_LISTED_MAX as u64);
    let sockets = process.sockets().unwrap();
    assert!(!sockets.is_all);
    assert_eq!(sockets.inodes.len(), DESCRIPTORS_LISTED_MAX);
    let holders = Holders::of(tree.root(), &[2]).unwrap();
    assert_eq!((holders.pids, holders.is_all), (Vec::new(), false));
}

#[test]
fn all_holders_of_a_socket_are_found() {
    let tree = Tree::new();
    tree.link("proc/7/fd/3", "socket:[100]")
        .link("proc/7/fd/4", "socket:[100]")
        .link("proc/812/fd/0", "/dev/null")
        .link("proc/812/fd/5", "socket:[101]")
        .link("proc/90/fd/3", "socket:[999]")
        .file("proc/91/status", status("91"))
        .file("proc/version", "")
        // Of our own server a thread may have it alone.
        .file("proc/92/comm", "fourtuple\n")
        .link("proc/92/fd/0", "/dev/null")
        .link("proc/92/task/92/fd/0", "/dev/null")
        .link("proc/92/task/93/fd/8", "socket:[102]")
        .file("proc/94/comm", "other\n")
        .link("proc/94/fd/0", "/dev/null")
        .link("proc/94/task/95/fd/8", "socket:[102]");
    let found = |inodes: &[u64]| Holders::of(tree.root(), inodes).unwrap();
    let pids = |inodes: &[u64]| found(inodes).pids;
    assert_eq!(pids(&[100]), [Pid(7)]);
    assert_eq!(pids(&[101, 100]), [Pid(7), Pid(812)]);
    assert_eq!(pids(&[102]), [Pid(92)]);
    assert_eq!(pids(&[5]), []);
    assert_eq!(pids(&[]), []);
    let all = found(&[100]);
    assert!(all.is_all && all.denied_count == 0, "{all:?}");
    std::fs::remove_dir_all(tree.root().join("proc")).unwrap();
    assert!(is_absent(&Holders::of(tree.root(), &[1])));
}
