//! What completions mean: bytes become heads and messages, and the app hears of them.

use std::net::SocketAddr;

use proto::{
    Frame, http,
    ws::{self, Event, OpCode},
};
use rustix::io::Errno;

use crate::{
    Answer, App, Cause, ConnId, Io, Message, Trouble, TunnelFault,
    conn::{Conn, Origin, Stage},
    greeting::{Awaits, Greeting, Head},
    io::Core,
    sys::{Completion, Received, Socket},
    tls, tunnel,
};

/// Takes an accepted socket into the table, unless the table is full.
pub(crate) fn admit<A: App>(
    core: &mut Core<A::Mail>,
    app: &mut A,
    socket: Socket,
    peer: SocketAddr,
) -> Option<ConnId> {
    if core.conns.len() >= core.settings.connections_max {
        core.counters.dropped.add(1);
        core.gone.push((socket, true));
        app.handle_trouble(Trouble::Crowded, &mut Io::new(core));
        return None;
    }
    core.counters.accepted.add(1);
    core.counters.conns.add(1);
    let greeting = Greeting::new(Awaits::Request { peer }, core.now);
    let conn = Conn::accepted(socket, peer, greeting, core.now.stamp());
    Some(core.insert(conn, peer))
}

/// A dial was answered.
fn handle_connected<A: App>(
    core: &mut Core<A::Mail>,
    app: &mut A,
    id: ConnId,
    result: Result<(), Errno>,
) {
    if let Err(errno) = result {
        return core.remove(id, Cause::Connect(errno), false);
    }
    if core.conns.get(id).is_none() {
        return;
    }
    match core.tunnels.take(id.index) {
        Some(tunnel) => tunnel::ask(core, id, tunnel),
        None => greet(core, app, id),
    }
}

/// A dialled connection has a way to its server: what the app has to say to it goes out, after TLS's own words.
pub(crate) fn greet<A: App>(core: &mut Core<A::Mail>, app: &mut A, id: ConnId) {
    let now = core.now;
    let mut request = Vec::with_capacity(256);
    let key = app.handle_connected(id, &mut request, &mut Io::new(core));
    let Some(conn) = core.conns.get_mut(id) else {
        return;
    };
    conn.stage = Stage::Greeting(Some(Box::new(Greeting::new(Awaits::Response { key }, now))));
    if conn.is_tls && !tls::start(core, id) {
        return;
    }
    core.push(id, Frame::from(request));
}

/// The kernel has answered what the shard has asked of it.
pub(crate) fn handle_answer<A: App>(core: &mut Core<A::Mail>, app: &mut A, answer: Completion<'_>) {
    match answer {
        Completion::Connected { conn, result } => handle_connected(core, app, conn, result),
        Completion::Sent { conn, result } => {
            handle_sent(core, conn, result);
            tunnel::handle_written(core, app, conn);
        }
        Completion::Blocked { conn } => handle_blocked(core, conn),
        Completion::Accepted { .. }
        | Completion::AcceptFailed(_)
        | Completion::AcceptQueueFull { .. }
        | Completion::Received { .. } => unreachable!("nobody has asked for it"),
    }
}

/// A pending send is over; what is left goes out in the write step.
fn handle_sent<M: Send + 'static>(core: &mut Core<M>, id: ConnId, result: Result<usize, Errno>) {
    let Some(conn) = core.conns.get_mut(id) else {
        return;
    };
    conn.sending = false;
    conn.held = 0;
    match result {
        Ok(sent) => {
            let lingers = matches!(conn.stage, Stage::Lingering { .. });
            core.advance(id, sent);
            if lingers || !core.is_written(id) {
                core.touch(id);
            }
        }
        Err(errno) => core.remove(id, Cause::Socket(errno), false),
    }
}

/// A pending send found no room: what it left undone is judged like any outbox that is not taken.
fn handle_blocked<M: Send + 'static>(core: &mut Core<M>, id: ConnId) {
    if let Some(conn) = core.conns.get_mut(id) {
        conn.held = 0;
        core.note_stuck(id);
        core.weigh(id);
    }
}

/// Something came out of a socket.
pub(crate) fn handle_received<A: App>(
    core: &mut Core<A::Mail>,
    app: &mut A,
    id: ConnId,
    what: Received<'_>,
) {
    let bytes = match what {
        Received::Bytes(bytes) => bytes,
        Received::End => {
            let cause = cause_of_end(core, id);
            return core.remove(id, cause, false);
        }
        Received::Failed(errno) => return core.remove(id, Cause::Socket(errno), false),
    };
    core.counters.bytes_in.add(bytes.len() as u64);
    handle_bytes(core, app, id, bytes);
}

/// Hands bytes to whom they are for: a proxy's answer is never encrypted, and what comes out of a tunnel may be.
pub(crate) fn handle_bytes<A: App>(
    core: &mut Core<A::Mail>,
    app: &mut A,
    id: ConnId,
    bytes: &mut [u8],
) {
    match core.conns.get(id) {
        None => {}
        Some(conn) if conn.awaits_tunnel() => tunnel::read_answer(core, app, id, bytes),
        Some(conn) if conn.is_tls => tls::read_records(core, app, id, bytes),
        Some(_) => handle_plain(core, app, id, bytes),
    }
}

/// What it means that a peer has ended the stream.
fn cause_of_end<M: Send + 'static>(core: &mut Core<M>, id: ConnId) -> Cause {
    if core.conns.get(id).is_some_and(Conn::awaits_tunnel) {
        return Cause::Tunnel(TunnelFault::Cut);
    }
    tls::handle_cut(core, id)
}

/// Something came that is not encrypted, or not any more.
pub(crate) fn handle_plain<A: App>(
    core: &mut Core<A::Mail>,
    app: &mut A,
    id: ConnId,
    bytes: &mut [u8],
) {
    let now = core.now.stamp();
    let Some(conn) = core.conns.get_mut(id) else {
        return;
    };
    match &mut conn.stage {
        Stage::Open | Stage::Closing => {
            if matches!(conn.stage, Stage::Open) {
                conn.stamp = now;
            }
            read_frames(core, app, id, bytes);
        }
        Stage::Greeting(_) => read_head(core, app, id, bytes),
        Stage::Dialling | Stage::Lingering { .. } => {}
    }
}

/// Adds bytes to a head; once it is whole, the app decides, and what follows it are frames.
fn read_head<A: App>(core: &mut Core<A::Mail>, app: &mut A, id: ConnId, arrived: &mut [u8]) {
    let Some(Conn {
        stage: Stage::Greeting(slot),
        ..
    }) = core.conns.get_mut(id)
    else {
        return;
    };
    // Out of the table while the app looks at it, so that the app may do as it likes.
    let Some(mut greeting) = slot.take() else {
        return;
    };
    let Greeting {
        awaits,
        head,
        began,
    } = &mut *greeting;
    let (bytes, len) = match head.handle_bytes(arrived, &core.settings.http) {
        Head::Whole { bytes, len } => (bytes, len),
        Head::Partial => {
            // What cannot become a head, such as the first bytes of TLS, is not waited for. Looked at
            // once: parsing again and again what trickles in would be quadratic work.
            let fault = head
                .has_just_begun()
                .then(|| first_fault(awaits, head.bytes(), &core.settings.http));
            *slot = Some(greeting);
            if let Some(Some(error)) = fault {
                refuse_head(core, id, error);
            }
            return;
        }
        Head::TooLarge => return refuse_head(core, id, http::Error::HeadTooLong),
    };
    let (head, rest) = bytes.split_at_mut(len);
    let opened = match &*awaits {
        Awaits::Request { peer } => answer(core, app, id, head, *peer),
        Awaits::Response { key } => check(core, app, id, head, key),
        Awaits::Tunnel(_) => unreachable!("a proxy's answer is read elsewhere"),
    };
    if !opened {
        return;
    }
    let Some(conn) = core.conns.get_mut(id) else {
        return;
    };
    conn.stage = Stage::Open;
    conn.stamp = core.now.stamp();
    let took = core.now.since(*began).as_micros();
    core.counters
        .handshakes
        .record(u64::try_from(took).unwrap_or(u64::MAX));
    core.counters.open.add(1);
    core.counters.opened.add(1);
    app.handle_open(id, &mut Io::new(core));
    if !rest.is_empty() {
        read_frames(core, app, id, rest);
    }
}

/// What is wrong already with the beginning of a head.
fn first_fault(awaits: &Awaits, bytes: &[u8], limits: &http::Limits) -> Option<http::Error> {
    match awaits {
        Awaits::Request { .. } => http::parse_request(bytes, limits).err(),
        Awaits::Response { .. } | Awaits::Tunnel(_) => http::parse_response(bytes, limits).err(),
    }
}

/// Has the app answer a request head; `true` when the answer is an upgrade.
fn answer<A: App>(
    core: &mut Core<A::Mail>,
    app: &mut A,
    id: ConnId,
    head: &[u8],
    peer: SocketAddr,
) -> bool {
    let request = match http::parse_request(head, &core.settings.http) {
        Ok(http::Parsed::Complete { head, .. }) => head,
        // The end of the head was found, so a parser that wants more disagrees with the bytes.
        Ok(http::Parsed::Partial) => {
            refuse_head(core, id, http::Error::Malformed);
            return false;
        }
        Err(error) => {
            refuse_head(core, id, error);
            return false;
        }
    };
    let mut response = Vec::with_capacity(192);
    let answer = app.handle_request(id, &request, peer, &mut response, &mut Io::new(core));
    core.push(id, Frame::from(response));
    if answer == Answer::Refuse {
        core.counters.refused.add(1);
        core.linger(id, Cause::Aborted);
    }
    answer == Answer::Upgrade
}

/// Checks a server's response head; `true` when it is the 101 that was asked for.
fn check<A: App>(
    core: &mut Core<A::Mail>,
    app: &mut A,
    id: ConnId,
    head: &[u8],
    key: &ws::handshake::ClientKey,
) -> bool {
    let failed = match http::parse_response(head, &core.settings.http) {
        Ok(http::Parsed::Complete { head: response, .. }) if response.status == 101 => {
            match app.handle_response(id, &response, key) {
                Ok(()) => return true,
                Err(error) => Cause::Handshake(error),
            }
        }
        Ok(http::Parsed::Complete { head: response, .. }) => Cause::Status(response.status),
        Ok(http::Parsed::Partial) => Cause::Head(http::Error::Malformed),
        Err(error) => Cause::Head(error),
    };
    core.remove(id, failed, false);
    false
}

/// Answers what is no request head, in either role's way.
fn refuse_head<M: Send + 'static>(core: &mut Core<M>, id: ConnId, error: http::Error) {
    let Some(conn) = core.conns.get(id) else {
        return;
    };
    if conn.origin == Origin::Dialled {
        return core.remove(id, Cause::Head(error), false);
    }
    core.counters.refused.add(1);
    let mut response = Vec::new();
    http::encode_response(
        &mut response,
        error.status(),
        &[],
        format!("{error}\n").as_bytes(),
    );
    core.push(id, Frame::from(response));
    core.linger(id, Cause::Head(error));
}

/// Reads the frames of an open or closing connection.
fn read_frames<A: App>(core: &mut Core<A::Mail>, app: &mut A, id: ConnId, bytes: &mut [u8]) {
    let Some(conn) = core.conns.get_mut(id) else {
        return;
    };
    // Out of the table for the same reason as a greeting; an idle endpoint is 16 bytes.
    let role = match conn.origin {
        Origin::Accepted => ws::Role::Server,
        Origin::Dialled => ws::Role::Client,
    };
    let mut endpoint = std::mem::replace(&mut conn.endpoint, ws::Endpoint::new(role));
    let limits = core.settings.ws;
    let mut reader = endpoint.read(&limits, bytes);
    loop {
        match reader.next_event() {
            Ok(Some(event)) => handle_event(core, app, id, event),
            Ok(None) => break,
            Err(error) => {
                handle_protocol_error(core, id, error);
                break;
            }
        }
        report_closed(core, app);
    }
    if let Some(conn) = core.conns.get_mut(id) {
        conn.endpoint = endpoint;
    }
}

fn handle_event<A: App>(core: &mut Core<A::Mail>, app: &mut A, id: ConnId, event: Event<'_>) {
    let Some(conn) = core.conns.get(id) else {
        return;
    };
    let open = matches!(conn.stage, Stage::Open);
    let message = match event {
        Event::Close(frame) => return handle_peer_close(core, id, frame),
        // RFC 6455 §5.5.1: after a close frame was sent, nothing else is.
        _ if !open => return,
        Event::Text(text) => Message::Text(text),
        Event::Binary(bytes) => Message::Binary(bytes),
        // RFC 6455 §5.5.2: a pong carries the ping's payload.
        Event::Ping(payload) => return core.push_control(id, OpCode::Pong, payload),
        Event::Pong(_) => return,
    };
    core.counters.messages_in.add(1);
    app.handle_message(id, message, &mut Io::new(core));
}

/// Answers the peer's close frame, or takes it as the answer to ours.
fn handle_peer_close<M: Send + 'static>(
    core: &mut Core<M>,
    id: ConnId,
    frame: Option<ws::CloseFrame<'_>>,
) {
    let Some(conn) = core.conns.get(id) else {
        return;
    };
    let code = frame.as_ref().map(|frame| frame.code);
    let reason = frame.map_or_else(Box::default, |frame| Box::from(frame.reason));
    if matches!(conn.stage, Stage::Open) {
        // RFC 6455 §5.5.1: a close frame is answered with one, typically with the same code.
        core.push_close(id, code, "");
    } else {
        core.touch(id);
    }
    let Some(conn) = core.conns.get_mut(id) else {
        return;
    };
    // RFC 6455 §7.1.1: the server ends the TCP connection, the client waits for that.
    let hang_up = conn.origin == Origin::Accepted;
    core.leave_open(
        id,
        Stage::Lingering {
            hang_up,
            shut: false,
        },
        Cause::Peer { code, reason },
    );
}

/// RFC 6455 §7.1.7: a broken protocol fails the connection, with a close frame that says why.
fn handle_protocol_error<M: Send + 'static>(core: &mut Core<M>, id: ConnId, error: ws::Error) {
    let Some(conn) = core.conns.get(id) else {
        return;
    };
    core.counters.protocol_errors.add(1);
    if matches!(conn.stage, Stage::Open) {
        core.push_close(id, Some(error.close_code()), "");
    }
    core.linger(id, Cause::Protocol(error));
}

/// Tells the app of the connections that are over; only then are their slots used again, so that an
/// app which dials while it hears of one end cannot get the slot of an end still to be told.
pub(crate) fn report_closed<A: App>(core: &mut Core<A::Mail>, app: &mut A) {
    while let Some((conn, closed)) = core.closed.pop_front() {
        app.handle_close(conn, &closed, &mut Io::new(core));
    }
    core.conns.reuse_retired();
}
