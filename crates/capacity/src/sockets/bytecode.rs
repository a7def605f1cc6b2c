//! The one condition of a filter that a request has no field for, as the program that the kernel runs on
//! each socket before it makes a message of it (`linux/inet_diag.h`, `INET_DIAG_REQ_BYTECODE`).
//!
//! ```text
//!  operation     | code u8 | yes u8 | no u16 |          where to go on, in bytes from here
//!  not this end  | S_COND | family u8, prefix u8, 0 0, port i32, address | JMP |
//!                     no └────────────────────────────────────────────────────► end: it is listed
//!                    yes └──────────────────────────────────────────────► JMP beyond: it is not
//! ```
//!
//! A program ends well exactly at its end; whoever jumps beyond it by four bytes is left out.
//!
//! Pure: an end in, bytes out.

use std::net::IpAddr;

use super::{Family, LocalEnd};

/// `linux/inet_diag.h`.
const JMP: u8 = 1;
const S_COND: u8 = 7;

const OPERATION_BYTES: usize = 4;
/// `inet_diag_hostcond` without the address.
const END_BYTES: usize = 8;

/// The program that leaves out whoever is at this end.
pub(super) fn all_but(end: &LocalEnd) -> Vec<u8> {
    let address = match (end.family, end.local.ip()) {
        (_, IpAddr::V6(ip)) => ip.octets().to_vec(),
        (Family::V4, IpAddr::V4(ip)) => ip.octets().to_vec(),
        (Family::V6, IpAddr::V4(ip)) => ip.to_ipv6_mapped().octets().to_vec(),
    };
    let prefix = match (end.local.ip(), end.family) {
        (ip, _) if !ip.is_unspecified() => 8 * address.len() as u8,
        // `::ffff:0.0.0.0/96`
        (IpAddr::V4(_), Family::V6) => 96,
        _ => 0,
    };
    let jump_at = OPERATION_BYTES + END_BYTES + address.len();
    let mut bytes = operation(S_COND, jump_at, jump_at + OPERATION_BYTES).to_vec();
    bytes.extend([end.family.number(), prefix, 0, 0]);
    bytes.extend(i32::from(end.local.port()).to_ne_bytes());
    bytes.extend(address);
    // Nothing is a "yes" to a jump.
    bytes.extend(operation(JMP, OPERATION_BYTES, 2 * OPERATION_BYTES));
    bytes
}

fn operation(code: u8, yes: usize, no: usize) -> [u8; OPERATION_BYTES] {
    let no = (no as u16).to_ne_bytes();
    [code, yes as u8, no[0], no[1]]
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;
    use crate::sockets::{Socket, filter::tests::any_socket};

    /// An operation at `at`: its code, where "yes" and where "no" lead.
    fn operation_at(program: &[u8], at: usize) -> (u8, usize, usize) {
        let no = u16::from_ne_bytes([program[at + 2], program[at + 3]]);
        (
            program[at],
            at + usize::from(program[at + 1]),
            at + usize::from(no),
        )
    }

    /// What the kernel would do, by the description in the head of this file.
    fn admits(program: &[u8], socket: &Socket) -> bool {
        let mut at = 0;
        while at < program.len() {
            let (code, yes, no) = operation_at(program, at);
            let is_met = match code {
                JMP => false,
                S_COND => is_at(&program[at + OPERATION_BYTES..], socket),
                code => panic!("operation {code}"),
            };
            at = if is_met { yes } else { no };
        }
        at == program.len()
    }

    fn is_at(end: &[u8], socket: &Socket) -> bool {
        let port = i32::from_ne_bytes(end[4..8].try_into().expect("four bytes"));
        if port != i32::from(socket.local.port()) {
            return false;
        }
        let octets = |ip: IpAddr| match (socket.family, ip) {
            (Family::V4, IpAddr::V4(ip)) => ip.octets().to_vec(),
            (_, IpAddr::V4(ip)) => ip.to_ipv6_mapped().octets().to_vec(),
            (_, IpAddr::V6(ip)) => ip.octets().to_vec(),
        };
        let mut theirs = octets(socket.local.ip());
        if end[0] == 2 && theirs.len() == 16 {
            if theirs[..12] != [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255] {
                return false;
            }
            theirs.drain(..12);
        } else if end[0] != socket.family.number() {
            return false;
        }
        let bytes = usize::from(end[1]) / 8;
        theirs[..bytes] == end[END_BYTES..][..bytes]
    }

    /// What the kernel checks before it takes a program (`inet_diag_bc_audit`).
    fn assert_is_taken(program: &[u8]) {
        let mut way = vec![];
        let mut at = 0;
        while at < program.len() {
            way.push(at);
            at = operation_at(program, at).1;
        }
        assert_eq!(at, program.len());
        for at in &way {
            let (_, yes, no) = operation_at(program, *at);
            assert!(yes > *at && no > *at && no.is_multiple_of(4));
            let is_on_the_way = way.contains(&no) || no == program.len();
            assert!(is_on_the_way || no == program.len() + OPERATION_BYTES);
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_program_is_these_bytes() {
        let end = LocalEnd {
            family: Family::V4,
            local: ([0, 0, 0, 0], 4_000).into(),
        };
        let wanted = [
            7, 16, 20, 0, 2, 0, 0, 0, 0xa0, 0x0f, 0, 0, 0, 0, 0, 0, // 0.0.0.0:4000
            1, 4, 8, 0, // out
        ];
        assert_eq!(all_but(&end), wanted);
    }

    fn any_end() -> impl Strategy<Value = LocalEnd> {
        const LOCALS: [&str; 4] = ["0.0.0.0:4000", "10.0.0.1:4000", "[::]:4000", "[fd00::1]:80"];
        let local = select(&LOCALS[..]).prop_map(|local| local.parse().expect("an address"));
        (any::<bool>(), local).prop_map(|(is_v6, local): (_, std::net::SocketAddr)| LocalEnd {
            family: if is_v6 || local.is_ipv6() {
                Family::V6
            } else {
                Family::V4
            },
            local,
        })
    }

    proptest! {
        #[test]
        fn the_kernel_leaves_out_whoever_has_the_end(end in any_end(), socket in any_socket()) {
            let program = all_but(&end);
            assert_is_taken(&program);
            prop_assert_eq!(admits(&program, &socket), !end.has(&socket));
        }
    }
}
