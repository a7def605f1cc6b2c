//! The dashboard in a real browser: each case is one test, with a server, a crowd and a browser of its own.
//!
//! ```text
//! cargo test --test dashboard                       every case
//! cargo test --test dashboard -- restart            some of them
//! UPDATE_IMAGES=1 cargo test --test dashboard       the README's pictures are taken anew, too
//! ```
//!
//! The cases are in `tests/dashboard/browser/cases.mjs` and drive Debian's `chromium` with playwright-core. What
//! they see is kept as pictures in `target/tmp/dashboard`.

mod stage;
#[path = "../support/mod.rs"]
mod support;

use std::{path::Path, process::ExitCode};

use libtest_mimic::{Arguments, Trial};

use crate::{stage::Performance, support::driver::Driver};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // A browser is several processes that are all busy while a page is drawn.
    arguments.test_threads.get_or_insert(2);
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dashboard/browser");
    let trials = match Driver::node(&home) {
        Ok(driver) => driver.trials::<Performance>(),
        // A browser that is not there is a failed test, never a shorter list.
        Err(reason) => vec![Trial::test("browser", || Err(reason.into()))],
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}
