//! Configurations as operators write them: what they become, and what is said to them.

mod access;
mod every_source;

use std::ffi::OsString;

use super::{draft::Draft, file::File, setting::Declared, written::Written, *};

/// The ends of every range: the least and the most that is read, and what lies just outside.
const RANGES: &[(&str, [&str; 2], [&str; 2])] = &[
    ("shards", ["1", "1024"], ["0", "1025"]),
    ("handshake_timeout", ["1ms", "1h"], ["0ms", "3600001ms"]),
    ("idle_timeout", ["100ms", "24h"], ["99ms", "86400001ms"]),
    ("close_timeout", ["1ms", "1h"], ["0ms", "3600001ms"]),
    ("drain.batch", ["1", "1000000000"], ["0", "1000000001"]),
    ("drain.interval", ["1ms", "1h"], ["0ms", "3600001ms"]),
    ("drain.timeout", ["1ms", "24h"], ["0ms", "86400001ms"]),
    (
        "limits.connections_max",
        ["1", "1000000000"],
        ["0", "1000000001"],
    ),
    (
        "limits.connect_rate_max",
        ["1", "10000000"],
        ["0", "10000001"],
    ),
    ("limits.head_bytes_max", ["256", "1MiB"], ["255", "1048577"]),
    ("limits.headers_max", ["5", "1000"], ["4", "1001"]),
    (
        "limits.frame_bytes_max",
        ["125", "1GiB"],
        ["124", "1073741825"],
    ),
    (
        "limits.message_bytes_max",
        ["1KiB", "1GiB"],
        ["1023", "1073741825"],
    ),
    ("limits.fragments_max", ["1", "1000000"], ["0", "1000001"]),
    (
        "limits.channels_per_socket_max",
        ["1", "10000"],
        ["0", "10001"],
    ),
    ("limits.topic_bytes_max", ["7", "255"], ["6", "256"]),
    ("limits.event_bytes_max", ["9", "255"], ["8", "256"]),
    (
        "limits.outbox_bytes_max",
        ["1KiB", "1GiB"],
        ["1023", "1073741825"],
    ),
    ("limits.mailbox_max", ["16", "16777216"], ["15", "16777217"]),
    ("limits.backlog", ["1", "16777216"], ["0", "16777217"]),
    ("limits.params_pairs_max", ["1", "1000"], ["0", "1001"]),
    ("limits.params_depth_max", ["1", "64"], ["0", "65"]),
    ("admin.connections_max", ["4", "10000"], ["3", "10001"]),
    (
        "admin.connections_per_address_max",
        ["1", "10000"],
        ["0", "10001"],
    ),
    (
        "admin.request_timeout",
        ["100ms", "1h"],
        ["99ms", "3600001ms"],
    ),
    (
        "admin.write_timeout",
        ["100ms", "1h"],
        ["99ms", "3600001ms"],
    ),
    (
        "admin.body_bytes_max",
        ["1KiB", "64MiB"],
        ["1023", "67108865"],
    ),
];

/// Values of the settings that are no number, good and bad.
const WORDS: &[(&str, &[&str], &[&str])] = &[
    (
        "listen",
        &["127.0.0.1:0", "[::]:4000"],
        &["", "4000", "localhost:4000"],
    ),
    (
        "path",
        &["/", "/socket", "/a/b%20c"],
        &["", "socket", "/a?b", "/a b", "/ž"],
    ),
    (
        "host",
        &["", "example.com", "10.0.0.1", "::1"],
        &["a.com:80", "http://a.com", "a b", "a:b"],
    ),
    (
        "check_origin",
        &["host", "conn", "off", "//a.com", "https://a.com,//*.b.com"],
        &["", "on", "a b", "https://"],
    ),
    (
        "socket.id_param",
        &["", "user", "user id"],
        &["a[b]", "\u{fffd}"],
    ),
    ("socket.auth_token", &["true", "false"], &["", "yes", "1"]),
    (
        "kernel",
        &["auto", "epoll", "uring"],
        &["io_uring", "Epoll", ""],
    ),
    (
        "log.level",
        &["off", "error", "warn", "info", "debug", "trace"],
        &["", "INFO", "all"],
    ),
    (
        "admin.otlp_endpoint",
        &["http://127.0.0.1:4318", "http://otel:4318/one", ""],
        &[
            "127.0.0.1:4318",
            "otel",
            "https://otel",
            "http://:4318",
            "http://otel:99999",
        ],
    ),
    ("log.format", &["text", "json"], &["", "xml"]),
    (
        "admin.listen",
        &["auto", "off", "127.0.0.1:0", "[::1]:4001"],
        &["", "on", "4001"],
    ),
    ("admin.tls_cert", &["", "/etc/tls/tls.crt"], &["a\u{fffd}"]),
    ("admin.tls_key", &["", "/etc/tls/tls.key"], &["a\u{fffd}"]),
    (
        "admin.hosts",
        &["", "a.example.com,b.example.com", "a,::1"],
        &["a,", "a:80,b", "a b,c"],
    ),
    (
        "admin.cors_origins",
        &["", "https://a.com,http://b.com:8080", "http://[::1]:80"],
        &[
            "//a.com",
            "https://A.com",
            "https://a.com/",
            "https://",
            "https://a.com,",
        ],
    ),
];

fn setting(key: &str) -> &'static Setting {
    settings()
        .iter()
        .find(|setting| setting.key() == key)
        .unwrap_or_else(|| panic!("{key} is not declared"))
}

fn load(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Loaded, Problems> {
    let mut draft = Draft::new();
    File {
        name: "fourtuple.toml",
        text: file,
    }
    .read(&mut draft);
    let environment = environment
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let flags = flags
        .iter()
        .map(|(key, value)| (setting(key), (*value).to_owned()));
    let sources = Sources {
        file: None,
        environment: environment.collect(),
        flags: flags.collect(),
    };
    sources.load_over(draft)
}

/// What is said of a file.
fn refusal(file: &str) -> String {
    load(file, &[], &[]).expect_err(file).to_string()
}

fn config(file: &str) -> Config {
    load(file, &[], &[])
        .unwrap_or_else(|problems| panic!("{file}\n{problems}"))
        .config
}

/// What a URL has that is no list of origins.
const COLLECTOR: &str = ":4318";

/// A value as a file has it: in quotes unless it is a number or a boolean, a list as an array.
fn in_file(text: &str) -> String {
    let bare = text.parse::<i64>().is_ok() || ["true", "false"].contains(&text);
    if bare {
        text.to_owned()
    } else if text.contains(',') || text.contains("//") && !text.contains(COLLECTOR) {
        let items: Vec<_> = text.split(',').map(written::quoted).collect();
        format!("[{}]", items.join(", "))
    } else {
        written::quoted(text)
    }
}

#[test]
fn every_setting_reads_the_ends_of_its_range_and_refuses_what_lies_outside() {
    let ranges = RANGES
        .iter()
        .map(|(key, good, bad)| (*key, good.as_slice(), bad.as_slice()));
    let mut tried = Vec::new();
    for (key, good, bad) in ranges.chain(WORDS.iter().copied()) {
        let setting = setting(key);
        let read =
            |written: Written<'_>| (setting.read)(&mut Config::default(), &written).is_some();
        for text in good {
            assert!(read(Written::Argument(text)), "{key} = {text}");
        }
        for text in bad {
            assert!(!read(Written::Argument(text)), "{key} = {text}");
            let line = format!("{key} = {}", in_file(text));
            let told = format!("{key} = {}: expected {}", in_file(text), setting.expected());
            assert!(refusal(&line).contains(&told), "{line}\n{}", refusal(&line));
        }
        assert!(!read(Written::Other), "{key}");
        tried.push(key);
    }
    let declared: Vec<_> = settings().iter().map(Setting::key).collect();
    tried.sort_by_key(|key| declared.iter().position(|declared| declared == key));
    assert_eq!(tried, declared, "every setting is tried once");
}

#[test]
fn defaults_are_values_that_can_be_written() {
    for setting in settings() {
        let text = setting.default_value();
        let mut config = Config::default();
        let read = (setting.read)(&mut config, &Written::Argument(text.trim_matches('"')));
        assert_eq!(
            (read, &config),
            (Some(()), &Config::default()),
            "{}",
            setting.key()
        );
    }
    assert_eq!(config(""), Config::default());
}

#[test]
fn names_are_unique_and_documented() {
    let mut names = vec![CONFIG_FLAG.to_owned(), CONFIG_VARIABLE.to_owned()];
    for setting in settings() {
        names.extend([setting.flag(), setting.variable()]);
        names.extend(setting.flag_alias().map(str::to_owned));
        let summary = setting.summary();
        assert!(summary.ends_with('.') && summary.len() > 10, "{summary}");
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    let topic = setting("limits.topic_bytes_max");
    assert_eq!(topic.flag(), "topic-bytes-max");
    assert_eq!(topic.variable(), "FOURTUPLE_LIMITS_TOPIC_BYTES_MAX");
    assert_eq!(setting("drain.batch").flag(), "drain-batch");
    assert_eq!(topic.flag_alias(), None);
    let connections = setting("limits.connections_max");
    assert_eq!(connections.flag_alias(), Some("max-connections"));
}

#[test]
fn a_flag_wins_over_the_environment_and_both_over_the_file() {
    let file = "drain.batch = 1\n[limits]\nbacklog = 1\nheaders_max = 11\n";
    let environment = [
        ("FOURTUPLE_DRAIN_BATCH", "2"),
        ("FOURTUPLE_LIMITS_BACKLOG", "2"),
        ("PATH", "no setting of ours"),
    ];
    let loaded = load(file, &environment, &[("drain.batch", "3")]).expect("a configuration");
    assert_eq!(loaded.config.drain.batch, 3);
    assert_eq!(loaded.config.limits.backlog, 2);
    assert_eq!(loaded.config.limits.headers_max, 11);
    let printed = loaded.to_toml();
    let lines: Vec<_> = printed.lines().collect();
    let origin = |name: &str| {
        let line = lines
            .iter()
            .find(|line| line.starts_with(&format!("{name} = ")))
            .expect(name);
        line.split_once(" # ").expect("a place").1
    };
    assert_eq!(origin("batch"), "flag --drain-batch");
    assert_eq!(origin("backlog"), "environment FOURTUPLE_LIMITS_BACKLOG");
    assert_eq!(origin("headers_max"), "fourtuple.toml:4:15");
    assert_eq!(origin("listen"), "default");
}

#[test]
fn everything_wrong_is_said_at_once() {
    let file = "\
listen = 4000
[limits]
topic_byte_max = 100
event_bytes_max = 256
[[channel]]
topic = \"room:*:x\"
push = \"all\"
colour = \"red\"
[[channel]]
[drian]
batch = 1
";
    let environment = [("FOURTUPLE_LISTN", "x"), ("FOURTUPLE_PATH", "socket")];
    let flags = [("limits.backlog", "-1")];
    let problems = load(file, &environment, &flags).expect_err("all of it is wrong");
    assert_eq!(
        problems.to_string(),
        "\
fourtuple.toml:1:10: listen = 4000: expected an IP address and a port, such as \"0.0.0.0:4000\" or \"[::]:4000\"
fourtuple.toml:3:1: unknown key limits.topic_byte_max; did you mean limits.topic_bytes_max?
fourtuple.toml:4:19: limits.event_bytes_max = 256: expected 9 to 255 bytes
fourtuple.toml:6:9: channel.topic = \"room:*:x\": expected a topic of 1 to 255 bytes with * only at its end, such as \"room:*\"
fourtuple.toml:7:8: channel.push = \"all\": expected \"broadcast\", \"broadcast_from\", \"reply\" or \"refuse\"
fourtuple.toml:8:1: unknown key channel.colour
fourtuple.toml:9:1: channel.topic is missing: expected a topic of 1 to 255 bytes with * only at its end, such as \"room:*\"
fourtuple.toml:10:2: unknown key drian; did you mean drain?
environment FOURTUPLE_LISTN: unknown variable; did you mean FOURTUPLE_LISTEN?
environment FOURTUPLE_PATH: path = socket: expected a path of 1 to 255 bytes that begins with /, such as \"/socket\"
flag --backlog: limits.backlog = -1: expected 1 to 16,777,216 connections"
    );
}

#[test]
fn a_file_that_is_not_toml_is_refused_where_it_ends_to_be() {
    assert!(
        refusal("listen = \n").starts_with("fourtuple.toml:1:"),
        "{}",
        refusal("listen = \n")
    );
    assert!(
        refusal("path = \"/a\"\npath = \"/b\"\n").starts_with("fourtuple.toml:2:1: duplicate key")
    );
    for file in ["limits = 1", "channel = 1", "channel = [1]", "channel = {}"] {
        assert!(
            refusal(file).contains("expected tables")
                || refusal(file).contains("a table of settings"),
            "{file}"
        );
    }
}

#[test]
fn sizes_that_contradict_each_other_are_refused() {
    let told = |flags: &[(&str, &str)]| {
        load("", &[], flags)
            .expect_err("a contradiction")
            .to_string()
    };
    assert_eq!(
        told(&[("limits.frame_bytes_max", "2MiB")]),
        "flag --frame-bytes-max: limits.frame_bytes_max = \"2MiB\": expected at most \
         limits.message_bytes_max = \"1MiB\" (default): a frame is part of a message"
    );
    assert_eq!(
        told(&[("limits.message_bytes_max", "4MiB")]),
        "default: limits.outbox_bytes_max = \"1MiB\": expected at least limits.message_bytes_max = \
         \"4MiB\" (flag --message-bytes-max): a message must fit"
    );
    // What was refused is not compared, too.
    assert!(
        !told(&[
            ("limits.message_bytes_max", "4TiB"),
            ("limits.outbox_bytes_max", "1KiB")
        ])
        .contains("must fit")
    );

    let fits = [
        ("limits.message_bytes_max", "4MiB"),
        ("limits.outbox_bytes_max", "4MiB"),
    ];
    let config = load("", &[], &fits).expect("sizes that fit").config;
    assert_eq!(
        config.limits.ws().frame_bytes_max,
        4 << 20,
        "a frame is as long as a message"
    );
}

#[test]
fn rules_are_read_in_their_order() {
    let file = "\
socket.id_param = \"user\"
[[channel]]
topic = \"user:*\"
join = \"socket_id\"
push = \"refuse\"
[[channel]]
topic = \"echo\"
push = \"reply\"
reply = false
payload_bytes_max = \"1KiB\"
events = [\"ping\", \"new_msg\"]
";
    let rules = config(file).channels;
    let user = Rule {
        topic: "user:*".into(),
        join: Join::SocketId,
        push: Push::Refuse,
        ..Rule::default()
    };
    let echo = Rule {
        topic: "echo".into(),
        push: Push::Reply,
        reply: false,
        payload_bytes_max: Some(1_024),
        events: Some(vec!["ping".into(), "new_msg".into()]),
        ..Rule::default()
    };
    assert_eq!(rules, [user, echo]);
    assert_eq!(config("channel = []").channels, []);
}

#[test]
fn rules_that_can_never_apply_are_refused() {
    let two = |first, later| {
        refusal(&format!(
            "[[channel]]\ntopic = \"{first}\"\n[[channel]]\ntopic = \"{later}\""
        ))
    };
    assert_eq!(
        two("room:*", "room:lobby"),
        "fourtuple.toml:4:9: channel.topic = \"room:lobby\": expected a topic that no rule before it \
         covers, as \"room:*\" (fourtuple.toml:2:9) does"
    );
    assert!(two("a", "a").contains("no rule before it covers"));

    assert_eq!(
        refusal("[[channel]]\ntopic = \"a\"\njoin = \"socket_id\""),
        "\
fourtuple.toml:3:8: channel.join = \"socket_id\": expected socket.id_param to be set, so that sockets have an id
fourtuple.toml:3:8: channel.join = \"socket_id\": expected a topic that ends with *, to compare the id with"
    );
    assert_eq!(
        refusal("[[channel]]\ntopic = \"a\"\npayload_bytes_max = \"2MiB\""),
        "fourtuple.toml:3:21: channel.payload_bytes_max = \"2MiB\": expected at most \
         limits.message_bytes_max = \"1MiB\" (default)"
    );
    assert!(
        refusal("[[channel]]\ntopic = \"a\"\nevents = [\"phx_join\"]")
            .contains("not one of Phoenix's own")
    );
}

#[test]
fn rules_are_counted() {
    let file = |count: usize| -> String {
        (0..count)
            .map(|index| format!("[[channel]]\ntopic = \"t{index}\"\n"))
            .collect()
    };
    assert_eq!(
        config(&file(rule::RULES_MAX)).channels.len(),
        rule::RULES_MAX
    );
    assert!(refusal(&file(rule::RULES_MAX + 1)).ends_with("expected at most 1000 rules"));
}

#[test]
fn a_file_that_is_not_there_is_named_with_who_asked_for_it() {
    let sources = |file: Option<&str>, variable: Option<&str>| Sources {
        file: file.map(Into::into),
        environment: variable
            .map(|path| (CONFIG_VARIABLE.into(), path.into()))
            .into_iter()
            .collect(),
        flags: Vec::new(),
    };
    let told = |sources: Sources| sources.load().expect_err("no such file").to_string();
    assert_eq!(
        told(sources(Some("nowhere.toml"), None)),
        "flag --config: cannot read nowhere.toml: No such file or directory (os error 2)"
    );
    assert_eq!(
        told(sources(None, Some("nowhere.toml"))),
        "environment FOURTUPLE_CONFIG: cannot read nowhere.toml: No such file or directory (os error 2)"
    );
    // The flag wins, and the variable's file is not even looked at.
    assert!(told(sources(Some("a.toml"), Some("b.toml"))).contains("a.toml"));
    assert!(!told(sources(Some("a.toml"), Some("b.toml"))).contains("b.toml"));
}

#[test]
fn the_example_and_the_document_are_up_to_date() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    let example =
        std::fs::read_to_string(format!("{root}examples/fourtuple.toml")).expect("the example");
    assert_ne!(
        config(&example),
        Config::default(),
        "an example shows something"
    );

    let path = format!("{root}docs/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, reference()).expect("the document can be written");
    }
    let document = std::fs::read_to_string(&path).expect("the document");
    assert!(
        document == reference(),
        "docs/configuration.md is stale: UPDATE_DOCS=1 cargo test -p fourtuple-server"
    );
}
