//! What a session makes of all that a server can say, against rustls's own server and against bytes that are none.

use std::{
    fs,
    io::{Read as _, Write as _},
    process::Command,
    sync::{Arc, LazyLock},
};

use proptest::prelude::*;
use rustls::{
    ServerConfig, ServerConnection, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
    version::{TLS12, TLS13},
};

use super::*;
use crate::tls::{TLS_CONNECTION_BYTES, TlsOptions, TlsRoots};

const NAME: &str = "crowd.test";

/// A certificate of its own authority, made once.
static OWN: LazyLock<(String, CertificateDer<'static>, Vec<u8>)> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    let key = made.signing_key.serialize_der();
    (made.cert.pem(), made.cert.der().clone(), key)
});

fn server_config(version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
    config_of(version, OWN.1.clone(), OWN.2.clone())
}

fn config_of(
    version: &'static SupportedProtocolVersion,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(key).expect("a key");
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    Arc::new(config.expect("a config"))
}

fn client(roots: TlsRoots) -> TlsClient {
    let options = TlsOptions {
        server_name: NAME.to_owned(),
        roots,
        resumes: true,
        identity: None,
    };
    TlsClient::new(&options).expect("a client")
}

fn trusting_client() -> TlsClient {
    client(TlsRoots::Pem(OWN.0.clone().into_bytes()))
}

/// A session, a server that nobody here wrote the buffers of, and what each has heard.
struct Pair {
    session: Session,
    server: ServerConnection,
    heard: Vec<u8>,
    server_heard: Vec<u8>,
    is_closed: bool,
}

impl Pair {
    fn of(client: &TlsClient, config: &Arc<ServerConfig>, resumes: bool) -> Self {
        Self {
            session: Session::new(client, resumes).expect("a session"),
            server: ServerConnection::new(Arc::clone(config)).expect("a server"),
            heard: Vec::new(),
            server_heard: Vec::new(),
            is_closed: false,
        }
    }

    /// Carries everything to and fro until nobody has anything to say, in pieces of `chunk` bytes to the session.
    fn talk(&mut self, outbox: &mut Outbox, chunk: usize) -> Result<(), TlsFault> {
        loop {
            self.session.fill(outbox, false)?;
            let mut is_idle = self.session.sealed.is_empty();
            self.hear();
            let mut wire = Vec::new();
            while self.server.wants_write() {
                self.server.write_tls(&mut wire).expect("a buffer");
            }
            is_idle &= wire.is_empty();
            for piece in wire.chunks_mut(chunk) {
                self.is_closed |= self.session.read(piece, &mut self.heard)?;
            }
            if is_idle {
                return Ok(());
            }
        }
    }

    /// The server reads what is sealed.
    fn hear(&mut self) {
        let (frames, skip) = self.session.sealed.frames();
        let wire: Vec<u8> = frames.iter().flat_map(|f| f.as_bytes()).copied().collect();
        let mut left = &wire[skip..];
        let count = left.len();
        while !left.is_empty() {
            self.server.read_tls(&mut left).expect("bytes");
            // What is wrong with it is the session's to find out, by the alert.
            let _ = self.server.process_new_packets();
            let _ = self.server.reader().read_to_end(&mut self.server_heard);
        }
        self.session.sealed.advance(count);
    }
}

fn said(outbox: &mut Outbox, messages: &[Vec<u8>]) -> Vec<u8> {
    for message in messages {
        outbox.push(Frame::from(message.as_slice()));
    }
    messages.concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn however_records_are_cut_both_hear_what_the_other_said(
        is_old in any::<bool>(),
        chunk in prop_oneof![Just(1usize), 2usize..40, 40usize..5_000, Just(100_000)],
        ours in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..3_000), 0..20),
        length in 0usize..40_000,
    ) {
        let config = server_config(if is_old { &TLS12 } else { &TLS13 });
        let mut pair = Pair::of(&trusting_client(), &config, false);
        let mut outbox = Outbox::default();
        let mut expected = said(&mut outbox, &ours);
        prop_assert_eq!(pair.talk(&mut outbox, chunk), Ok(()));
        prop_assert!(pair.session.is_open());
        let theirs: Vec<u8> = (0..length).map(|n| n as u8).collect();
        pair.server.writer().write_all(&theirs).expect("room");
        expected.extend(said(&mut outbox, std::slice::from_ref(&theirs)));
        prop_assert_eq!(pair.talk(&mut outbox, chunk), Ok(()));
        prop_assert_eq!(&pair.heard, &theirs);
        prop_assert_eq!(&pair.server_heard, &expected);
        prop_assert!(outbox.is_empty() && pair.session.partial.is_empty());
        prop_assert_eq!(pair.session.partial.capacity(), 0, "an idle session owns no buffer");
    }
}

proptest! {
    #[test]
    fn whatever_a_server_says_nobody_panics(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
        // Beginnings that look like a record.
        start in prop_oneof![Just(vec![]), Just(vec![22, 3, 3, 0, 80, 2, 0, 0, 76, 3, 3]), Just(vec![21, 3, 3, 0, 2])],
    ) {
        let mut session = Session::new(&trusting_client(), false).expect("a session");
        let mut plain = Vec::new();
        for mut piece in std::iter::once(start).chain(pieces) {
            let _ = session.read(&mut piece, &mut plain);
            prop_assert!(session.partial.len() <= PARTIAL_BYTES_MAX);
            prop_assert!(session.sealed.bytes() as usize <= 2 * SEALED_BYTES_MAX);
        }
        prop_assert!(!session.is_open() && plain.is_empty());
    }

    #[test]
    fn a_changed_byte_is_noticed_and_nobody_panics(at in 0usize..4_000, by in 1u8..=255, is_old in any::<bool>()) {
        let config = server_config(if is_old { &TLS12 } else { &TLS13 });
        let mut pair = Pair::of(&trusting_client(), &config, false);
        let mut passed = 0;
        for _ in 0..8 {
            pair.hear();
            let mut wire = Vec::new();
            while pair.server.wants_write() {
                pair.server.write_tls(&mut wire).expect("a buffer");
            }
            if (passed..passed + wire.len()).contains(&at) {
                wire[at - passed] ^= by;
            }
            passed += wire.len();
            if pair.session.read(&mut wire, &mut pair.heard).is_err() {
                return Ok(());
            }
            if pair.session.is_open() && pair.heard.is_empty() {
                let _ = pair.server.writer().write_all(b"a message");
            }
        }
        // A changed length may leave it waiting; what was changed is never taken for what was said.
        prop_assert!(pair.heard.is_empty() || pair.heard.starts_with(b"a message"));
    }
}

#[test]
fn certificates_are_refused_each_for_its_own_reason_and_the_server_is_told() {
    let config = server_config(&TLS13);
    let other = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    let stranger = client(TlsRoots::Pem(other.cert.pem().into_bytes()));
    let mut pair = Pair::of(&stranger, &config, false);
    let fault = pair
        .talk(&mut Outbox::default(), 999)
        .expect_err("a stranger");
    // Of the same name as the right one, and with another key.
    assert!(matches!(fault, TlsFault::Certificate(_)), "{fault:?}");
    assert!(!pair.session.sealed.is_empty(), "the alert");
    let mut pair = Pair::of(&client(TlsRoots::Anybody), &config, false);
    assert_eq!(pair.talk(&mut Outbox::default(), 999), Ok(()));
    assert!(pair.session.is_open());
}

/// As `openssl req -x509` makes it.
#[test]
fn an_authority_that_stands_for_a_server_by_itself_is_called_so() {
    let mut params = rcgen::CertificateParams::new([NAME.to_owned()]).expect("a name");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let own = params.self_signed(&key).expect("a certificate");
    let config = config_of(&TLS13, own.der().clone(), key.serialize_der());
    let client = client(TlsRoots::Pem(own.pem().into_bytes()));
    let mut pair = Pair::of(&client, &config, false);
    let fault = pair.talk(&mut Outbox::default(), 999);
    let Err(TlsFault::Certificate(text)) = fault else {
        panic!("{fault:?}");
    };
    assert!(text.starts_with("it is that of an authority"), "{text}");
}

#[test]
fn what_is_no_tls_is_called_so() {
    let mut session = Session::new(&trusting_client(), false).expect("a session");
    let mut answer = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
    let fault = session.read(&mut answer, &mut Vec::new());
    assert_eq!(fault, Err(TlsFault::NotTls));
}

#[test]
fn goodbyes_go_both_ways() {
    for version in [&TLS12, &TLS13] {
        let mut pair = Pair::of(&trusting_client(), &server_config(version), false);
        let mut outbox = Outbox::default();
        said(&mut outbox, &[b"the last".to_vec()]);
        pair.talk(&mut outbox, 64).expect("a talk");
        pair.server.send_close_notify();
        pair.talk(&mut outbox, 64).expect("a talk");
        assert!(pair.is_closed);
        pair.session.fill(&mut outbox, true).expect("a goodbye");
        assert!(!pair.session.sealed.is_empty());
        pair.hear();
        pair.session.fill(&mut outbox, true).expect("nothing");
        assert!(pair.session.sealed.is_empty(), "it is said once");
        assert_eq!(pair.server_heard, b"the last");
        // The end of the stream, and no `UnexpectedEof`: the goodbye has arrived.
        assert_eq!(pair.server.reader().read(&mut [0]).expect("an end"), 0);
    }
}

#[test]
fn keys_are_changed_when_the_peer_asks() {
    let mut pair = Pair::of(&trusting_client(), &server_config(&TLS13), false);
    let mut outbox = Outbox::default();
    pair.talk(&mut outbox, 7).expect("a talk");
    for round in 0..3 {
        pair.server.refresh_traffic_keys().expect("new keys");
        pair.server.writer().write_all(b"theirs").expect("room");
        pair.talk(&mut outbox, 7).expect("a talk");
        said(&mut outbox, &[b"ours".to_vec()]);
        pair.talk(&mut outbox, 7).expect("a talk");
        assert_eq!(pair.heard, b"theirs".repeat(round + 1));
        assert_eq!(pair.server_heard, b"ours".repeat(round + 1));
    }
}

#[test]
fn those_who_come_back_take_up_a_session_and_those_who_come_first_do_not() {
    for version in [&TLS12, &TLS13] {
        let (client, config) = (trusting_client(), server_config(version));
        let resumed = |resumes| {
            let mut pair = Pair::of(&client, &config, resumes);
            pair.talk(&mut Outbox::default(), 4_096).expect("a talk");
            assert!(pair.session.is_open());
            pair.session.is_resumed()
        };
        assert!(!resumed(false));
        assert!(!resumed(false), "others' sessions are not the first's");
        assert!(resumed(true));
    }
}

#[test]
fn a_slow_peer_finds_no_gap_where_unsent_messages_were_dropped() {
    let mut pair = Pair::of(&trusting_client(), &server_config(&TLS13), false);
    let mut outbox = Outbox::default();
    pair.talk(&mut outbox, 512).expect("a talk");
    said(&mut outbox, &[vec![1; 40_000], vec![2; 40_000]]);
    pair.session.fill(&mut outbox, false).expect("a record");
    let waits = pair.session.sealed.bytes() as usize;
    assert!((RECORD_BYTES_MAX..RECORD_BYTES_MAX + RECORD_OVERHEAD).contains(&waits));
    outbox.drop_unsent(0);
    said(&mut outbox, &[b"bye".to_vec()]);
    pair.talk(&mut outbox, 512).expect("a talk");
    assert_eq!(pair.server_heard, [&vec![1; 40_000][..], b"bye"].concat());
}

/// Set for the process that measures, in which nothing else happens.
const MEASURES: &str = "FOURTUPLE_MEASURES_SESSIONS";

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").expect("proc");
    let pages = statm.split(' ').nth(1).expect("resident pages");
    pages.parse::<usize>().expect("a number") * rustix::param::page_size()
}

#[test]
fn an_idle_session_takes_what_is_said() {
    const COUNT: usize = 2_000;
    if std::env::var_os(MEASURES).is_none() {
        let name = "tls::session::tests::an_idle_session_takes_what_is_said";
        let own = std::env::current_exe().expect("this program");
        let mut measures = Command::new(own);
        measures
            .args(["--exact", name, "--nocapture"])
            .env(MEASURES, "1");
        let output = measures.output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let each = text
            .lines()
            .find_map(|line| line.split_once("each=")?.1.parse::<usize>().ok());
        let each = each.unwrap_or_else(|| panic!("{text}"));
        println!("{each} bytes each");
        assert!(each <= TLS_CONNECTION_BYTES, "{each} bytes");
        assert!(
            each >= TLS_CONNECTION_BYTES * 3 / 4,
            "{each} bytes: say less"
        );
        return;
    }
    // Without tickets, which are kept for the run and not for the connection.
    let options = TlsOptions {
        server_name: NAME.to_owned(),
        roots: TlsRoots::Anybody,
        resumes: false,
        identity: None,
    };
    let client = TlsClient::new(&options).expect("a client");
    let config = server_config(&TLS13);
    let mut all = Vec::with_capacity(2 * COUNT);
    let mut open = |count: usize| {
        for _ in 0..count {
            let mut pair = Pair::of(&client, &config, false);
            pair.talk(&mut Outbox::default(), 4_096).expect("a talk");
            assert!(pair.session.is_open());
            all.push(Box::new(pair.session));
        }
    };
    // What is made and thrown away makes room in the heap.
    open(COUNT / 2);
    let before = resident_bytes();
    open(COUNT);
    println!("\nsize={}", size_of::<Session>());
    println!("each={}", (resident_bytes() - before) / COUNT);
}
