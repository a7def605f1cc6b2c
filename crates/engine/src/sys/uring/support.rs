//! Whether this machine has what the io_uring kernel needs: asked of the kernel, never guessed from
//! its version.

use std::{fs, io, sync::OnceLock};

use io_uring::{Probe, opcode};
use rustix::io::Errno;

use super::{
    ring::{self, Ring},
    word::{What, Word},
};

/// The operations asked for, by the names of `man 2 io_uring_enter`.
const OPERATIONS: [(u8, &str); 14] = [
    (opcode::PollAdd::CODE, "IORING_OP_POLL_ADD"),
    (opcode::PollRemove::CODE, "IORING_OP_POLL_REMOVE"),
    (opcode::AsyncCancel::CODE, "IORING_OP_ASYNC_CANCEL"),
    (opcode::Recv::CODE, "IORING_OP_RECV"),
    (opcode::Send::CODE, "IORING_OP_SEND"),
    (opcode::SendMsg::CODE, "IORING_OP_SENDMSG"),
    (opcode::Accept::CODE, "IORING_OP_ACCEPT"),
    (opcode::Socket::CODE, "IORING_OP_SOCKET"),
    (opcode::SetSockOpt::CODE, "IORING_OP_URING_CMD"),
    (opcode::Bind::CODE, "IORING_OP_BIND"),
    (opcode::Connect::CODE, "IORING_OP_CONNECT"),
    (opcode::FixedFdInstall::CODE, "IORING_OP_FIXED_FD_INSTALL"),
    (opcode::Shutdown::CODE, "IORING_OP_SHUTDOWN"),
    (opcode::Close::CODE, "IORING_OP_CLOSE"),
];

/// Tries it, once per process.
///
/// # Errors
///
/// What is missing, in words for the operator.
pub(in crate::sys) fn check() -> Result<(), String> {
    static CHECKED: OnceLock<Result<(), String>> = OnceLock::new();
    CHECKED.get_or_init(check_now).clone()
}

fn check_now() -> Result<(), String> {
    let mut ring = Ring::new(1).map_err(|error| why_no_ring(&error))?;
    let params = ring.uring().params();
    if !params.is_feature_nodrop() || !params.is_feature_ext_arg() {
        return Err("its rings lose answers or cannot wait until a deadline".to_owned());
    }
    if !params.is_feature_skip_cqe_on_success() || !params.is_feature_submit_stable() {
        return Err("its rings cannot keep success to themselves".to_owned());
    }
    let mut probe = Probe::new();
    let probed = ring.uring().submitter().register_probe(&mut probe);
    probed.map_err(|error| format!("its operations cannot be listed: {error}"))?;
    for (code, name) in OPERATIONS {
        if !probe.is_supported(code) {
            return Err(format!("this kernel's io_uring has no {name}"));
        }
    }
    try_direct_socket(&mut ring)
}

/// Makes a direct socket, sets an option and closes it: no list tells whether these work together.
fn try_direct_socket(ring: &mut Ring) -> Result<(), String> {
    const STEPS: [&str; 3] = [
        "make a direct socket",
        "set an option of a direct socket",
        "close a direct socket",
    ];
    let step = |number| Word::new(What::Prepared, number, 0);
    ring.socket(0, libc::AF_INET, step(0), false);
    let (level, option) = (libc::IPPROTO_TCP, libc::TCP_NODELAY);
    ring.switch_on(0, level, option, step(1), false);
    ring.close(0);
    let submitted = ring.submit();
    submitted.map_err(|errno| format!("io_uring_enter(2) fails: {errno}"))?;
    for what in STEPS {
        let Some(answer) = ring.next() else {
            return Err(format!("this kernel's io_uring is too slow to {what}"));
        };
        answer
            .result()
            .map_err(|errno| format!("this kernel's io_uring cannot {what}: {errno}"))?;
    }
    Ok(())
}

/// Why there is no ring, and what to do.
fn why_no_ring(error: &io::Error) -> String {
    match ring::errno(error) {
        Errno::NOSYS => "this kernel has no io_uring".to_owned(),
        Errno::PERM | Errno::ACCESS => {
            let setting = fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
            match setting.as_deref().map(str::trim) {
                Ok("0") | Err(_) => {
                    "io_uring is forbidden here, most likely by a container's seccomp rules"
                        .to_owned()
                }
                Ok(value) => format!(
                    "io_uring is forbidden here: kernel.io_uring_disabled is {value}, and 0 allows it"
                ),
            }
        }
        Errno::INVAL => {
            "this kernel's io_uring cannot leave its work to the thread that asked for it"
                .to_owned()
        }
        Errno::NOMEM => {
            "there is no memory for a ring, or RLIMIT_MEMLOCK (`ulimit -l`) is too low".to_owned()
        }
        errno => format!("no ring can be made: {errno}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_words() {
        let words = |number| why_no_ring(&io::Error::from_raw_os_error(number));
        assert_eq!(words(libc::ENOSYS), "this kernel has no io_uring");
        assert!(words(libc::EPERM).starts_with("io_uring is forbidden here"));
        assert!(words(libc::ENOMEM).contains("RLIMIT_MEMLOCK"));
        assert!(words(libc::EIO).starts_with("no ring can be made"));
    }
}
