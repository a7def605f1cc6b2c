//! Agents on machines that a real `sshd` lets in: copied there once, started, used, lost.

use std::{
    env, fs,
    net::{SocketAddr, TcpListener},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{MetadataExt as _, PermissionsExt as _},
            net::UnixStream,
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, Signal, getuid, kill_process},
};

use crate::{
    hands::{Lead, file},
    number,
    support::{
        binary::{as_tested, assert_status, fourtuple, output_of},
        relay::Relay,
    },
    village::Village,
};

/// What is said where the Debian packages are not there.
const MISSING: &str = "sshd is not installed: apt-get install openssh-server openssh-client (.ci/run does). \
     It lets nobody in whose entry in /etc/shadow is locked (`!`): passwd -S says whether yours is";

/// What each visitor is told before anything else, and what is no reason for anything.
const BANNER: &str = "Whoever comes in is watched.\n";

/// A door that `sshd` keeps: it is started for each visitor, as inetd did, so the port is one that was free.
#[derive(Debug)]
struct Door {
    address: SocketAddr,
    folder: PathBuf,
    /// Closed when nobody is to be let in any more.
    open: Option<UnixStream>,
    keeper: Option<JoinHandle<()>>,
    visits: Arc<Mutex<Vec<Child>>>,
}

impl Door {
    /// Opens one at `listener`, whose files and home are in `folder`; `command` becomes the daemon.
    #[track_caller]
    fn open(listener: TcpListener, folder: &Path, command: impl Fn() -> Command) -> Self {
        let configuration = folder.join("sshd_config");
        let address = listener.local_addr().expect("it is bound");
        let visits = Arc::<Mutex<Vec<Child>>>::default();
        let mine = Arc::clone(&visits);
        let (open, end) = UnixStream::pair().expect("a pair");
        let mut daemon = command();
        daemon.args(["-i", "-f"]).arg(configuration);
        daemon.arg("-E").arg(folder.join("log"));
        let keeper = thread::spawn(move || {
            while is_visited(&listener, &end) {
                let (stream, _) = listener.accept().expect("a visitor");
                let output = OwnedFd::from(stream.try_clone().expect("a second"));
                daemon.stdin(OwnedFd::from(stream)).stdout(output);
                let visit = daemon.spawn().expect(MISSING);
                // The connection is the daemon's alone.
                daemon.stdin(Stdio::null()).stdout(Stdio::null());
                mine.lock().expect("no panic").push(visit);
            }
        });
        Self {
            address,
            folder: folder.to_owned(),
            open: Some(open),
            keeper: Some(keeper),
            visits,
        }
    }

    /// The agent behind this door.
    fn agent(&self) -> String {
        format!("ssh://{}@{}", user(), self.address)
    }

    /// The flags with which `ssh` gets in with this key.
    fn options(&self, key: &str) -> Vec<String> {
        let folder = self.folder.display();
        [
            format!("IdentityFile={folder}/{key}"),
            "IdentitiesOnly=yes".to_owned(),
            format!("UserKnownHostsFile={folder}/known_hosts"),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            // Whatever the configuration of whoever runs the tests says.
            "ControlPath=none".to_owned(),
            "ProxyJump=none".to_owned(),
        ]
        .into_iter()
        .flat_map(|option| ["--agent-ssh-option".to_owned(), option])
        .collect()
    }

    /// The copy behind this door: its path, and what tells it from another copy.
    #[track_caller]
    fn copy(&self) -> (PathBuf, u64, i64) {
        let cache = self.folder.join("home/.cache/fourtuple");
        let files: Vec<_> = fs::read_dir(&cache)
            .expect("it was copied")
            .map(|entry| entry.expect("a file").path())
            .collect();
        assert_eq!(files.len(), 1, "one copy and nothing else: {files:?}");
        let data = fs::metadata(&files[0]).expect("it is there");
        (files[0].clone(), data.ino(), data.mtime_nsec())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if thread::panicking() {
            // Whatever has failed, the daemon may know why.
            eprintln!("sshd at {} says:\n{}", self.address, self.log());
        }
        self.open = None;
        if let Some(keeper) = self.keeper.take() {
            // Its panic has been told.
            let _ = keeper.join();
        }
        for visit in self.visits.lock().expect("no panic").iter_mut() {
            let _ = visit.kill();
            let _ = visit.wait();
        }
        // A copy is large, and two doors may have had one home.
        let _ = fs::remove_dir_all(self.folder.join("home"));
    }
}

/// Waits for a visitor; `false` when the door is closed instead.
fn is_visited(listener: &TcpListener, end: &UnixStream) -> bool {
    let mut watched = [
        PollFd::new(listener, PollFlags::IN),
        PollFd::new(end, PollFlags::IN),
    ];
    poll(&mut watched, None).expect("both are open");
    watched[1].revents().is_empty()
}

/// Where the daemon is, which must be run by its whole path: on that of most users it is not.
#[track_caller]
fn sshd() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.find(|folder| folder.join("sshd").is_file());
    found.expect(MISSING).join("sshd")
}

/// Who logs in: whoever runs the tests.
fn user() -> String {
    let output = output_of(Command::new("id").arg("-un"));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Makes what a daemon needs: its key, a key that it lets in and one that it does not, and a home.
#[track_caller]
fn furnish(name: &str, hosts: &[&str]) -> PathBuf {
    let folder = file(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("home")).expect("a folder");
    for key in ["host", "right", "wrong"] {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]);
        let output = command.arg(folder.join(key)).output().expect(MISSING);
        assert_status(&output, 0);
    }
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("it was made");
    let known: String = hosts
        .iter()
        .map(|host| format!("{host} {}", read("host.pub")))
        .collect();
    fs::write(folder.join("known_hosts"), known).expect("a file");
    let at = folder.display();
    let configuration = format!(
        "HostKey {at}/host\nAuthorizedKeysFile {at}/right.pub\nStrictModes no\nUsePAM no\n\
         PidFile none\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nPrintMotd no\nLogLevel VERBOSE\nSetEnv HOME={at}/home\nBanner {at}/banner\n"
    );
    fs::write(folder.join("banner"), BANNER).expect("a file");
    fs::write(folder.join("sshd_config"), configuration).expect("a file");
    // Where the service was never started, Debian's daemon misses its empty folder.
    let empty = Path::new("/run/sshd");
    if getuid().is_root() && !empty.exists() {
        fs::create_dir_all(empty).expect("root may");
        fs::set_permissions(empty, fs::Permissions::from_mode(0o755)).expect("root may");
    }
    folder
}

/// A door on this machine.
#[track_caller]
fn door(name: &str) -> Door {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let host = format!("[{}]:{}", address.ip(), address.port());
    let folder = furnish(name, &[&host]);
    Door::open(listener, &folder, || as_tested(sshd()))
}

const SHORT: [&str; 6] = ["--connections", "4", "--rate", "1000", "--hold", "0s"];

#[track_caller]
fn run(server: &Relay, door: &Door, agents: &str, key: &str) -> Output {
    let mut command = fourtuple();
    command.args(["load", &server.url(), "--agents", agents]);
    command.args(door.options(key)).args(SHORT);
    output_of(&mut command)
}

#[test]
fn it_is_copied_to_a_machine_once_started_there_and_does_its_part() {
    let server = Relay::start(&[]);
    let door = door("sshd");
    let mut copies = Vec::new();
    for _ in 0..2 {
        let output = run(&server, &door, &door.agent(), "right");
        assert_status(&output, 0);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(&door.agent()), "{text}");
        copies.push(door.copy());
    }
    assert_eq!(copies[0], copies[1], "the second run copied it again");
    let mode = fs::metadata(&copies[0].0).expect("it is there").mode();
    assert_eq!(mode & 0o777, 0o700, "others may neither read nor change it");

    // A copy that was changed is no copy.
    fs::write(&copies[0].0, "#!/bin/sh\nexit 0\n").expect("ours");
    assert_status(&run(&server, &door, &door.agent(), "right"), 0);
    let program = fs::metadata(env!("CARGO_BIN_EXE_fourtuple")).expect("ours");
    let copy = fs::metadata(door.copy().0).expect("it is there");
    assert_eq!(copy.len(), program.len());
}

#[test]
fn who_is_not_let_in_hears_why_and_what_to_try() {
    let server = Relay::start(&[]);
    let door = door("sshd-wrong");
    let refused = run(&server, &door, &door.agent(), "wrong");
    assert_status(&refused, 2);
    let words = String::from_utf8_lossy(&refused.stderr);
    let (user, port) = (user(), door.address.port());
    for part in [
        format!("agent {}: ssh ended with status 255", door.agent()),
        format!("can you `ssh -p {port} {user}@127.0.0.1 true`?"),
        "Permission denied (publickey)".to_owned(),
    ] {
        assert!(words.contains(&part), "{part}: {words}");
    }
    assert_eq!(
        words.lines().count(),
        1,
        "ssh says nothing besides: {words}"
    );

    // Another machine than the one that is known is not believed.
    let other = fs::read_to_string(door.folder.join("wrong.pub")).expect("it was made");
    let host = format!("[127.0.0.1]:{port} {other}");
    fs::write(door.folder.join("known_hosts"), host).expect("ours");
    let doubted = run(&server, &door, &door.agent(), "right");
    assert_status(&doubted, 2);
    let words = String::from_utf8_lossy(&doubted.stderr);
    assert!(words.contains("Host key verification failed"), "{words}");
}

#[test]
fn where_it_cannot_be_copied_or_does_not_run_the_error_says_why() {
    let server = Relay::start(&[]);
    let door = door("sshd-bad-home");
    let home = door.folder.join("home");
    fs::write(home.join(".cache"), "a file and no folder").expect("ours");
    let output = run(&server, &door, &door.agent(), "right");
    assert_status(&output, 2);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("could not be copied there"), "{words}");
    assert!(words.contains("It says: mkdir"), "{words}");
}

/// The process behind a door that is a copy of the program.
#[track_caller]
fn process_of(copy: &Path) -> Pid {
    let processes = fs::read_dir("/proc").expect("Linux");
    let is_it = |pid: &i32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == copy);
    let names = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let found: Vec<i32> = names.filter(is_it).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    Pid::from_raw(found[0]).expect("not zero")
}

#[test]
fn an_agent_that_is_killed_over_there_is_lost_with_its_share() {
    let server = Relay::start(&[]);
    let (one, two) = (door("sshd-lost-1"), door("sshd-lost-2"));
    // Both keys are let in by both doors' own files; `ssh` is given those of either.
    let list = format!("{},{}", one.agent(), two.agent());
    let mut flags = [one.options("right"), two.options("right")].concat();
    let known: String = [&one, &two]
        .map(|door| fs::read_to_string(door.folder.join("known_hosts")).expect("it was made"))
        .concat();
    for door in [&one, &two] {
        fs::write(door.folder.join("known_hosts"), &known).expect("ours");
    }
    flags.extend(["--connections", "40", "--rate", "1000", "--hold", "3s"].map(str::to_owned));
    let run = Lead::start_at(fourtuple(), &server.url(), &list, "sshd-lost", &flags);
    run.until("holding");
    kill_process(process_of(&two.copy().0), Signal::KILL).expect("ours");
    let ran = run.end();
    let report = ran.report(1);
    assert_eq!(number(&report, "/connections/ready"), 40);
    assert_eq!(number(&report, "/connections/held"), 20);
    assert_eq!(report["dropped"][0]["class"], "agent_lost");
    assert_eq!(number(&report, "/dropped/0/count"), 20);
    let lost = format!(
        "agent {} was lost with 50.0 % of the connections",
        two.agent()
    );
    assert!(ran.out().contains(&lost), "{}", ran.out());
    let said = format!("{}{}", ran.out(), ran.err());
    assert!(!said.contains(BANNER.trim()), "that is no reason: {said}");
}

#[test]
fn two_machines_that_share_a_home_are_copied_to_at_once() {
    let Some(village) = Village::build(3) else {
        return;
    };
    let listen = format!("{}:0", Village::address(0));
    let server = Relay::start_on(village.fourtuple(0), &listen, &[]);
    let addresses = [1, 2].map(Village::address);
    let hosts = addresses.each_ref().map(|host| format!("[{host}]:2222"));
    let folder = furnish("sshd-village", &hosts.each_ref().map(String::as_str));
    let open = |house: usize| {
        let at = format!("{}:2222", Village::address(house));
        let listener = village.at(house, || TcpListener::bind(at).expect("nobody is there"));
        Door::open(listener, &folder, || village.command(house, sshd()))
    };
    let doors = [open(1), open(2)];
    let list = doors.each_ref().map(Door::agent).join(",");
    let mut flags = doors[0].options("right");
    flags.extend(["--connections", "60", "--rate", "1000", "--hold", "1s"].map(str::to_owned));
    let run = Lead::start_at(
        village.fourtuple(0),
        &server.url(),
        &list,
        "sshd-two",
        &flags,
    );
    let ran = run.end();
    let report = ran.report(0);
    let machines = report["machines"].as_array().expect("a list");
    let held: Vec<_> = machines.iter().map(|one| number(one, "/held")).collect();
    assert_eq!(held, [30, 30]);
    doors[0].copy();
}
