//! Users with several sockets, against the room.

use super::*;

/// A script whose users have an echo, and open a feed, which is one, and a chat, which is a Phoenix socket.
fn several(count: u32, flow: &str) -> String {
    format!(
        "config:\n  target: ws://10.0.0.1:4000/echo\n  phases: [{{duration: 1, arrivalCount: {count}}}]\n  \
         timeout: 2\n  phoenix: {{heartbeat: 3s}}\n\
         scenarios:\n  - engine: ws\n    sockets:\n      feed: ws://10.0.0.1:4000/feed\n      \
         chat: {{target: 'ws://10.0.0.1:4000/socket', engine: phoenix}}\n    flow:\n{flow}"
    )
}

#[test]
fn each_message_is_for_a_step_on_its_own_socket() {
    let flow = "      - send: early\n      - open: feed\n      - open: chat\n      \
                - send: {payload: {n: 1}, capture: {json: $.n, as: own}}\n      \
                - send: {payload: {n: 2}, capture: {json: $.n, as: side}}\n        on: feed\n      \
                - join: room:a\n        on: chat\n      \
                - send: between\n      - send: feed\n        on: feed\n      \
                - push: {event: e, payload: {a: 3}, reply: true}\n        on: chat\n      \
                - close: feed\n      - think: 10\n      - open: feed\n      \
                - send: {payload: {n: 4}, capture: {json: $.n, as: again}}\n        on: feed\n      \
                - leave: {}\n        on: chat\n      \
                - log: '{{ own }} {{ side }} {{ again }}'\n";
    let run = perform(&several(6, flow), Manners::default());
    assert_eq!(run.count("vusers.completed"), 6, "{}", run.report);
    assert_eq!(run.lines, ["1 2 4"; 6]);
    // Its own, the chat, and the feed twice.
    let connects = run.figures.connect.percentiles().count;
    assert_eq!((run.figures.sockets_opened, connects), (24, 24));
    assert!(run.report.to_string().contains("websocket.sockets_opened"));
    assert!(run.figures.heartbeats >= 18, "{}", run.figures.heartbeats);
    assert_eq!(run.count("websocket.messages_sent"), 6 * 9);
    // Those who have one do not count theirs.
    let one = perform(
        &echo("[{duration: 1, arrivalCount: 2}]", "      - send: a\n"),
        Manners::default(),
    );
    assert_eq!(one.figures.sockets_opened, 0);
    assert!(!one.report.to_string().contains("sockets_opened"));
}

#[test]
fn a_message_on_another_socket_answers_nothing() {
    // The echo of what was sent on the feed comes while the user waits on its own socket.
    let flow = "      - open: feed\n      - send: a\n        on: feed\n      \
                - wait: {match: {regexp: a, value: a}}\n";
    let run = perform(&several(3, flow), Manners::default());
    assert_eq!(run.count("errors.response timeout"), 3, "{}", run.report);
    // On the same it would do.
    let flow = "      - open: feed\n      - loop: [{send: a, on: feed}]\n        count: 2\n      \
                - wait: {match: {regexp: a, value: a}}\n        on: feed\n";
    let run = perform(&several(3, flow), Manners::default());
    assert_eq!(run.count("vusers.completed"), 3, "{}", run.report);
}

#[test]
fn a_socket_that_ends_by_itself_fails_its_user_and_closes_the_others() {
    let flow = "      - open: feed\n      - open: chat\n      - join: room:a\n        on: chat\n      \
                - think: 400ms\n      - push: {event: e}\n        on: chat\n      - think: 5\n";
    let manners = Manners {
        third: Third::Closed,
        ..Manners::default()
    };
    let run = perform(&several(6, flow), manners);
    assert_eq!(
        run.count("errors.closed_with_code_1012"),
        1,
        "{}",
        run.report
    );
    assert_eq!(run.count("vusers.completed"), 5);
}

#[test]
fn what_only_a_run_can_know_fails_the_user_by_name() {
    for (flow, class) in [
        (
            "      - loop: [{open: feed}]\n        count: 2\n",
            "errors.socket_open",
        ),
        (
            "      - loop: [{open: feed}]\n        over: []\n      - send: a\n        on: feed\n",
            "errors.socket_not_open",
        ),
        (
            "      - loop: [{open: feed}]\n        over: []\n      - close: feed\n",
            "errors.socket_not_open",
        ),
    ] {
        let run = perform(&several(2, flow), Manners::default());
        assert_eq!(run.count(class), 2, "{flow}: {}", run.report);
        assert!(run.report.to_string().contains("the socket `feed`"));
    }
    // A server that is not there fails who opens it.
    let flow = "      - open: feed\n";
    let elsewhere = several(2, flow).replace("4000/feed", "4001/feed");
    let run = perform(&elsewhere, Manners::default());
    assert_eq!(run.count("vusers.completed"), 2, "{}", run.report);
}

#[test]
fn an_early_end_closes_all_sockets_of_all_users() {
    let flow = "      - open: feed\n      - open: chat\n      - loop: [{think: 1}]\n";
    let run = perform_over(
        &several(5, flow),
        Manners::default(),
        Duration::from_secs(5),
    );
    assert_eq!(run.figures.interrupted, 5, "{}", run.report);
}

#[test]
fn sockets_wait_for_slots_that_are_about_to_be_free() {
    let flow = "      - open: feed\n      - send: x\n        on: feed\n      - close: feed\n      - open: feed\n";
    let run = perform_as(
        Path::new("."),
        &several(300, flow).replace("arrivalCount", "maxVusers: 4, arrivalCount"),
        Manners::default(),
        Duration::from_secs(60),
        Default::default(),
        8,
    );
    assert_eq!(run.figures.failed.total(), 0, "{}", run.report);
    assert!(run.count("vusers.completed") > 50, "{}", run.report);
    // Where there are fewer than sockets, that is a limit.
    let flow = "      - open: feed\n      - think: 5\n";
    let run = perform_as(
        Path::new("."),
        &several(30, flow),
        Manners::default(),
        Duration::from_secs(60),
        Default::default(),
        5,
    );
    assert!(run.count("errors.EMFILE") >= 20, "{}", run.report);
}
