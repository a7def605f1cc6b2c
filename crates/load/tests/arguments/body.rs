//! What reading an argument promises for any text at all. A fuzz target includes this file.

use std::{collections::HashSet, time::Duration};

use capacity::{Sources, tuples::ADDRESSES_MAX};
use fourtuple_load::{Rate, Target, TopicPattern, parse_duration};
use proto::{
    http::{self, Parsed},
    ws::handshake::{ClientKey, Upgrade, accept, encode_upgrade},
};

/// More addresses than these are not looked at one by one.
const ADDRESSES_WALKED_MAX: u64 = 1_000;

/// Any text is an argument that can be shown and read again and that does what it is for, or it is
/// refused in words.
pub(crate) fn fuzz_arguments(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    check(text, check_target);
    check(text, check_rate);
    check(text, check_sources);
    // These are not shown again; reading them must only end well.
    check(text, |_: &TopicPattern| {});
    if let Err(refusal) = parse_duration(text) {
        assert!(!refusal.is_empty());
    }
}

fn check<T>(text: &str, check: impl FnOnce(&T))
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    match text.parse() {
        Ok(argument) => check(&argument),
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
    }
}

/// A target makes a request that a server takes for an upgrade of the same target.
fn check_target(target: &Target) {
    assert_eq!(target.to_string().parse().as_ref(), Ok(target));
    for path in [target.plain(), target.phoenix("2.0.0")] {
        let mut request = Vec::new();
        let upgrade = Upgrade {
            host: &target.host(),
            target: &path,
            key: &ClientKey::new([7; 16]),
            protocols: &[],
            origin: None,
            headers: &[],
        };
        encode_upgrade(&mut request, &upgrade);
        let limits = http::Limits {
            head_bytes_max: 1 << 20,
            headers_max: 10,
        };
        let head = match http::parse_request(&request, &limits) {
            Ok(Parsed::Complete { head, len }) if len == request.len() => head,
            other => panic!("{other:?} is what {target:?} makes"),
        };
        assert_eq!(head.target, path);
        assert_eq!(head.header("host"), Some(&*target.host()));
        assert!(accept(&head).is_ok());
    }
}

/// A rate's second event is the first one that is not before its interval is over.
fn check_rate(rate: &Rate) {
    assert_eq!(rate.to_string().parse().as_ref(), Ok(rate));
    assert_eq!(rate.time_of(0), Duration::ZERO);
    assert!(rate.interval() > Duration::ZERO);
    assert_eq!(rate.count_before(rate.interval()), 1);
    // At the lowest rate this is a century.
    let far = 1_000_000;
    assert_eq!(rate.count_before(rate.time_of(far)), far);
}

/// Every address of a list is there once, in its order.
fn check_sources(sources: &Sources) {
    assert_eq!(sources.to_string().parse().as_ref(), Ok(sources));
    assert!((1..=ADDRESSES_MAX).contains(&sources.count()));
    if sources.count() <= ADDRESSES_WALKED_MAX {
        let addresses: HashSet<_> = sources.addresses().collect();
        assert_eq!(addresses.len() as u64, sources.count());
    }
}
