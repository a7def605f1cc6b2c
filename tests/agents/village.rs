//! A village: machines that are network namespaces, on one wire.
//!
//! ```text
//!  10.77.0.1      10.77.0.2      10.77.0.3
//!   eth0           eth0           eth0        each in a namespace of its own
//!    │              │              │          pairs of virtual Ethernet
//!    └──────────────┴──────┬───────┘
//!                         br0                 a bridge, in a namespace of its own, too
//! ```

use std::{
    env,
    ffi::OsStr,
    fs,
    os::fd::AsFd as _,
    process::Command,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::support::binary::{as_tested, output_of};

/// Machines on one wire; they are gone with this value.
#[derive(Debug)]
pub(crate) struct Village {
    name: String,
    houses: usize,
}

static VILLAGES: AtomicU32 = AtomicU32::new(0);

impl Village {
    /// Builds so many machines; `None` where this machine does not let namespaces be made.
    #[track_caller]
    pub(crate) fn build(houses: usize) -> Option<Self> {
        let number = VILLAGES.fetch_add(1, Relaxed);
        let village = Self {
            name: format!("fourtuple-{}-{number}", std::process::id()),
            houses,
        };
        if let Err(complaint) = village.lay_out() {
            assert!(env::var_os("REQUIRE_LIMITS").is_none(), "{complaint}");
            eprintln!("not tested, no network namespaces may be made here: {complaint}");
            return None;
        }
        Some(village)
    }

    fn lay_out(&self) -> Result<(), String> {
        let hub = self.hub();
        ip(&["netns", "add", &hub])?;
        ip(&["-n", &hub, "link", "add", "br0", "type", "bridge"])?;
        ip(&["-n", &hub, "link", "set", "br0", "up"])?;
        for house in 0..self.houses {
            let (inside, port) = (self.house(house), format!("port{house}"));
            ip(&["netns", "add", &inside])?;
            let pair = ["type", "veth", "peer", "name", "eth0", "netns", &inside];
            ip(&[&["-n", &hub, "link", "add", &port][..], &pair].concat())?;
            ip(&["-n", &hub, "link", "set", &port, "master", "br0", "up"])?;
            let address = format!("{}/24", Self::address(house));
            ip(&["-n", &inside, "addr", "add", &address, "dev", "eth0"])?;
            ip(&["-n", &inside, "link", "set", "eth0", "up"])?;
            ip(&["-n", &inside, "link", "set", "lo", "up"])?;
        }
        Ok(())
    }

    /// The binary, on one of the machines.
    pub(crate) fn fourtuple(&self, house: usize) -> Command {
        self.command(house, env!("CARGO_BIN_EXE_fourtuple"))
    }

    /// A program on one of the machines. What is started becomes the program itself.
    pub(crate) fn command(&self, house: usize, program: impl AsRef<OsStr>) -> Command {
        let mut command = as_tested("ip");
        command
            .args(["netns", "exec", &self.house(house)])
            .arg(program);
        command
    }

    /// Does something on one of the machines.
    pub(crate) fn at<T: Send>(&self, house: usize, deed: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.house(house));
        let space = fs::File::open(path).expect("it was made");
        // A namespace is a thread's.
        thread::scope(|scope| {
            let there = scope.spawn(|| {
                let network = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(space.as_fd(), network).expect("we may, who made it");
                deed()
            });
            there.join().expect("no panic there")
        })
    }

    /// The address of a machine.
    pub(crate) fn address(house: usize) -> String {
        format!("10.77.0.{}", house + 1)
    }

    fn house(&self, house: usize) -> String {
        format!("{}-{house}", self.name)
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }
}

impl Drop for Village {
    fn drop(&mut self) {
        for house in 0..self.houses {
            // It may not have come so far.
            let _ = ip(&["netns", "del", &self.house(house)]);
        }
        let _ = ip(&["netns", "del", &self.hub()]);
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    if Command::new("ip").arg("-V").output().is_err() {
        return Err("there is no `ip` (iproute2)".to_owned());
    }
    let output = output_of(Command::new("ip").args(arguments));
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "ip {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}
