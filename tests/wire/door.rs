//! The command line: what refuses to start says what, where and what was expected instead.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// Runs `fourtuple serve` with these flags to its end, which must come before it serves.
fn refused(flags: &[&str], variables: &[(&str, &str)]) -> String {
    let output = serve(flags, variables);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        output.status.code(),
        Some(2),
        "{flags:?} {variables:?}: {complaint}"
    );
    complaint
}

fn serve(flags: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fourtuple"))
        .arg("serve")
        .args(flags)
        .envs(variables.iter().copied())
        .output()
        .expect("the binary starts")
}

fn file(name: &str, text: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).expect("the target directory can be written");
    path.to_str().expect("a path in UTF-8").to_owned()
}

#[track_caller]
fn assert_says(complaint: &str, words: &[&str]) {
    for word in words {
        assert!(
            complaint.contains(word),
            "{word:?} is missing from {complaint}"
        );
    }
}

#[test]
fn a_bad_value_is_named_with_its_key_its_range_and_its_place() {
    let complaint = refused(&["--topic-bytes-max", "256"], &[]);
    assert_says(
        &complaint,
        &[
            "--topic-bytes-max",
            "limits.topic_bytes_max",
            "256",
            "7 to 255",
        ],
    );
    let complaint = refused(&[], &[("FOURTUPLE_IDLE_TIMEOUT", "60")]);
    assert_says(
        &complaint,
        &["FOURTUPLE_IDLE_TIMEOUT", "idle_timeout", "60", "30s"],
    );
    let bad = file("bad.toml", "[limits]\nevent_bytes_max = \"long\"\n");
    let complaint = refused(&["--config", &bad], &[]);
    assert_says(
        &complaint,
        &["bad.toml:2:", "limits.event_bytes_max", "long", "9 to 255"],
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let bad = file("worse.toml", "nonsense = 1\n[[channel]]\ntopic = \"a*b\"\n");
    let complaint = refused(
        &["--config", &bad, "--shards", "0"],
        &[("FOURTUPLE_NONSENSE", "1")],
    );
    assert_says(
        &complaint,
        &[
            "nonsense",
            "worse.toml:3:",
            "a*b",
            "--shards",
            "FOURTUPLE_NONSENSE",
        ],
    );
}

#[test]
fn an_unknown_flag_is_refused() {
    assert_says(
        &refused(&["--topic-byte-max", "9"], &[]),
        &["--topic-byte-max", "--topic-bytes-max"],
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    assert_says(
        &refused(&["--config", "no/such/file.toml"], &[]),
        &["no/such/file.toml"],
    );
    let broken = file("broken.toml", "listen = \n");
    assert_says(&refused(&["--config", &broken], &[]), &["broken.toml:1:"]);
}

#[test]
fn the_printed_configuration_says_where_each_value_is_from_and_starts_again() {
    let own = file(
        "own.toml",
        "[limits]\ntopic_bytes_max = 20\nevent_bytes_max = 20\n",
    );
    let printed = serve(
        &["--print-config", "--config", &own, "--shards", "3"],
        &[("FOURTUPLE_LIMITS_EVENT_BYTES_MAX", "30")],
    );
    assert!(printed.status.success(), "{printed:?}");
    let printed = String::from_utf8(printed.stdout).expect("UTF-8");
    let line = |key: &str| {
        let found = printed.lines().find(|line| line.starts_with(key));
        found.unwrap_or_else(|| panic!("{key} is missing from {printed}"))
    };
    assert_says(line("topic_bytes_max"), &["= 20", "own.toml"]);
    assert_says(
        line("event_bytes_max"),
        &["= 30", "FOURTUPLE_LIMITS_EVENT_BYTES_MAX"],
    );
    assert_says(line("shards"), &["= 3", "--shards"]);
    assert_says(line("idle_timeout"), &["= \"1m\"", "default"]);

    // What was printed is a configuration with the same values.
    let copy = file("copy.toml", &printed);
    let again = serve(&["--print-config", "--config", &copy], &[]);
    let again = String::from_utf8(again.stdout).expect("UTF-8");
    let values = |text: &str| text.parse::<toml::Table>().expect("TOML");
    assert_eq!(values(&again), values(&printed));
}

#[test]
fn an_address_in_use_is_a_failure_that_names_it() {
    // Without SO_REUSEPORT, so that nobody shares the port.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let addr = taken.local_addr().expect("it is bound").to_string();
    let output = serve(&["--listen", &addr], &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_says(&String::from_utf8_lossy(&output.stderr), &[&addr]);
}
