//! What reading the files that describe a machine promises for any bytes at all. A fuzz target includes
//! this file.

use std::net::Ipv4Addr;

use fourtuple_capacity::{
    SockStat,
    numbers::{
        local_addresses, local_addresses_v6, neighbours_count, number_at, one_line, threads_count,
    },
    sockets::{Counter, Counters},
};

/// Any bytes are each of the files: no count is larger than the file has lines, a number is one of its
/// words, and what is written as the kernel writes it is read.
pub(crate) fn fuzz_machine_files(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines = text.lines().count() as u64;
    check_addresses(&text, lines);
    assert_eq!(neighbours_count(&text), lines.saturating_sub(1));
    check_numbers(&text);
    check_threads(&text);
    check_counts(&text);
}

fn check_addresses(text: &str, lines: u64) {
    let (v4, v6) = (local_addresses(text), local_addresses_v6(text));
    // Each takes a line that names it and one that says what it is.
    assert!(2 * v4 <= lines && v6 <= lines);
    // One address more, which no line of the text can be a part of, is one more.
    let fresh = (0..=u32::from(u16::MAX)).map(|low| Ipv4Addr::from(0x0a00_0000 | low));
    let fresh = fresh
        .map(|address| address.to_string())
        .find(|address| !text.contains(&**address));
    if let Some(fresh) = fresh {
        let more = format!("{text}\n   |-- {fresh}\n      /32 host LOCAL\n");
        assert_eq!(local_addresses(&more), v4 + 1);
        let twice = format!("{more}   |-- {fresh}\n      /32 host LOCAL\n");
        assert_eq!(local_addresses(&twice), v4 + 1);
    }
    let more = format!("{text}\nfd000000000000000000000000000001 02 40 00 80 eth0\n");
    assert_eq!(local_addresses_v6(&more), v6 + 1);
}

fn check_numbers(text: &str) {
    let words: Vec<_> = text.split_whitespace().collect();
    let line = one_line(text);
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), words);
    assert!(!line.contains(['\n', '\t']));
    for place in 0..=words.len().min(8) {
        // The same in one line and in several.
        let number = number_at(text, place);
        assert_eq!(number.as_ref().ok(), number_at(&line, place).as_ref().ok());
        match (number, words.get(place)) {
            (Ok(u64::MAX), Some(_)) => {}
            (Ok(number), Some(word)) => {
                let digits = word.trim_start_matches(['-', '+', '0']);
                let shown = number.to_string();
                assert!(digits == shown || number == 0, "{word}: {number}");
            }
            (Ok(number), None) => panic!("{number} is in no word"),
            (Err(unknown), _) => {
                let said = unknown.to_string();
                assert!(!said.is_empty() && said.lines().count() == 1, "{said:?}");
            }
        }
    }
}

fn check_threads(text: &str) {
    if let Some(count) = threads_count(text) {
        let again = format!("0.00 0.01 0.05 1/{count} 4711\n");
        assert_eq!(threads_count(&again), Some(count));
    }
}

/// What is read of the files of counts is in them.
fn check_counts(text: &str) {
    let stat = SockStat::parse(text, text);
    for count in [
        stat.inuse_count,
        stat.inuse6_count,
        stat.orphan_count,
        stat.time_wait_count,
        stat.alloc_count,
        stat.mem_pages,
    ] {
        assert!(count.is_none_or(|count| holds(text, count)));
    }
    let counters = Counters::parse(text, text);
    for counter in Counter::ALL {
        let value = counters.value(counter);
        assert!(value.is_none_or(|value| holds(text, value) && text.contains(counter.name())));
    }
}

/// Whether a number is one of the words, with zeros or a sign in front or without.
fn holds(text: &str, number: u64) -> bool {
    let mut words = text.split(|c: char| c.is_whitespace() || c == ':');
    words.any(|word| word.parse() == Ok(number))
}
