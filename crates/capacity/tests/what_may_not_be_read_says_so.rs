//! A process of somebody else: what everybody may know is read, and the rest says that it is denied.
//!
//! A program of its own: a thread of it becomes another user, which changes what the process may be
//! asked by others.

use std::{
    io::{Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use fourtuple_capacity::process::{Holders, Known, Network, Pid, Process, Runtime, Unknown};
use rustix::{
    process::{Uid, geteuid},
    thread::set_thread_res_uid,
};

/// Nobody, on most machines; any user that is not the superuser does.
const OTHER_USER: u32 = 65_534;

#[test]
fn of_another_users_process_the_public_part_is_read() {
    let mut child = idle();
    let pid = Pid(child.id());
    let found = as_somebody_else(move || {
        let process = Process::read(Path::new("/"), pid).expect("everybody sees that it is there");
        let sockets = process.sockets();
        let holders = Holders::of(Path::new("/"), &[1]);
        (process, sockets, holders)
    });
    drop(child.stdin.take());
    child.wait().expect("it is our child");
    let Some((process, sockets, holders)) = found else {
        // Who is not the superuser cannot become another user, and has no process of one.
        return;
    };
    assert!(process.limits.open_files.is_ok());
    assert_eq!(process.status.user, Ok(0));
    assert!(process.arguments.is_ok());
    assert_eq!(process.program(), "cat");
    // Their number is public where the kernel counts them (Linux 6.2), their names are not.
    match &process.descriptors {
        Ok(descriptors) => assert!(descriptors.open_count >= 3),
        denied => assert!(is_denied(denied)),
    }
    assert!(is_denied(&process.exe));
    assert!(is_denied(&process.environment));
    assert!(is_denied(&sockets));
    assert!(matches!(
        process.network,
        Network::Unknown(Unknown::Denied(_))
    ));
    let caution = process.network.caution(pid).expect("it is not known");
    assert!(caution.contains("run as root"), "{caution}");
    assert_eq!(Runtime::detect(&process), Runtime::Other);
    assert!(holders.is_ok_and(|found| found.denied_count > 0));
}

fn is_denied<T>(known: &Known<T>) -> bool {
    matches!(known, Err(Unknown::Denied(_)))
}

/// Does something in a thread that is another user from then on (`man 2 setresuid`: of Linux itself, a
/// user is that of a thread).
fn as_somebody_else<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if !geteuid().is_root() {
        return None;
    }
    let thread = thread::spawn(move || {
        let user = Uid::from_raw(OTHER_USER);
        set_thread_res_uid(user, user, user).ok().map(|()| work())
    });
    thread.join().expect("it does not panic")
}

/// A program that does nothing until its input ends, and that has started.
fn idle() -> Child {
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("every machine has it");
    let stdin = child.stdin.as_mut().expect("it is piped");
    stdin.write_all(b"x").expect("it reads");
    let stdout = child.stdout.as_mut().expect("it is piped");
    stdout.read_exact(&mut [0]).expect("it answers");
    child
}
