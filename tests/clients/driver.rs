//! A client in another language: its packages, its list of cases, and one case run to its end.
//!
//! ```text
//! <program> list                 prints `<server> <client>::<server>::<case>` per line
//! <program> run <case> <url>     runs one; exit code 0 when it holds
//!
//! stdout of a case: `steer restart`   ──►   restart the server
//! stdin of a case:  `done`            ◄──   when that has happened
//! ```
//!
//! Packages are installed from the lock file beside the driver, once per version of that file.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use libtest_mimic::{Failed, Trial};

use crate::{Server, support::watchdog::Watchdog};

/// A case that is still running then has hung, whatever its own deadlines say.
const CASE_PATIENCE: Duration = Duration::from_secs(120);

/// An installed client, ready to run its cases.
#[derive(Debug)]
pub(crate) struct Driver {
    /// The program and its first arguments.
    command: Vec<PathBuf>,
    cases: Vec<Case>,
}

/// Why a client could not be installed or asked for its cases.
#[derive(Debug)]
pub(crate) struct Unusable {
    pub(crate) client: &'static str,
    pub(crate) reason: String,
}

#[derive(Debug)]
struct Case {
    server: String,
    name: String,
}

impl Driver {
    /// Published versions of npm `phoenix`, with `ws` as their transport.
    pub(crate) fn node() -> Result<Self, Unusable> {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/node");
        let unusable = |reason| Unusable {
            client: "phoenix.js",
            reason,
        };
        let mut install = Command::new("npm");
        install
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&home);
        let mark = home.join("node_modules/.installed");
        install_once(&home.join("package-lock.json"), &mark, &mut [install]).map_err(unusable)?;
        Self::with_cases(vec!["node".into(), home.join("main.mjs")]).map_err(unusable)
    }

    /// PyPI `phoenix-channels-python-client`, in a virtual environment of its own.
    pub(crate) fn python() -> Result<Self, Unusable> {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/python");
        let unusable = |reason| Unusable {
            client: "python-client",
            reason,
        };
        let lock = home.join("requirements.txt");
        let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
        let python = environment.join("bin/python");
        let mut create = Command::new("python3");
        create.args(["-m", "venv", "--clear"]).arg(&environment);
        let mut install = Command::new(&python);
        install
            .args(["-m", "pip", "install", "--quiet", "--require-hashes", "-r"])
            .arg(&lock);
        let mark = environment.join("installed");
        install_once(&lock, &mark, &mut [create, install]).map_err(unusable)?;
        Self::with_cases(vec![python, home.join("main.py")]).map_err(unusable)
    }

    fn with_cases(command: Vec<PathBuf>) -> Result<Self, String> {
        let mut list = Command::new(&command[0]);
        let listed = output_of(list.args(&command[1..]).arg("list"))?;
        let cases: Vec<_> = listed
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(server, name)| Case {
                server: server.to_owned(),
                name: name.to_owned(),
            })
            .collect();
        if cases.is_empty() {
            Err("it lists no cases".to_owned())
        } else {
            Ok(Self { command, cases })
        }
    }

    /// One test per case.
    pub(crate) fn trials(self) -> Vec<Trial> {
        let command = Arc::new(self.command);
        let trial = |case: Case| {
            let command = Arc::clone(&command);
            Trial::test(case.name.clone(), move || run(&command, &case))
        };
        self.cases.into_iter().map(trial).collect()
    }
}

/// Runs `commands` unless they have succeeded before for exactly this lock file.
fn install_once(lock: &Path, mark: &Path, commands: &mut [Command]) -> Result<(), String> {
    let wanted =
        fs::read_to_string(lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    if fs::read_to_string(mark).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    for command in commands {
        output_of(command)?;
    }
    fs::write(mark, wanted).map_err(|error| format!("{}: {error}", mark.display()))
}

/// What a command prints when it succeeds.
fn output_of(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "{command:?}: {}\n{printed}{complaint}",
        output.status
    ))
}

/// Runs one case against a server of its own.
fn run(command: &[PathBuf], case: &Case) -> Result<(), Failed> {
    let mut server = Server::start(&case.server)?;
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .args(["run", &case.name, &server.url()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stderr = child.stderr.take().expect("stderr is piped");
    let complaint = thread::spawn(move || {
        let mut text = String::new();
        // What is not UTF-8 is lost from the report; the exit code still counts.
        drop(stderr.read_to_string(&mut text));
        text
    });
    let watchdog = Watchdog::over(&child, CASE_PATIENCE);
    let printed = attend(&mut child, &mut server)?;
    let status = child.wait()?;
    drop(watchdog);
    let complaint = complaint.join().unwrap_or_default();
    if status.success() {
        return Ok(());
    }
    Err(format!("{}: {status}\n{printed}{complaint}", case.name).into())
}

/// Does what the case asks for until it has nothing more to say, and returns the rest of what it said.
fn attend(child: &mut Child, server: &mut Server) -> Result<String, Failed> {
    let mut answers = child.stdin.take().expect("stdin is piped");
    let stdout = child.stdout.take().expect("stdout is piped");
    let mut printed = String::new();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        match line.strip_prefix("steer ") {
            Some("restart") => {
                server.restart();
                answers.write_all(b"done\n")?;
            }
            Some(other) => answers.write_all(format!("cannot {other}\n").as_bytes())?,
            None => {
                printed.push_str(&line);
                printed.push('\n');
            }
        }
    }
    Ok(printed)
}
