//! Clients that nobody here wrote, against the server: each case of each client is one test.
//!
//! ```text
//! cargo test --test clients                      every case
//! cargo test --test clients -- phoenix.js-1.7    one client
//! cargo test --test clients -- after_a_crash     one case of every client
//! ```
//!
//! A client in another language is a *driver*: a program that lists its cases and runs one of them
//! (`driver.rs`). This program gives every case a server of its own and does to the server what the
//! case asks for.

mod driver;
mod native;
#[path = "../support/mod.rs"]
mod support;
mod tour;

use std::{process::ExitCode, time::Duration};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::{
    driver::Driver,
    support::{fixture::Fixture, relay::Relay},
};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // A case mostly waits for what its client does by itself a second later.
    arguments.test_threads.get_or_insert(8);
    let mut trials = native::trials();
    trials.push(tour::trial());
    for driver in [Driver::node(), Driver::python()] {
        match driver {
            Ok(driver) => trials.extend(driver.trials()),
            // A client that cannot be installed is a failed test, never a shorter list.
            Err(error) => trials.push(Trial::test(error.client, || Err(error.reason.into()))),
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The server that a case runs against.
enum Server {
    /// `fourtuple serve` as it is without a configuration.
    Relay(Relay),
    /// The library with channels that do all that a channel can.
    Fixture(Box<Fixture>),
}

impl Server {
    fn start(kind: &str) -> Result<Self, Failed> {
        let fixture = match kind {
            "relay" => return Ok(Self::Relay(Relay::start(&[]))),
            "fixture" => Fixture::start(),
            "impatient" => Fixture::start_impatient(Duration::from_secs(1)),
            other => return Err(format!("no server is called {other}").into()),
        };
        Ok(Self::Fixture(Box::new(fixture)))
    }

    fn url(&self) -> String {
        match self {
            Self::Relay(relay) => relay.url(),
            Self::Fixture(fixture) => fixture.url(),
        }
    }

    /// Drains the server and starts it again on the same port.
    fn restart(&mut self) {
        match self {
            Self::Relay(relay) => relay.restart(),
            Self::Fixture(fixture) => fixture.restart(),
        }
    }
}
