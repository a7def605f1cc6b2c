//! The README's tour, word for word: what a newcomer copies must work.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use libtest_mimic::{Failed, Trial};

use crate::support::{relay::Relay, watchdog::Watchdog};

const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the README's program against `fourtuple serve`.
pub(crate) fn trial() -> Trial {
    Trial::test("readme::sixty_seconds_with_phoenix.js", run)
}

fn run() -> Result<(), Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md"))?;
    let program = block(&readme, "js").ok_or("README.md has no js block")?;
    let relay = Relay::start(&[]);
    let program = program.replace("127.0.0.1:4000", &relay.addr().to_string());
    // Below node_modules the program finds the packages that the reader is told to install.
    let folder = root.join("tests/clients/node/node_modules/.tour");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("chat.mjs"), program)?;
    let mut node = Command::new("node")
        .arg(folder.join("chat.mjs"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let watchdog = Watchdog::over(&node, PATIENCE);
    let stdout = node.stdout.take().ok_or("stdout is piped")?;
    let said = BufReader::new(stdout).lines().next().transpose()?;
    drop(watchdog);
    let expected = format!("{}: hello", node.id());
    // The program talks until it is ended.
    node.kill()?;
    node.wait()?;
    if said.as_deref() == Some(&expected) {
        return Ok(());
    }
    let mut complaint = String::new();
    node.stderr
        .take()
        .ok_or("stderr is piped")?
        .read_to_string(&mut complaint)?;
    Err(format!("heard {said:?} instead of {expected:?}\n{complaint}").into())
}

/// The first fenced block in this language.
fn block<'a>(document: &'a str, language: &str) -> Option<&'a str> {
    let (_, after) = document.split_once(&format!("```{language}\n"))?;
    after.split_once("\n```").map(|(block, _)| block)
}
