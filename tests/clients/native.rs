//! The crate `phoenix-channel-client` with its native transport, inside this program.
//!
//! The client speaks V2 with binary payloads. It runs on a thread of its own; a case waits for it.

use std::time::Duration;

use libtest_mimic::Trial;
use phoenix_channel_client::{
    ChannelEvent, ClientError, ClientOperation, ConnectionConfig, DisconnectReason, SocketEvent,
    SubscriptionEvent,
};
use phoenix_channel_runtime::{Payload, ProtocolEvent, ReplyStatus};
use phoenix_channel_runtime_native::{
    NativeChannel, NativeOptions, NativeRuntimeError, NativeSocket,
};
use serde_json::json;

use crate::{Server, support::driver::Stage as _};

const PATIENCE: Duration = Duration::from_secs(15);

type Run = fn(&mut Server);

const CASES: &[(&str, &str, Run)] = &[
    ("relay", "joins_and_leaves", joins_and_leaves),
    (
        "relay",
        "refuses_an_unmatched_topic",
        refuses_an_unmatched_topic,
    ),
    (
        "relay",
        "broadcasts_to_everyone_in_the_room",
        broadcasts_to_everyone_in_the_room,
    ),
    ("relay", "broadcasts_binary", broadcasts_binary),
    (
        "relay",
        "reconnects_and_rejoins_after_a_restart",
        reconnects_and_rejoins_after_a_restart,
    ),
    (
        "fixture",
        "connects_with_params_and_auth_token",
        connects_with_params_and_auth_token,
    ),
    ("fixture", "sees_a_refused_connect", sees_a_refused_connect),
    (
        "fixture",
        "sees_why_a_join_was_refused",
        sees_why_a_join_was_refused,
    ),
    (
        "fixture",
        "gets_ok_and_error_replies",
        gets_ok_and_error_replies,
    ),
    (
        "fixture",
        "times_out_when_nothing_answers",
        times_out_when_nothing_answers,
    ),
    (
        "fixture",
        "pushes_binary_and_gets_binary",
        pushes_binary_and_gets_binary,
    ),
    (
        "impatient",
        "is_kept_open_by_heartbeats",
        is_kept_open_by_heartbeats,
    ),
    (
        "fixture",
        "rejoins_by_itself_after_a_crash",
        rejoins_by_itself_after_a_crash,
    ),
    (
        "fixture",
        "reconnects_after_a_forced_disconnect",
        reconnects_after_a_forced_disconnect,
    ),
];

/// One test per case.
pub(crate) fn trials() -> Vec<Trial> {
    let trial = |&(server, name, run): &(&'static str, &str, Run)| {
        Trial::test(
            format!("phoenix-channel-client::{server}::{name}"),
            move || {
                run(&mut Server::start(server)?);
                Ok(())
            },
        )
    };
    CASES.iter().map(trial).collect()
}

fn joins_and_leaves(server: &mut Server) {
    let socket = connect(server, ConnectionConfig::default());
    let room = channel(&socket, "room:lobby", json!({}));
    assert_eq!(wait("the join", room.join()).unwrap(), json!({}));
    assert_eq!(wait("the leave", room.leave()).unwrap(), json!({}));
    shut_down(&socket);
}

fn refuses_an_unmatched_topic(server: &mut Server) {
    let socket = connect(server, ConnectionConfig::default());
    let nowhere = channel(&socket, "nowhere:1", json!({}));
    assert_eq!(refusal(&nowhere), json!({"reason": "unmatched topic"}));
    shut_down(&socket);
}

fn broadcasts_to_everyone_in_the_room(server: &mut Server) {
    let [a, b] = [(); 2].map(|()| connect(server, ConnectionConfig::default()));
    let [in_a, in_b] = [&a, &b].map(|socket| joined(socket, "room:lobby"));
    let (mut seen_a, mut seen_b) = (in_a.subscribe("new_msg"), in_b.subscribe("new_msg"));
    wait("the push", in_a.cast("new_msg", json!({"body": "hello"}))).unwrap();
    for seen in [&mut seen_a, &mut seen_b] {
        let message = wait("the broadcast", seen.next()).unwrap();
        assert_eq!(
            message,
            SubscriptionEvent::Message(json!({"body": "hello"}).into())
        );
    }
    shut_down(&a);
    shut_down(&b);
}

fn broadcasts_binary(server: &mut Server) {
    let [a, b] = [(); 2].map(|()| connect(server, ConnectionConfig::default()));
    let [in_a, in_b] = [&a, &b].map(|socket| joined(socket, "room:lobby"));
    let mut seen = in_b.subscribe("blob");
    wait("the push", in_a.cast("blob", vec![0, 127, 128, 255])).unwrap();
    let message = wait("the broadcast", seen.next()).unwrap();
    assert_eq!(
        message,
        SubscriptionEvent::Message(vec![0, 127, 128, 255].into())
    );
    shut_down(&a);
    shut_down(&b);
}

fn reconnects_and_rejoins_after_a_restart(server: &mut Server) {
    let socket = connect(server, ConnectionConfig::default());
    let room = joined(&socket, "room:lobby");
    let (mut events, mut seen) = (socket.events(), room.events());
    server.restart();
    let reason = wait("the disconnect", async {
        loop {
            if let SocketEvent::Disconnected { reason } = events.next().await.unwrap() {
                break reason;
            }
        }
    });
    assert_eq!(close_code(&reason), Some(1012));
    wait_until_joined(&mut seen);
    let mut messages = room.subscribe("new_msg");
    wait("the push", room.cast("new_msg", json!({"body": "back"}))).unwrap();
    let message = wait("the broadcast", messages.next()).unwrap();
    assert_eq!(
        message,
        SubscriptionEvent::Message(json!({"body": "back"}).into())
    );
    shut_down(&socket);
}

fn connects_with_params_and_auth_token(server: &mut Server) {
    let config = ConnectionConfig::default()
        .param("user_id", "ä 7&")
        .auth_token("tok/en+=");
    let socket = connect(server, config);
    let room = joined(&socket, "room:lobby");
    let who = wait("whoami", room.call("whoami", json!({})))
        .unwrap()
        .response;
    let params = json!({"user_id": "ä 7&", "vsn": "2.0.0"});
    assert_eq!(who, json!({"params": params, "auth_token": "tok/en+="}));
    shut_down(&socket);
}

fn sees_a_refused_connect(server: &mut Server) {
    let config = ConnectionConfig::default().param("token", "bad");
    let socket = NativeSocket::spawn_with_options(server.url(), config, options()).unwrap();
    let mut events = socket.events();
    wait("the connect", socket.connect()).unwrap();
    let reason = wait("the refusal", async {
        loop {
            match events.next().await.unwrap() {
                SocketEvent::Disconnected { reason } => break reason,
                SocketEvent::Connected => panic!("the connect was not refused"),
                _ => {}
            }
        }
    });
    assert!(reason.to_string().contains("403"), "{reason}");
    shut_down(&socket);
}

fn sees_why_a_join_was_refused(server: &mut Server) {
    let socket = connect(server, ConnectionConfig::default());
    let forbidden = channel(&socket, "room:forbidden", json!({}));
    assert_eq!(refusal(&forbidden), json!({"reason": "unauthorized"}));
    let broken = channel(&socket, "room:broken", json!({}));
    assert_eq!(refusal(&broken), json!({"reason": "join crashed"}));
    shut_down(&socket);
}

fn gets_ok_and_error_replies(server: &mut Server) {
    let socket = connect(server, ConnectionConfig::default());
    let room = channel(&socket, "room:lobby", json!({"name": "native"}));
    let answer = wait("the join", room.join()).unwrap();
    assert_eq!(answer, json!({"name": "native", "room": "lobby"}));
    let reply = wait("the echo", room.call("echo", json!({"value": 42}))).unwrap();
    assert_eq!(
        (reply.status, reply.response),
        (ReplyStatus::Ok, json!({"value": 42}).into())
    );
    let reply = wait("the error", room.call("fail", json!({"reason": "because"}))).unwrap();
    let expected = (ReplyStatus::Error, json!({"reason": "because"}).into());
    assert_eq!((reply.status, reply.response), expected);
    shut_down(&socket);
}

fn times_out_when_nothing_answers(server: &mut Server) {
    let socket = connect(server, ConnectionConfig::default());
    let room = joined(&socket, "room:lobby");
    let timeout = Duration::from_millis(200);
    let error = wait(
        "the timeout",
        room.call_with_timeout("quiet", json!({}), timeout),
    );
    let expected = ClientError::Timeout {
        operation: ClientOperation::Call,
        timeout,
    };
    assert!(matches!(error, Err(NativeRuntimeError::Client(error)) if error == expected));
    shut_down(&socket);
}

fn pushes_binary_and_gets_binary(server: &mut Server) {
    let socket = connect(server, ConnectionConfig::default());
    let room = joined(&socket, "room:lobby");
    let reply = wait("the bytes", room.call("binary", vec![1, 2, 3, 250])).unwrap();
    assert_eq!(reply.response, Payload::Binary(vec![250, 3, 2, 1]));
    shut_down(&socket);
}

fn is_kept_open_by_heartbeats(server: &mut Server) {
    let options = options().heartbeat_interval(Duration::from_millis(100));
    let config = ConnectionConfig::default();
    let socket = NativeSocket::spawn_with_options(server.url(), config, options).unwrap();
    wait("the connect", socket.connect()).unwrap();
    let room = joined(&socket, "room:lobby");
    let mut events = socket.events();
    // This server closes a socket that is silent for one second; this one says nothing itself for
    // three, after which no event may be waiting.
    let quiet = wait_for(Duration::from_secs(3), events.next());
    assert!(quiet.is_none(), "{quiet:?}");
    let reply = wait("the echo", room.call("echo", json!({}))).unwrap();
    assert_eq!(reply.status, ReplyStatus::Ok);
    shut_down(&socket);
}

fn rejoins_by_itself_after_a_crash(server: &mut Server) {
    let socket = connect(server, ConnectionConfig::default());
    let room = joined(&socket, "room:lobby");
    let (mut socket_events, mut seen) = (socket.events(), room.events());
    wait("the push", room.cast("crash", json!({}))).unwrap();
    wait("phx_error", async {
        loop {
            let event = seen.next().await.unwrap();
            if let ChannelEvent::Protocol(ProtocolEvent::ChannelError { payload, .. }) = event {
                assert_eq!(payload, json!({"reason": "channel_crash"}));
                break;
            }
        }
    });
    wait_until_joined(&mut seen);
    let reply = wait("the echo", room.call("echo", json!({"n": 1}))).unwrap();
    assert_eq!(reply.response, json!({"n": 1}));
    let quiet = wait_for(Duration::ZERO, socket_events.next());
    assert!(
        quiet.is_none(),
        "a crashed channel leaves the socket open: {quiet:?}"
    );
    shut_down(&socket);
}

fn reconnects_after_a_forced_disconnect(server: &mut Server) {
    let config = ConnectionConfig::default().param("user_id", "native");
    let socket = connect(server, config);
    let room = joined(&socket, "room:lobby");
    let (mut events, mut seen) = (socket.events(), room.events());
    wait("the push", room.cast("disconnect_me", json!({}))).unwrap();
    let reason = wait("the disconnect", async {
        loop {
            if let SocketEvent::Disconnected { reason } = events.next().await.unwrap() {
                break reason;
            }
        }
    });
    assert_eq!(close_code(&reason), Some(1001));
    wait_until_joined(&mut seen);
    let reply = wait("the echo", room.call("echo", json!({}))).unwrap();
    assert_eq!(reply.status, ReplyStatus::Ok);
    shut_down(&socket);
}

/// The client's own rule decides whether to reconnect; only its waits are shorter.
fn options() -> NativeOptions {
    let soon = Duration::from_millis(50);
    NativeOptions::default()
        .reconnect_delays([soon])
        .rejoin_delays([soon])
}

fn connect(server: &Server, config: ConnectionConfig) -> NativeSocket {
    let socket = NativeSocket::spawn_with_options(server.url(), config, options()).unwrap();
    wait("the connect", socket.connect()).unwrap();
    socket
}

fn channel(socket: &NativeSocket, topic: &str, payload: serde_json::Value) -> NativeChannel {
    wait("the channel", socket.channel(topic, payload)).unwrap()
}

fn joined(socket: &NativeSocket, topic: &str) -> NativeChannel {
    let room = channel(socket, topic, json!({}));
    wait("the join", room.join()).unwrap();
    room
}

fn refusal(channel: &NativeChannel) -> Payload {
    match wait("the refusal", channel.join()) {
        Err(NativeRuntimeError::Client(ClientError::JoinRejected { response, .. })) => response,
        other => panic!("the join was not refused: {other:?}"),
    }
}

fn wait_until_joined(events: &mut phoenix_channel_runtime_native::NativeChannelEvents) {
    wait("the rejoin", async {
        loop {
            let event = events.next().await.unwrap();
            if matches!(event, ChannelEvent::Protocol(ProtocolEvent::Joined { .. })) {
                break;
            }
        }
    });
}

const fn close_code(reason: &DisconnectReason) -> Option<u16> {
    match reason {
        DisconnectReason::Closed(close) => close.code,
        _ => None,
    }
}

fn shut_down(socket: &NativeSocket) {
    wait("the shutdown", socket.shutdown()).unwrap();
}

fn wait<T>(what: &str, future: impl Future<Output = T>) -> T {
    wait_for(PATIENCE, future).unwrap_or_else(|| panic!("waited {PATIENCE:?} for {what}"))
}

/// The future's value, or nothing if it takes longer.
fn wait_for<T>(patience: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime on this thread")
        .block_on(async { tokio::time::timeout(patience, future).await.ok() })
}
