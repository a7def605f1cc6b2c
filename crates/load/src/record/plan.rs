//! The plan of a run as a list of options and their values, with the names of the command line.

use std::time::Duration;

use super::Setting;
use crate::{
    comeback::Backoff,
    options::{Audience, Dialect, Options, Push},
};

/// Every option of a run against a URL, defaults applied.
pub(crate) fn of_options(options: &Options) -> Vec<Setting> {
    let none = || "none".to_owned();
    let shown = |value: Option<String>| value.unwrap_or_else(none);
    let join = options.join.as_ref().map(ToString::to_string);
    let push = options.push.map(|push| match push {
        Push::Max => "max".to_owned(),
        Push::Paced(rate) => rate.to_string(),
    });
    let (protocol, vsn) = match options.dialect {
        Dialect::Phoenix(serializer) => ("phoenix", serializer.vsn()),
        Dialect::Raw => ("raw", "none"),
    };
    let audience = match options.audience() {
        Audience::All => "all",
        Audience::Others => "others",
        Audience::Publisher => "publisher",
    };
    let reconnect = options.reconnect.map(|backoff| waits(backoff).to_owned());
    let sources = options.sources.as_ref().map(ToString::to_string);
    let proxy = options.proxy.as_ref().map(ToString::to_string);
    let automatic = || "chosen by itself".to_owned();
    [
        ("connections", options.connections.to_string()),
        ("rate", options.rate.to_string()),
        ("ramp", time(options.ramp)),
        ("hold", time(options.hold)),
        ("concurrency", options.concurrency.to_string()),
        ("sources", sources.unwrap_or_else(automatic)),
        ("proxy", shown(proxy)),
        ("protocol", protocol.to_owned()),
        ("vsn", vsn.to_owned()),
        ("join", shown(join)),
        ("topics", options.topics.to_string()),
        ("join-payload", options.join_payload.clone()),
        (
            "publish",
            shown(options.publish.map(|rate| rate.to_string())),
        ),
        ("broadcasts", options.broadcasts.to_string()),
        ("audience", audience.to_owned()),
        ("push", shown(push)),
        ("event", options.event.clone()),
        ("size", options.payload_bytes.to_string()),
        ("heartbeat", shown(options.heartbeat.map(time))),
        ("drop", shown(options.drop.map(|share| share.to_string()))),
        ("reconnect", shown(reconnect)),
        ("connect-timeout", time(options.connect_timeout)),
        ("join-timeout", time(options.join_timeout)),
        ("settle-timeout", time(options.settle_timeout)),
        (
            "shards",
            options
                .shards
                .map_or_else(automatic, |shards| shards.to_string()),
        ),
        ("kernel", format!("{:?}", options.kernel).to_lowercase()),
        (
            "watch",
            shown(options.watch.as_ref().map(|page| page.url().to_owned())),
        ),
    ]
    .map(|(name, value)| Setting::new(name, value))
    .into()
}

/// A duration as one writes it.
pub(crate) fn time(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        _ if millis.is_multiple_of(3_600_000) && millis > 0 => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(60_000) && millis > 0 => format!("{}m", millis / 60_000),
        _ if millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        _ => format!("{millis}ms"),
    }
}

/// What the waits of clients that come back are called.
pub(super) const fn waits(backoff: Backoff) -> &'static str {
    match backoff {
        Backoff::Phoenix => "phoenix",
        Backoff::Jitter => "jitter",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_named_and_times_can_be_written_back() {
        let options = Options::new("ws://h/".parse().expect("a URL"));
        let plan = of_options(&options);
        let value = |name: &str| {
            let found = plan.iter().find(|one| one.name == name);
            found.unwrap_or_else(|| panic!("no {name}")).value.as_str()
        };
        assert_eq!(value("hold"), "30s");
        assert_eq!(value("rate"), "1000/s");
        assert_eq!(value("publish"), "none");
        for text in ["0s", "1500ms", "90s", "2m", "3h"] {
            let parsed = crate::parse_duration(text).expect(text);
            assert_eq!(time(parsed), text);
        }
    }
}
