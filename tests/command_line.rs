//! The door as a person at a terminal meets it: what it prints, and with which status it ends.
//!
//! Nothing here serves. Where a server would start if it were not refused, it is told to take a free
//! port of the loopback, and ends as a failed test.

mod support;

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Output,
};

use support::binary::{assert_status, fourtuple, output_of};

/// Runs the binary without anybody's environment, to its end.
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = fourtuple();
    command.args(arguments).env_clear();
    output_of(command.envs(environment.iter().copied()))
}

/// Runs a server that must be refused, and returns how.
#[track_caller]
fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let arguments = [&["serve", "--listen", "127.0.0.1:0"], arguments].concat();
    let output = run(&arguments, environment);
    assert_status(&output, 2);
    assert_eq!(out(&output), "");
    err(&output)
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A file of this test alone.
fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).expect("the test's folder can be written");
    path
}

/// The settings of a printed configuration, without their places.
fn values(printed: &str) -> toml::Table {
    printed
        .parse()
        .unwrap_or_else(|error| panic!("{error}\n{printed}"))
}

#[test]
fn the_version_and_the_subcommands_are_named() {
    let version = run(&["--version"], &[]);
    assert_status(&version, 0);
    assert_eq!(
        out(&version),
        format!("fourtuple {}\n", env!("CARGO_PKG_VERSION"))
    );

    let help = run(&["--help"], &[]);
    assert_status(&help, 0);
    for word in ["serve", "load", "--version", "fourtuple serve"] {
        assert!(out(&help).contains(word), "{word}");
    }
}

#[test]
fn misuse_ends_with_two_and_a_hint() {
    for (arguments, hint) in [
        (&[][..], "Usage: fourtuple <COMMAND>"),
        (&["sevre"], "'serve'"),
        (
            &["serve", "--listen", "127.0.0.1:0", "--topic-byte-max", "9"],
            "'--topic-bytes-max'",
        ),
        (&["serve", "--listen"], "a value is required"),
        (
            &[
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--listen",
                "127.0.0.1:0",
            ],
            "cannot be used multiple times",
        ),
    ] {
        let output = run(arguments, &[]);
        assert_status(&output, 2);
        assert!(
            err(&output).contains(hint),
            "{arguments:?}: {}",
            err(&output)
        );
    }
}

#[test]
fn help_names_the_default_and_the_variable_of_each_setting() {
    let help = run(&["serve", "--help"], &[]);
    assert_status(&help, 0);
    // The width of the help is that of the terminal, so lines may break anywhere.
    let help = out(&help).split_whitespace().collect::<Vec<_>>().join(" ");
    for text in [
        "--listen <ADDR:PORT>",
        "[default: 0.0.0.0:4000] [env: FOURTUPLE_LISTEN]",
        "--topic-bytes-max <BYTES>",
        "Expects 7 to 255 bytes. [default: 255] [env: FOURTUPLE_LIMITS_TOPIC_BYTES_MAX]",
        "[env: FOURTUPLE_CONFIG]",
    ] {
        assert!(help.contains(text), "{text}\n{help}");
    }
}

#[test]
fn a_refused_configuration_says_everything_and_ends_with_two() {
    let path = file(
        "refused.toml",
        "lisen = \"127.0.0.1:0\"\nidle_timeout = 60\n[[channel]]\ntopic = \"a*b\"\n",
    );
    let path = path.to_str().expect("a path in UTF-8");
    let environment = [
        ("FOURTUPLE_LIMITS_BACKLOG", "many"),
        ("FOURTUPLE_LOG_LEVAL", "warn"),
    ];
    assert_eq!(
        refused(&["--config", path, "--shards", "-1"], &environment),
        format!(
            "\
fourtuple: not started, 6 problems in the configuration
{path}:1:1: unknown key lisen; did you mean listen?
{path}:2:16: idle_timeout = 60: expected 100ms to 24h, such as \"500ms\", \"30s\" or \"5m\", or \"off\"
{path}:4:9: channel.topic = \"a*b\": expected a topic of 1 to 255 bytes with * only at its end, such as \"room:*\"
environment FOURTUPLE_LIMITS_BACKLOG: limits.backlog = many: expected 1 to 16,777,216 connections
environment FOURTUPLE_LOG_LEVAL: unknown variable; did you mean FOURTUPLE_LOG_LEVEL?
flag --shards: shards = -1: expected 1 to 1,024 shards, or \"auto\"
"
        )
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    assert_eq!(
        refused(&[], &[("FOURTUPLE_CONFIG", "nowhere.toml")]),
        "fourtuple: not started, 1 problem in the configuration\nenvironment FOURTUPLE_CONFIG: \
         cannot read nowhere.toml: No such file or directory (os error 2)\n"
    );

    let broken = file("broken.toml", "listen = \n");
    let broken = broken.to_str().expect("a path in UTF-8");
    let complaint = refused(&["--config", broken], &[]);
    assert!(
        complaint.contains(&format!("{broken}:1:10: ")),
        "{complaint}"
    );
}

#[test]
fn an_address_in_use_is_a_failure_that_names_it() {
    // Without SO_REUSEPORT, so that nobody shares the port.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let addr = taken.local_addr().expect("it is bound").to_string();
    let output = run(&["serve", "--listen", &addr], &[]);
    assert_status(&output, 1);
    assert!(err(&output).contains(&addr), "{}", err(&output));
}

#[test]
fn what_is_printed_is_a_configuration() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/fourtuple.toml");
    let environment = [
        ("FOURTUPLE_LOG_LEVEL", "warn"),
        ("FOURTUPLE_LISTEN", "[::1]:1"),
    ];
    let arguments = [
        "serve",
        "--print-config",
        "--config",
        example,
        "--listen",
        "[::1]:2",
    ];
    let first = run(&arguments, &environment);
    assert_status(&first, 0);
    let printed = out(&first);
    let line = |start: &str| {
        printed
            .lines()
            .find(|line| line.starts_with(start))
            .expect(start)
    };
    assert!(line("listen = \"[::1]:2\"").ends_with(" # flag --listen"));
    assert!(line("level = \"warn\"").ends_with(" # environment FOURTUPLE_LOG_LEVEL"));
    assert!(line("id_param = \"user_id\"").contains("/fourtuple.toml:14:12"));
    assert!(line("path = \"/socket\"").ends_with(" # default"));

    let saved = file("printed.toml", &printed);
    let second = run(
        &["serve", "--print-config"],
        &[("FOURTUPLE_CONFIG", saved.to_str().expect("UTF-8"))],
    );
    assert_status(&second, 0);
    assert_eq!(values(&out(&second)), values(&printed));
    assert_eq!(
        values(&printed)["channel"].as_array().map(Vec::len),
        Some(3)
    );
}

#[test]
fn the_ledger_is_for_the_connections_that_were_asked_for() {
    let arguments = ["serve", "--print-ledger", "--kernel", "epoll"];
    let printed = |more: &[&str]| {
        let output = run(&[&arguments, more].concat(), &[]);
        assert_status(&output, 0);
        out(&output)
    };
    let text = printed(&["--max-connections", "123456"]);
    for end in [
        "server: 123,456 connections in ",
        "crowd: 123,456 connections in ",
    ] {
        assert!(text.contains(end), "{text}");
    }
    // Each term of a connection with its sum, and the sum of all.
    for words in ["epoll watch", "each connection", " 123,456 ", "together "] {
        assert!(text.contains(words), "{text}");
    }
    assert!(printed(&[]).starts_with("server: "));
}

#[test]
fn the_ledger_and_the_configuration_are_not_printed_at_once() {
    let error = refused(&["--print-ledger", "--print-config"], &[]);
    assert!(error.contains("cannot be used with"), "{error}");
}
