//! What a run leaves behind, in the hands of those who read it: the page in a real browser, JUnit's file in
//! another project's parser, and reports compared.
//!
//! The cases are in `tests/reports/browser/main.mjs` and drive Debian's `chromium` with playwright-core. What
//! they see is kept as pictures in `target/tmp/reports`.

#[path = "../support/mod.rs"]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::support::{
    binary::{fourtuple, on_epoll, output_of},
    driver::{Driver, Stage},
    relay::Relay,
};

/// A script whose names are markup, and whose last check fails if it may.
const SCRIPT: &str = r#"
config:
  target: ws://127.0.0.1:9/
  phases:
    - {duration: 3, arrivalRate: 20, name: "<i>warm</i>"}
  ensure:
    thresholds:
      - vusers.session_length.p95: 60000
    conditions:
      - {expression: "vusers.failed == 0 and vusers.created < CREATED_MAX"}
scenarios:
  - engine: phoenix
    name: "<script>alert('name')</script>"
    flow:
      - join: {topic: "room:{{ $randomNumber(1, 9) }}"}
      - push: {event: new_msg, payload: {body: hello}, reply: true}
      - think: 300ms
      - leave: {}
"#;

/// A run that is over.
struct Run {
    folder: PathBuf,
}

impl Run {
    /// Runs a crowd or a script against a server of its own; the files are called after `kind`.
    fn perform(kind: &str, name: &str) -> Result<(Self, Output), Failed> {
        let relay = Relay::start_with_admin(&["--shards", "2"]);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("reports")
            .join(name);
        fs::create_dir_all(&folder)?;
        let mut command = fourtuple();
        command.args(["load", "--quiet"]);
        match kind {
            "crowd" => {
                command.arg(relay.url()).args([
                    "--connections",
                    "200",
                    "--rate",
                    "100",
                    "--hold",
                    "2s",
                    "--join",
                    "room:{}",
                    "--topics",
                    "20",
                    "--publish",
                    "5/s",
                ]);
            }
            _ => {
                let created_max = if kind == "failing" { "10" } else { "1000" };
                let script = SCRIPT.replace("CREATED_MAX", created_max);
                let path = folder.join("script.yml");
                fs::write(&path, script)?;
                // Where it runs is no part of the plan, and what the file says is.
                command.arg(path).arg("--target").arg(relay.url());
            }
        }
        command
            .arg("--watch")
            .arg(format!("http://{}/metrics", relay.admin()));
        for (flag, file) in [
            ("--output", "run.json"),
            ("--html", "run.html"),
            ("--junit", "run.xml"),
        ] {
            command.arg(flag).arg(folder.join(file));
        }
        if on_epoll() {
            command.args(["--kernel", "epoll"]);
        }
        let output = output_of(&mut command);
        Ok((Self { folder }, output))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Stage for Run {
    fn start(kind: &str) -> Result<Self, Failed> {
        let (run, output) = Self::perform(kind, &format!("page-of-{kind}"))?;
        let expected = i32::from(kind == "failing");
        expect_status(&output, expected)?;
        Ok(run)
    }

    fn url(&self) -> String {
        format!("file://{}", self.file("run.html").display())
    }

    fn steer(&mut self, order: &str) -> Result<String, Failed> {
        Err(format!("nobody can `{order}` what is over").into())
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // A browser is several processes that are all busy while a page is drawn.
    arguments.test_threads.get_or_insert(2);
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reports/browser");
    let mut trials = match Driver::node(&home) {
        Ok(driver) => driver.trials::<Run>(),
        // A browser that is not there is a failed test, never a shorter list.
        Err(reason) => vec![Trial::test("browser", || Err(reason.into()))],
    };
    trials.push(Trial::test("junit_is_xml_that_others_read", junit_is_read));
    trials.push(Trial::test("reports_are_compared", reports_are_compared));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn expect_status(output: &Output, status: i32) -> Result<(), Failed> {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    match output.status.code() {
        Some(code) if code == status => Ok(()),
        code => Err(format!("status {code:?}, expected {status}: {out}{err}").into()),
    }
}

/// Prints the counts of the suite, and the message of each failure.
const PARSE: &str = "import sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
suite = root.find('testsuite')
print(suite.get('tests'), len(suite.findall('testcase')), suite.get('failures'))
for failure in suite.iter('failure'): print(failure.get('message'), failure.text)
print([p.get('value') for p in suite.iter('property') if p.get('name') == 'vusers.created'])";

fn junit_is_read() -> Result<(), Failed> {
    let (run, output) = Run::perform("failing", "junit")?;
    expect_status(&output, 1)?;
    let read = output_of(
        Command::new("python3")
            .args(["-c", PARSE])
            .arg(run.file("run.xml")),
    );
    expect_status(&read, 0)?;
    let text = String::from_utf8_lossy(&read.stdout);
    let lines: Vec<_> = text.lines().collect();
    if lines
        != [
            "2 2 1",
            "the check did not hold the check did not hold",
            "['60']",
        ]
    {
        return Err(format!("read {lines:?}").into());
    }
    Ok(())
}

fn reports_are_compared() -> Result<(), Failed> {
    let (one, output) = Run::perform("script", "before")?;
    expect_status(&output, 0)?;
    // Another server, at another port: the plan is the same, whatever the machine made of it.
    let (again, output) = Run::perform("script", "again")?;
    expect_status(&output, 0)?;
    let (failing, output) = Run::perform("failing", "after")?;
    expect_status(&output, 1)?;
    let compare = |arguments: &[&str], after: &Path| {
        let mut command = fourtuple();
        command.args(["load", "compare"]).args(arguments);
        output_of(command.arg(one.file("run.json")).arg(after))
    };
    let (before, after) = (one.file("run.json"), failing.file("run.json"));
    let elsewhere = compare(&[], &again.file("run.json"));
    if !matches!(elsewhere.status.code(), Some(0 | 1)) {
        return expect_status(&elsewhere, 0);
    }
    let same = compare(&[], &before);
    expect_status(&same, 0)?;
    let refused = compare(&[], &after);
    expect_status(&refused, 2)?;
    let error = String::from_utf8_lossy(&refused.stderr);
    if !error.contains("the plans differ in script's mark") {
        return Err(format!("it says {error}").into());
    }
    // The check that fails now is the verdict, and that is worse.
    let forced = compare(&["--force", "--json"], &after);
    expect_status(&forced, 1)?;
    let forced: serde_json::Value = serde_json::from_slice(&forced.stdout)?;
    let first = &forced["changes"][0];
    if first["metric"] != "runs that held" || first["verdict"] != "worse" {
        return Err(format!("it says {first}").into());
    }
    let no_report = compare(&[], &one.file("run.xml"));
    expect_status(&no_report, 2)
}
