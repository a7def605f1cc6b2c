//! Clients that nobody here wrote, against the server: each case of each client is one test.
//!
//! ```text
//! cargo test --test clients                      every case
//! cargo test --test clients -- phoenix.js-1.7    one client
//! cargo test --test clients -- after_a_crash     one case of every client
//! ```
//!
//! A client in another language is a *driver*: a program that lists its cases and runs one of them
//! (`tests/support/driver.rs`). This program gives every case a server of its own and does to the server what the
//! case asks for.

mod native;
#[path = "../support/mod.rs"]
mod support;
mod tour;

use std::{path::Path, process::ExitCode, time::Duration};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::support::{
    driver::{Driver, Stage},
    fixture::Fixture,
    relay::Relay,
};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // A case mostly waits for what its client does by itself a second later.
    arguments.test_threads.get_or_insert(8);
    let mut trials = native::trials();
    trials.push(tour::trial());
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    for (client, driver) in [
        // Published versions of npm `phoenix`, with `ws` as their transport.
        ("phoenix.js", Driver::node(&home.join("node"))),
        // PyPI `phoenix-channels-python-client`.
        ("python-client", Driver::python(&home.join("python"))),
    ] {
        match driver {
            Ok(driver) => trials.extend(driver.trials::<Server>()),
            // A client that cannot be installed is a failed test, never a shorter list.
            Err(reason) => trials.push(Trial::test(client, || Err(reason.into()))),
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

impl Stage for Server {
    fn start(kind: &str) -> Result<Self, Failed> {
        let fixture = match kind {
            "relay" => return Ok(Self::Relay(Relay::start_alone(&[]))),
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

    fn steer(&mut self, order: &str) -> Result<String, Failed> {
        if order != "restart" {
            return Err("nobody knows how".into());
        }
        self.restart();
        Ok(String::new())
    }
}

impl Server {
    /// Drains the server and starts it again on the same port.
    fn restart(&mut self) {
        match self {
            Self::Relay(relay) => relay.restart(),
            Self::Fixture(fixture) => fixture.restart(),
        }
    }
}
