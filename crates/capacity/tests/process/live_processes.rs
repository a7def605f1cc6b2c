//! Real processes of this machine: this test itself, and children whose limits and descriptors are
//! exactly known.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::TcpListener,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    process::{Child, Command, Stdio},
};

use fourtuple_capacity::process::{
    Bounds, Counted, Holders, Known, Network, Pid, Process, Runtime, Unknown,
};
use rustix::process::{
    Pid as RawPid, Resource, Rlimit, WaitId, WaitIdOptions, getrlimit, prlimit, waitid,
};

/// Input, output and errors.
const STANDARD: u64 = 3;

/// A program that does nothing until its input ends.
struct Idle {
    child: Child,
    stdin: Option<UnixStream>,
    stdout: UnixStream,
}

impl Idle {
    fn start(command: &mut Command) -> Self {
        let (stdin, theirs) = UnixStream::pair().expect("a socket");
        let (stdout, theirs_too) = UnixStream::pair().expect("a socket");
        let child = command
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(OwnedFd::from(theirs_too)))
            .spawn()
            .expect("every machine has it");
        Self {
            child,
            stdin: Some(stdin),
            stdout,
        }
        .ready()
    }

    /// What comes back has been through the program itself, so it has started.
    fn ready(mut self) -> Self {
        let stdin = self.stdin.as_mut().expect("it is open");
        stdin.write_all(b"x").expect("it reads");
        self.stdout.read_exact(&mut [0]).expect("it answers");
        self
    }

    fn pid(&self) -> Pid {
        Pid(self.child.id())
    }

    fn raw_pid(&self) -> RawPid {
        RawPid::from_child(&self.child)
    }

    fn read(&self) -> Process {
        read(self.pid())
    }

    /// Lets it end and waits for that, but does not take notice of it yet.
    fn end(&mut self) {
        self.stdin = None;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(self.raw_pid()), options).expect("it is our child");
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.wait();
    }
}

fn read(pid: Pid) -> Process {
    Process::read(Path::new("/"), pid).expect("it is there")
}

fn cat() -> Command {
    Command::new("cat")
}

/// Where the descriptors of a process lead, by the standard library.
fn links(pid: Pid) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("it is our child");
    entries
        .map(|entry| fs::read_link(entry.expect("it is open").path()))
        .map(|link| link.expect("it is open").display().to_string())
        .collect()
}

fn inode(socket: &impl AsFd) -> u64 {
    rustix::fs::fstat(socket).expect("it is open").st_ino
}

#[test]
fn the_limits_of_this_process_are_those_that_it_asks_for() {
    let process = read(Pid::of_this_process());
    let limit = |resource| {
        let limit = getrlimit(resource);
        Ok(Bounds {
            soft: limit.current.unwrap_or(Bounds::UNLIMITED),
            hard: limit.maximum.unwrap_or(Bounds::UNLIMITED),
        })
    };
    assert_eq!(process.limits.open_files, limit(Resource::Nofile));
    assert_eq!(process.limits.processes, limit(Resource::Nproc));
    assert_eq!(process.limits.locked_memory_bytes, limit(Resource::Memlock));
    assert_eq!(process.limits.address_space_bytes, limit(Resource::As));
    assert_eq!(process.limits.stack_bytes, limit(Resource::Stack));
    assert_eq!(process.network, Network::Ours);
    assert_eq!(process.network.caution(process.pid), None);
    let user = rustix::process::geteuid().as_raw();
    assert_eq!(process.status.user, Ok(user));
    assert!(
        process
            .status
            .resident_bytes
            .is_ok_and(|bytes| bytes > 1 << 16)
    );
    assert!(
        process
            .oom_score_adj
            .is_ok_and(|it| (-1_000..=1_000).contains(&it))
    );
    let exe = std::env::current_exe().expect("it runs");
    assert_eq!(process.exe.as_deref().map(Path::new), Ok(&*exe));
}

#[test]
fn descriptors_of_this_process_are_counted() {
    let files: Vec<_> = (0..100).map(|_| File::open("/dev/null").unwrap()).collect();
    let open = read(Pid::of_this_process()).descriptors.unwrap().open_count;
    // Other tests open and close some at the same time.
    assert!(open >= files.len() as u64 + STANDARD, "{open}");
}

#[test]
fn a_child_has_the_limits_that_it_was_given() {
    let child = Idle::start(&mut cat());
    let lowered = |value| Rlimit {
        current: Some(value),
        maximum: Some(value + 1),
    };
    for (resource, value) in [
        (Resource::Nofile, 40),
        (Resource::Nproc, 50),
        (Resource::Memlock, 65_536),
        (Resource::As, 1 << 33),
    ] {
        prlimit(Some(child.raw_pid()), resource, lowered(value)).expect("lower is allowed");
    }
    let limits = child.read().limits;
    let bounds = |soft| {
        Ok(Bounds {
            soft,
            hard: soft + 1,
        })
    };
    assert_eq!(limits.open_files, bounds(40));
    assert_eq!(limits.processes, bounds(50));
    assert_eq!(limits.locked_memory_bytes, bounds(65_536));
    assert_eq!(limits.address_space_bytes, bounds(1 << 33));
}

#[test]
fn descriptors_of_a_child_are_counted_exactly() {
    // Who runs the tests may have left descriptors to its children, of which these are closed.
    let closed = "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; exec cat";
    let opened = "exec 3</dev/null 4<&3 5<&3 6<&3 7<&3 8<&3 9<&3; exec cat";
    let count = |script| {
        let child = Idle::start(Command::new("sh").args(["-c", script]));
        let process = child.read();
        let descriptors = process.descriptors.as_ref().unwrap();
        assert_eq!(descriptors.open_count, links(child.pid()).len() as u64);
        // Which kernels have it is asked of the kernel itself: there it has a size, or none.
        let size = fs::metadata(format!("/proc/{}/fd", child.pid()))
            .unwrap()
            .len();
        if size > 0 {
            assert_eq!(
                (descriptors.open_count, descriptors.counted),
                (size, Counted::BySize)
            );
            assert_eq!(process.fullest_thread(), Ok(size));
        } else {
            assert_eq!(descriptors.counted, Counted::ByListing);
        }
        assert_eq!(process.program(), "cat");
        assert_eq!(process.status.threads_count, Ok(1));
        assert_eq!(process.status.parent, Ok(Pid::of_this_process()));
        assert_eq!(Runtime::detect(&process), Runtime::Other);
        descriptors.open_count
    };
    let few = count(closed);
    assert!(few >= STANDARD);
    assert_eq!(count(opened), few + 7);
}

#[test]
fn sockets_of_a_child_have_the_inodes_that_the_kernel_says() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let expected = inode(&theirs);
    let child = Idle::start(cat().stderr(OwnedFd::from(theirs)));
    let sockets = child.read().sockets().unwrap();
    let links = links(child.pid());
    let is_socket = |link: &&String| link.starts_with("socket:");
    assert!(sockets.is_all);
    assert_eq!(sockets.listed_count, links.len() as u64);
    assert_eq!(sockets.inodes.len(), links.iter().filter(is_socket).count());
    // Behind input and output.
    assert_eq!(sockets.inodes[2], expected);
    assert!(!sockets.inodes.contains(&inode(&ours)));
}

#[test]
fn a_listener_that_is_shared_has_several_holders() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let shared = listener.try_clone().unwrap();
    let child = Idle::start(cat().stderr(OwnedFd::from(shared)));
    let other = Idle::start(&mut cat());
    let found = Holders::of(Path::new("/"), &[inode(&listener)]).unwrap();
    assert!(found.pids.contains(&Pid::of_this_process()));
    assert!(found.pids.contains(&child.pid()));
    assert!(!found.pids.contains(&other.pid()));
    assert_eq!(found.pids.len(), 2, "{found:?}");
}

#[test]
fn a_process_that_has_ended_says_so() {
    let mut child = Idle::start(&mut cat());
    let before = child.read();
    child.end();
    // A zombie still has a number, a state and limits.
    let zombie = child.read();
    assert!(zombie.status.is_zombie(), "{:?}", zombie.status.state);
    assert!(zombie.limits.open_files.is_ok());
    assert!(zombie.status.resident_bytes.is_err());
    assert!(zombie.exe.is_err());
    assert_eq!(zombie.program(), "cat");
    let descriptors = zombie.descriptors.map(|it| it.open_count);
    assert!(
        matches!(descriptors, Ok(0) | Err(Unknown::Denied(_))),
        "{descriptors:?}"
    );
    child.child.wait().unwrap();
    let is_gone = |known: &Known<()>| matches!(known, Err(Unknown::Gone(_)));
    // Whoever gets its number now is not taken for it.
    assert!(is_gone(&before.sockets().map(drop)));
    assert!(is_gone(&before.fullest_thread().map(drop)));
}

#[test]
fn the_control_group_of_this_process_is_found() {
    let process = read(Pid::of_this_process());
    let Ok(text) = fs::read_to_string("/proc/self/cgroup") else {
        return;
    };
    if text.is_empty() {
        return;
    }
    // Where there is one it is either read, or not mounted here.
    match process.cgroup.memory {
        Ok(memory) => {
            let path = &memory.levels[0].path;
            let is_its = |line: &str| line.ends_with(&format!(":{path}"));
            assert!(text.lines().any(is_its), "{path} is not in {text}");
        }
        Err(why) => assert!(matches!(why, Unknown::Absent(_)), "{why}"),
    }
}
