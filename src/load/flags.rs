//! The flags of a run against a URL, and the options that they mean.

use std::{env, ffi::OsString, path::PathBuf, time::Duration};

use anyhow::Context as _;
use capacity::Sources;
use clap::{Arg, ArgAction, ArgMatches, builder::TypedValueParser as _, value_parser};
use load::{
    Audience, Backoff, Dialect, KernelChoice, Options, Proxy, Push, Rate, Share, Target,
    TopicPattern, parse_duration,
};
use proto::phoenix::Serializer;

/// Variable of the environment that names a proxy where no flag does.
const PROXY_VARIABLE: &str = "FOURTUPLE_PROXY";

pub(super) fn connection_args() -> [Arg; 12] {
    [
        number(
            "connections",
            "N",
            "Connections to open and hold [default: 1000]",
        )
        .short('c'),
        Arg::new("rate")
            .long("rate")
            .value_name("RATE")
            .value_parser(value_parser!(Rate))
            .help(
                "Connections opened per second, an open loop; falling behind is reported, not \
                 judged [default: 1000]",
            ),
        duration(
            "ramp",
            "Time over which the rate grows from nothing [default: 0s]",
        ),
        duration(
            "hold",
            "How long everything is held once it is up [default: 30s]",
        ),
        number(
            "concurrency",
            "N",
            "Handshakes unfinished at once [default: 1000]",
        ),
        Arg::new("sources")
            .long("sources")
            .value_name("ADDRESSES")
            .value_parser(value_parser!(Sources))
            .help(
                "Addresses to dial from, such as 127.0.0.2-127.0.0.9,127.0.0.20 [default: what \
                 the connections need on loopback, else the address of the route]",
            ),
        Arg::new("proxy")
            .long("proxy")
            .value_name("URL")
            // Parsed where the options are made: clap would show a URL that is none as it is.
            .help(
                "HTTP proxy that is asked for a tunnel to the server (CONNECT), \
                 http://[user:password@]host:port [default: for a URL, FOURTUPLE_PROXY in the \
                 environment]",
            ),
        duration(
            "connect-timeout",
            "From the dial to an open WebSocket, noticed up to 1s late [default: 30s]",
        ),
        duration("join-timeout", "From the join to its reply [default: 10s]"),
        duration(
            "heartbeat",
            "Time between a client's heartbeats; 0s for none [default: 30s]",
        ),
        number(
            "shards",
            "N",
            "Threads [default: one per core, at most 8, or as many as the descriptors of the \
             connections need]",
        )
            .value_parser(value_parser!(u16)),
        Arg::new("kernel")
            .long("kernel")
            .value_name("NAME")
            .value_parser(["auto", "epoll", "uring"])
            .help("What carries the connections [default: auto, which is io_uring where it can be had]"),
    ]
}

pub(super) fn client_args() -> [Arg; 4] {
    [
        Arg::new("drop")
            .long("drop")
            .value_name("SHARE")
            .value_parser(value_parser!(Share))
            .help("End this share of the connections abruptly, such as 10%, and let it come back"),
        Arg::new("reconnect")
            .long("reconnect")
            .value_name("WAITS")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("phoenix")
            .value_parser(["phoenix", "jitter"])
            .help(
                "Clients come back when their connection ends, after the waits of phoenix.js or, \
                 with =jitter, after random ones of the same mean",
            ),
        Arg::new("vsn")
            .long("vsn")
            .value_name("VERSION")
            .value_parser(
                clap::builder::NonEmptyStringValueParser::new().try_map(|text| {
                    Serializer::from_vsn(Some(&text)).map_err(|_| "expected 1.0.0 or 2.0.0")
                }),
            )
            .conflicts_with("raw")
            .help("Phoenix protocol version, 1.0.0 or 2.0.0 [default: 2.0.0]"),
        Arg::new("raw")
            .long("raw")
            .action(ArgAction::SetTrue)
            .help("Speak plain text messages instead of Phoenix; any WebSocket server will do"),
    ]
}

pub(super) fn message_args() -> [Arg; 10] {
    [
        Arg::new("join")
            .long("join")
            .value_name("TOPIC")
            .value_parser(value_parser!(TopicPattern))
            .help("Topic that every client joins; room:{} is room:0, room:1, ... with --topics"),
        number(
            "topics",
            "N",
            "Topics over which the clients spread [default: 1]",
        ),
        Arg::new("join-payload")
            .long("join-payload")
            .value_name("JSON")
            .help("Payload of the join [default: {}]"),
        Arg::new("publish")
            .long("publish")
            .value_name("RATE")
            .value_parser(value_parser!(Rate))
            .help(
                "One client per topic publishes this often, such as 1/s or 5/min; every delivery \
                 is counted",
            ),
        number(
            "broadcasts",
            "N",
            "Publish N times to every topic after the hold, the next when all have the last \
             [default: 0]",
        )
        .conflicts_with("publish"),
        Arg::new("audience")
            .long("audience")
            .value_name("WHO")
            .value_parser(["all", "others", "publisher"])
            .help(
                "Who must receive a publish: all members, others than the publisher, or the \
                 publisher alone (an echo) [default: all; publisher with --raw]",
            ),
        Arg::new("push")
            .long("push")
            .value_name("RATE")
            .value_parser(clap::builder::NonEmptyStringValueParser::new().try_map(parse_push))
            .help("Every client pushes this often, at most 1000/s, and waits for the reply; max for a closed loop"),
        Arg::new("event")
            .long("event")
            .value_name("NAME")
            .help("Event of publishes and pushes [default: new_msg]"),
        number(
            "size",
            "BYTES",
            "Payload of a publish or a push [default: 128, at least 66]",
        ),
        duration(
            "settle-timeout",
            "How long to wait for outstanding deliveries [default: 5s]",
        ),
    ]
}

/// A flag that names a file.
pub(super) fn file(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help(help)
}

fn number(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(value)
        .value_parser(value_parser!(u32))
        .help(help)
}

fn duration(name: &'static str, help: &'static str) -> Arg {
    let parser = clap::builder::OsStringValueParser::new()
        .try_map(|text: OsString| parse_duration(&text.to_string_lossy()));
    Arg::new(name)
        .long(name)
        .value_name("TIME")
        .value_parser(parser)
        .help(help)
}

fn parse_push(text: String) -> Result<Push, load::RateError> {
    if text == "max" {
        Ok(Push::Max)
    } else {
        text.parse().map(Push::Paced)
    }
}

/// The options as the flags say them; what no flag names keeps its default.
pub(super) fn options(target: Target, matches: &ArgMatches) -> anyhow::Result<Options> {
    let mut options = Options::new(target);
    set(&mut options.connections, matches, "connections");
    set(&mut options.rate, matches, "rate");
    set(&mut options.ramp, matches, "ramp");
    set(&mut options.hold, matches, "hold");
    set(&mut options.concurrency, matches, "concurrency");
    set(&mut options.connect_timeout, matches, "connect-timeout");
    set(&mut options.join_timeout, matches, "join-timeout");
    set(&mut options.settle_timeout, matches, "settle-timeout");
    set(&mut options.broadcasts, matches, "broadcasts");
    set(&mut options.topics, matches, "topics");
    set(&mut options.join_payload, matches, "join-payload");
    set(&mut options.event, matches, "event");
    set(&mut options.payload_bytes, matches, "size");
    options.sources = matches.get_one("sources").cloned();
    options.proxy = proxy_or_environment(matches)?;
    options.join = matches.get_one("join").cloned();
    options.publish = matches.get_one("publish").copied();
    options.push = matches.get_one("push").copied();
    options.shards = matches.get_one("shards").copied();
    options.drop = matches.get_one("drop").copied();
    options.reconnect = matches
        .get_one::<String>("reconnect")
        .map(|waits| match waits.as_str() {
            "jitter" => Backoff::Jitter,
            _ => Backoff::Phoenix,
        });
    options.kernel = kernel(matches);
    options.audience = matches
        .get_one::<String>("audience")
        .map(|who| match who.as_str() {
            "others" => Audience::Others,
            "publisher" => Audience::Publisher,
            _ => Audience::All,
        });
    if let Some(&heartbeat) = matches.get_one::<Duration>("heartbeat") {
        options.heartbeat = (!heartbeat.is_zero()).then_some(heartbeat);
    }
    if matches.get_flag("raw") {
        options.dialect = Dialect::Raw;
    } else if let Some(&serializer) = matches.get_one("vsn") {
        options.dialect = Dialect::Phoenix(serializer);
    }
    Ok(options)
}

/// The proxy of a flag. Its errors show no password.
pub(super) fn proxy(matches: &ArgMatches) -> anyhow::Result<Option<Proxy>> {
    let url = matches.get_one::<String>("proxy");
    url.map(|url| url.parse().context("--proxy")).transpose()
}

/// The proxy of a run against a URL: that of the flag or else of the environment, where other users of
/// the machine do not read it. A script names its own.
fn proxy_or_environment(matches: &ArgMatches) -> anyhow::Result<Option<Proxy>> {
    let found = env::var_os(PROXY_VARIABLE).filter(|url| !url.is_empty());
    match (proxy(matches)?, found) {
        (None, Some(url)) => {
            let url = url.to_string_lossy();
            url.parse().context(PROXY_VARIABLE).map(Some)
        }
        (proxy, _) => Ok(proxy),
    }
}

pub(super) fn kernel(matches: &ArgMatches) -> KernelChoice {
    match matches.get_one::<String>("kernel").map(String::as_str) {
        Some("epoll") => KernelChoice::Epoll,
        Some("uring") => KernelChoice::Uring,
        _ => KernelChoice::Auto,
    }
}

/// Replaces a default by what a flag says.
pub(super) fn set<T: Clone + Send + Sync + 'static>(
    value: &mut T,
    matches: &ArgMatches,
    flag: &str,
) {
    if let Some(given) = matches.get_one::<T>(flag) {
        value.clone_from(given);
    }
}
#[cfg(test)]
mod tests {
    use super::{
        super::{command, script, script::Aim},
        *,
    };

    fn parse(args: &str) -> Result<Options, clap::Error> {
        let args = std::iter::once("load").chain(args.split_whitespace());
        command()
            .try_get_matches_from(args)
            .map(|matches| match matches.get_one("url") {
                Some(Aim::Url(target)) => {
                    options(target.clone(), &matches).expect("a proxy, or none")
                }
                other => panic!("{other:?} is no URL"),
            })
    }

    #[test]
    fn the_flags_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn the_example_of_the_help_means_what_it_says() {
        let options = parse(
            "ws://127.0.0.1:4000/socket --connections 10000 --join room:lobby --rate 5000 \
             --hold 30s --publish 1/s --sources 127.0.0.2-127.0.0.9",
        )
        .expect("the example");
        assert_eq!(options.connections, 10_000);
        assert_eq!(options.rate.to_string(), "5000/s");
        assert_eq!(options.hold, Duration::from_secs(30));
        assert_eq!(
            options.publish.map(|rate| rate.to_string()).as_deref(),
            Some("1/s")
        );
        assert_eq!(options.sources.as_ref().map(Sources::count), Some(8));
        options.check().expect("an example that works");
    }

    #[test]
    fn a_script_is_told_from_a_url_and_flags_are_for_one_of_them() {
        for (text, is_script) in [
            ("scenario.yml", true),
            ("a/b.json", true),
            ("ws://h/config.yml", false),
        ] {
            let aim: Aim = text.parse().expect(text);
            assert_eq!(matches!(aim, Aim::Script(_)), is_script, "{text}");
        }
        let check = |args: &str| {
            let args = std::iter::once("load").chain(args.split_whitespace());
            let matches = command().try_get_matches_from(args).expect("flags");
            let aim = matches.get_one::<Aim>("url");
            script::check_flags(&matches, matches!(aim, Some(Aim::Script(_))))
                .map_err(|error| error.to_string())
        };
        assert_eq!(check("a.yml -e dev -q --shards 2 -o report.json"), Ok(()));
        assert_eq!(check("ws://h/ --rate 3"), Ok(()));
        let refusal = check("a.yml --rate 3").expect_err("not for scripts");
        assert!(refusal.contains("--rate is for a URL"), "{refusal}");
        let refusal = check("ws://h/ -t ws://i/").expect_err("for scripts");
        assert!(refusal.contains("--target is for scripts"), "{refusal}");
    }

    #[test]
    fn every_other_flag_arrives() {
        let options = parse(
            "ws://h/x --raw --push max --audience others --topics 2 --size 300 --heartbeat 0s \
             --ramp 2s --concurrency 7 --connect-timeout 1s --join-timeout 2s --settle-timeout 3s \
             --event e --join-payload {} --shards 3",
        )
        .expect("flags");
        assert_eq!(options.dialect, Dialect::Raw);
        assert_eq!(options.push, Some(Push::Max));
        assert_eq!(options.audience, Some(Audience::Others));
        assert_eq!(
            (options.topics, options.payload_bytes, options.concurrency),
            (2, 300, 7)
        );
        assert_eq!((options.heartbeat, options.shards), (None, Some(3)));
        assert_eq!(options.ramp, Duration::from_secs(2));
        assert_eq!(options.connect_timeout, Duration::from_secs(1));
        assert_eq!(options.join_timeout, Duration::from_secs(2));
        assert_eq!(options.settle_timeout, Duration::from_secs(3));
        assert_eq!(
            (options.event.as_str(), options.join_payload.as_str()),
            ("e", "{}")
        );
        let options =
            parse("--reconnect ws://h/x --broadcasts 5 --drop 2.5% --kernel epoll --join a")
                .expect("flags");
        assert_eq!(options.reconnect, Some(Backoff::Phoenix));
        assert_eq!(options.broadcasts, 5);
        assert_eq!(options.drop, "2.5%".parse().ok());
        assert_eq!(options.kernel, KernelChoice::Epoll);
        let options = parse("ws://h/x --reconnect=jitter").expect("flags");
        assert_eq!(options.reconnect, Some(Backoff::Jitter));
        let options = parse("ws://h/x --vsn 1.0.0 --push 5/s --join a").expect("flags");
        assert_eq!(options.reconnect, None);
        assert_eq!(options.dialect, Dialect::Phoenix(Serializer::V1));
        assert!(matches!(options.push, Some(Push::Paced(_))));
    }

    #[test]
    fn refusals_say_what_was_expected() {
        for (args, words) in [
            ("", "<URL|SCRIPT>"),
            ("127.0.0.1", "expected one such as ws://"),
            ("ws://h/ --rate 0", "expected a whole number from 1"),
            (
                "ws://h/ --hold soon",
                "expected a whole number with ms, s, m or h",
            ),
            ("ws://h/ --vsn 3.0.0", "expected 1.0.0 or 2.0.0"),
            ("ws://h/ --sources eth0", "expected an address such as"),
            ("ws://h/ --push often", "expected a whole number from 1"),
            ("ws://h/ --raw --vsn 2.0.0", "cannot be used with"),
            ("ws://h/ --drop 10", "such as 10%"),
            ("ws://h/ --kernel kqueue", "auto, epoll, uring"),
            (
                "ws://h/ --broadcasts 2 --publish 1/s",
                "cannot be used with",
            ),
        ] {
            let error = parse(args).expect_err(args).to_string();
            assert!(error.contains(words), "{args}: {error}");
        }
    }
}
