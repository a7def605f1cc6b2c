//! What a dialling connection promises for any bytes that a server, or a proxy, may say before anything is agreed. A
//! fuzz target includes this file.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::LazyLock,
    time::Duration,
};

use fourtuple_engine::{
    App, Cause, Closed, ConnId, Dial, Io, Message, Reactor, Settings, TlsClient, TlsOptions,
    TlsRoots, Tunnel,
    sim::{Faults, Net},
};
use proto::ws::handshake::ClientKey;

const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 443);
const SOURCE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 1_024);

/// What a client may say at most to who never agrees: a greeting for a proxy, the hello of TLS, and alerts.
const SAID_BYTES_MAX: usize = 4_096;

/// One client for all inputs: it trusts anybody, so that nothing but the protocol is in the way.
static CLIENT: LazyLock<TlsClient> = LazyLock::new(|| {
    let options = TlsOptions {
        server_name: "server.test".to_owned(),
        roots: TlsRoots::Anybody,
        resumes: true,
        identity: None,
    };
    TlsClient::new(&options).expect("a name and no authorities")
});

/// Counts what it is told.
#[derive(Debug, Default)]
struct Listener {
    opened: u32,
    ends: Vec<Cause>,
}

impl App for Listener {
    type Mail = ();

    fn handle_connected(
        &mut self,
        _: ConnId,
        request: &mut Vec<u8>,
        io: &mut Io<'_, ()>,
    ) -> ClientKey {
        request.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
        io.client_key()
    }

    fn handle_open(&mut self, _: ConnId, _: &mut Io<'_, ()>) {
        self.opened += 1;
    }

    fn handle_message(&mut self, _: ConnId, _: Message<'_>, _: &mut Io<'_, ()>) {}

    fn handle_close(&mut self, _: ConnId, closed: &Closed, _: &mut Io<'_, ()>) {
        self.ends.push(closed.cause.clone());
    }

    fn handle_mail(&mut self, (): (), _: &mut Io<'_, ()>) {}
}

/// The first byte says whether a proxy comes first and into how large pieces the rest is cut, which the other end says.
/// Whatever that is, nothing opens, the client says little, and the connection ends once and leaves nothing.
pub(crate) fn fuzz_tls_client(data: &[u8]) {
    let (way, said) = data
        .split_first()
        .map_or((0, data), |(way, said)| (*way, said));
    let net = Net::new(1, Faults::default());
    let server = net.listen(SERVER);
    let settings = Settings::default();
    let shards = Reactor::simulate([net.kernel(None)], &settings, |_, _| Listener::default());
    let mut shard = shards.into_iter().next().expect("one shard");
    shard.with_app(|_, io| {
        let dial = Dial::new(SOURCE, SERVER).with_tls(&CLIENT, true);
        let dial = match way & 1 {
            0 => dial,
            _ => dial.through(&Tunnel::new("server.test:443", None)),
        };
        io.dial(dial).expect("room for one");
    });
    let run = |shard: &mut Reactor<Listener>, seconds| {
        let until = net.now().after(Duration::from_secs(seconds));
        net.run(&mut [shard], until, || false);
    };
    shard
        .turn()
        .expect("a simulated kernel waits without failing");
    let peer = server.accept().expect("it was dialled");
    let mut heard = 0;
    for piece in said.chunks(usize::from(way >> 1) + 1) {
        let mut left = piece;
        // Who has ended reads no more.
        while !left.is_empty() && !peer.has_ended() {
            let taken = peer.write(left);
            left = &left[taken..];
            run(&mut shard, 0);
            heard += peer.read().len();
            if taken == 0 {
                break;
            }
        }
    }
    assert!(heard <= SAID_BYTES_MAX, "{heard} bytes for nobody");
    peer.close();
    run(&mut shard, 60);
    assert_eq!(shard.app().opened, 0);
    let ends = &shard.app().ends;
    assert_eq!(ends.len(), 1, "{ends:?}");
    let is_expected = matches!(
        ends[0],
        Cause::Tls(_) | Cause::Tunnel(_) | Cause::PeerGone | Cause::Socket(_)
    );
    assert!(is_expected, "{ends:?}");
    assert_eq!(shard.counters().snapshot().conns, 0);
}
