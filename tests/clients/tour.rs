//! The README's tour, word for word: what a newcomer copies must work.

use std::{
    fs,
    io::{BufRead, BufReader, Lines, Read},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use libtest_mimic::{Failed, Trial};

use crate::support::{relay::Relay, watchdog::Watchdog};

const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the README's program twice against `fourtuple serve`, which is stopped and started again.
pub(crate) fn trial() -> Trial {
    Trial::test("readme::sixty_seconds_with_phoenix.js", run)
}

fn run() -> Result<(), Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md"))?;
    let program = block(&readme, "js").ok_or("README.md has no js block")?;
    let mut relay = Relay::start_alone(&[]);
    let program = program.replace("127.0.0.1:4000", &relay.addr().to_string());
    // Below node_modules the program finds the packages that the reader is told to install.
    let folder = root.join("tests/clients/node/node_modules/.tour");
    fs::create_dir_all(&folder)?;
    let path = folder.join("chat.mjs");
    fs::write(&path, program)?;

    let mut first = Terminal::open(&path)?;
    let first_id = first.node.id();
    first.hears(first_id)?;
    let mut second = Terminal::open(&path)?;
    let second_id = second.node.id();
    second.hears(second_id)?;
    first.hears(second_id)?;

    // Who is back says hello again, and hears itself.
    relay.restart();
    first.hears(first_id)?;
    second.hears(second_id)
}

/// One of the reader's terminals, in which the program talks until it is closed.
struct Terminal {
    node: Child,
    said: Lines<BufReader<ChildStdout>>,
    _watchdog: Watchdog,
}

impl Terminal {
    fn open(program: &Path) -> Result<Self, Failed> {
        let mut node = Command::new("node")
            .arg(program)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdout = node.stdout.take().ok_or("stdout is piped")?;
        Ok(Self {
            _watchdog: Watchdog::over(&node, PATIENCE),
            said: BufReader::new(stdout).lines(),
            node,
        })
    }

    /// Reads on until the program has printed the hello of this one.
    fn hears(&mut self, id: u32) -> Result<(), Failed> {
        let expected = format!("{id}: hello");
        let mut heard = Vec::new();
        for line in self.said.by_ref() {
            let line = line?;
            if line == expected {
                return Ok(());
            }
            heard.push(line);
        }
        // It has ended, or the watchdog has ended it.
        let mut complaint = String::new();
        if let Some(mut stderr) = self.node.stderr.take() {
            stderr.read_to_string(&mut complaint)?;
        }
        Err(format!("heard {heard:?} instead of {expected:?}\n{complaint}").into())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already; either way nothing of it is left behind.
        drop(self.node.kill());
        drop(self.node.wait());
    }
}

/// The first fenced block in this language.
fn block<'a>(document: &'a str, language: &str) -> Option<&'a str> {
    let (_, after) = document.split_once(&format!("```{language}\n"))?;
    after.split_once("\n```").map(|(block, _)| block)
}
