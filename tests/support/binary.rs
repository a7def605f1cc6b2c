//! The binary under test: how it is started, and run to its end.

use std::{
    env,
    ffi::OsStr,
    process::{Command, Output, Stdio},
    time::Duration,
};

use super::watchdog::Watchdog;

const FOURTUPLE: &str = env!("CARGO_BIN_EXE_fourtuple");

/// Whether epoll is to carry the connections of servers and crowds under test, where the machine would
/// choose io_uring: `TEST_KERNEL=epoll cargo test`.
pub(crate) fn on_epoll() -> bool {
    match env::var("TEST_KERNEL").as_deref() {
        Ok("epoll") => true,
        Err(_) => false,
        Ok(other) => panic!("TEST_KERNEL is {other}: expected epoll, or nothing"),
    }
}

/// How long a run may take before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary, without the settings of whoever runs the tests.
pub(crate) fn fourtuple() -> Command {
    as_tested(FOURTUPLE)
}

/// The same, where a process may have so many descriptors and no more.
pub(crate) fn fourtuple_with_descriptors(count: u32) -> Command {
    let mut shell = as_tested("sh");
    shell.args(["-c", &format!("ulimit -n {count} && exec \"$0\" \"$@\"")]);
    shell.arg(FOURTUPLE);
    shell
}

/// Runs a command to its end, which must come by itself.
#[track_caller]
pub(crate) fn output_of(command: &mut Command) -> Output {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let watchdog = Watchdog::over(&child, PATIENCE);
    let output = child
        .wait_with_output()
        .expect("the binary is our child and its pipes are open");
    assert!(
        !watchdog.had_to_kill(),
        "{command:?} did not end in {PATIENCE:?}: {output:?}"
    );
    output
}

/// That a run has ended with this status; else with what it said.
#[track_caller]
pub(crate) fn assert_status(output: &Output, status: i32) {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(status), "{out}{err}");
}

/// A command that starts the binary, without those settings.
pub(crate) fn as_tested(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("FOURTUPLE_") {
            command.env_remove(name);
        }
    }
    // Tests of the admin side ask for it by a flag; the others would take each other's usual port.
    command.env("FOURTUPLE_ADMIN_LISTEN", "off");
    if on_epoll() {
        command.env("FOURTUPLE_KERNEL", "epoll");
    }
    command
}
