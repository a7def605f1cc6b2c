//! How often anyone may try.

use std::{
    io::{Read as _, Write as _},
    thread,
    time::{Duration, Instant},
};

use crate::http::{PATIENCE, Server, basic, connect_from, new_key, new_user, until};

const READ: &str = "GET /api/v1/history";
const GUESSER: &str = "127.0.0.2";

#[test]
fn who_shows_too_much_that_is_wrong_is_not_looked_at_for_a_while() {
    let (key, lines) = new_key("a", "read");
    let server = Server::start("tries", &lines);
    let from = |address, key: &str| server.ask_from(address, READ, &[("Authorization", key)], "");
    // Time gives back one try in six seconds, so slow as this machine may be.
    let start = Instant::now();
    let wrong = (0..)
        .map(|_| from(GUESSER, "Bearer ft_wrong"))
        .take_while(|answer| answer.status == 401)
        .count() as u64;
    let given_back = start.elapsed().as_secs() / 6 + 1;
    assert!((10..=10 + given_back).contains(&wrong), "{wrong}");

    let answer = from(GUESSER, &key);
    if answer.status != 200 {
        answer.assert_problem(429, "too many wrong keys or passwords");
        let wait: u64 = answer
            .header("retry-after")
            .expect("a time")
            .parse()
            .expect("seconds");
        assert!((1..=6).contains(&wait), "{wait}");
    }
    // Nobody else has to wait, nor does who asks nothing that needs a key.
    assert_eq!(from("127.0.0.3", &key).status, 200);
    let live = server.ask_from(GUESSER, "GET /health/live", &[], "");
    assert_eq!(live.status, 200);
    until(|| (from(GUESSER, &key).status == 200).then_some(()));
    server.until_said("too many wrong keys or passwords: not looked at for a while");
    assert_eq!(
        server.relay.output().matches("not looked at").count(),
        1,
        "it is said once a minute"
    );
}

#[test]
fn ten_thousand_wrong_passwords_do_not_keep_others_waiting() {
    const TRIES: usize = 10_000;
    let (key, one) = new_key("a", "read");
    let (_, two) = new_user("eva", "correct horse battery", "read");
    let server = Server::start("flood", &format!("{one}{two}"));
    let admin = server.admin;
    let guesser = thread::spawn(move || {
        let mut stream = connect_from(GUESSER, admin);
        let wrong = basic("eva", "wrong");
        let request = format!("{READ} HTTP/1.1\r\nHost: a\r\nAuthorization: {wrong}\r\n");
        let mut writer = stream.try_clone().expect("a second descriptor");
        let writer = thread::spawn(move || {
            let mut all = format!("{request}\r\n").repeat(TRIES - 1);
            all += &format!("{request}Connection: close\r\n\r\n");
            writer.write_all(all.as_bytes()).expect("the server reads");
        });
        let mut answers = Vec::new();
        stream
            .read_to_end(&mut answers)
            .expect("the server answers");
        writer.join().expect("all was sent");
        let answers = String::from_utf8_lossy(&answers).into_owned();
        ["401", "429"].map(|status| answers.matches(&format!("HTTP/1.1 {status}")).count())
    });
    let mut waits = Vec::new();
    while !guesser.is_finished() {
        let start = Instant::now();
        let answer = server.ask(READ, &[("Authorization", &key)]);
        assert_eq!(answer.status, 200, "{answer:?}");
        waits.push(start.elapsed());
        assert!(waits.iter().sum::<Duration>() < PATIENCE * 4);
    }
    let [checked, unseen] = guesser.join().expect("all were answered");
    assert_eq!(checked + unseen, TRIES);
    // Ten, and those that time gave back while they were checked.
    assert!((10..100).contains(&checked), "{checked} were looked at");
    waits.sort_unstable();
    let median = waits[waits.len() / 2];
    println!(
        "median {median:?} of {} while {checked} were checked",
        waits.len()
    );
    assert!(median < Duration::from_millis(500), "{median:?}");
}
