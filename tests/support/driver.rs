//! A program in another language that has cases: its packages, its list, and one case run to its end.
//!
//! ```text
//! <program> list                 prints `<server> <name of the case>` per line
//! <program> run <case> <url>     runs one; exit code 0 when it holds
//!
//! stdout of a case: `steer restart`   ──►   do that to the server
//! stdin of a case:  `done`            ◄──   when that has happened; what there is to say of it follows
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

use super::watchdog::Watchdog;

/// A case that is still running then has hung, whatever its own deadlines say.
const CASE_PATIENCE: Duration = Duration::from_secs(120);

/// What a case runs against, and what it may ask of that.
pub(crate) trait Stage: Sized {
    /// Starts what is called so in the list of cases.
    fn start(kind: &str) -> Result<Self, Failed>;

    /// What the case is told of it.
    fn url(&self) -> String;

    /// Does what the case asks for, and says in a line what there is to say of it.
    fn steer(&mut self, order: &str) -> Result<String, Failed>;
}

/// An installed program, ready to run its cases.
#[derive(Debug)]
pub(crate) struct Driver {
    /// The program and its first arguments.
    command: Vec<PathBuf>,
    cases: Vec<Case>,
}

#[derive(Debug)]
struct Case {
    server: String,
    name: String,
}

impl Driver {
    /// A program of Node with packages from npm, in a folder of its own.
    pub(crate) fn node(home: &Path) -> Result<Self, String> {
        install_node(home)?;
        Self::with_cases(vec!["node".into(), home.join("main.mjs")])
    }

    /// A program of Python with packages from PyPI, in a virtual environment of its own.
    pub(crate) fn python(home: &Path) -> Result<Self, String> {
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
        install_once(&lock, &mark, &mut [create, install])?;
        Self::with_cases(vec![python, home.join("main.py")])
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
    pub(crate) fn trials<S: Stage>(self) -> Vec<Trial> {
        let command = Arc::new(self.command);
        let trial = |case: Case| {
            let command = Arc::clone(&command);
            Trial::test(case.name.clone(), move || run::<S>(&command, &case))
        };
        self.cases.into_iter().map(trial).collect()
    }
}

/// Installs the packages of a folder from npm.
pub(crate) fn install_node(home: &Path) -> Result<(), String> {
    let mut install = Command::new("npm");
    install
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(home);
    let mark = home.join("node_modules/.installed");
    install_once(&home.join("package-lock.json"), &mark, &mut [install])
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
fn run<S: Stage>(command: &[PathBuf], case: &Case) -> Result<(), Failed> {
    let mut server = S::start(&case.server)?;
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
fn attend(child: &mut Child, stage: &mut impl Stage) -> Result<String, Failed> {
    let mut answers = child.stdin.take().expect("stdin is piped");
    let stdout = child.stdout.take().expect("stdout is piped");
    let mut printed = String::new();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        let Some(order) = line.strip_prefix("steer ") else {
            printed.push_str(&line);
            printed.push('\n');
            continue;
        };
        let answer = match stage.steer(order) {
            Ok(said) if said.is_empty() => "done".to_owned(),
            Ok(said) => format!("done {said}"),
            Err(error) => format!("cannot {order}: {}", error.message().unwrap_or("it failed")),
        };
        answers.write_all(format!("{answer}\n").as_bytes())?;
    }
    Ok(printed)
}
