//! TLS of the admin side, with certificates that the test makes.

use std::{fs, io::Read, net::TcpStream, path::PathBuf, sync::Arc};

use rcgen::{CertificateParams, KeyPair};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName},
};

use crate::http::{Answer, Server, connect_from, exchange, file, lines, send, until};

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A certificate that is its own root.
struct Issued {
    cert_pem: String,
    key_pem: String,
    der: CertificateDer<'static>,
}

/// The two files that the server reads.
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl Issued {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let cert = CertificateParams::new(names)
            .expect("names")
            .self_signed(&key);
        let cert = cert.expect("a certificate");
        Self {
            cert_pem: cert.pem(),
            key_pem: key.serialize_pem(),
            der: cert.der().clone(),
        }
    }
}

impl Files {
    fn new(name: &str, issued: &Issued) -> Self {
        Self {
            cert: file(&format!("{name}-cert.pem"), &issued.cert_pem),
            key: file(&format!("{name}-key.pem"), &issued.key_pem),
        }
    }

    fn config(&self) -> String {
        let [cert, key] = [&self.cert, &self.key].map(|path| path.display().to_string());
        format!("[admin]\ntls_cert = \"{cert}\"\ntls_key = \"{key}\"\n")
    }

    /// Puts another pair in their place, each at once.
    fn replace(&self, issued: &Issued) {
        for (path, text) in [(&self.cert, &issued.cert_pem), (&self.key, &issued.key_pem)] {
            let next = path.with_extension("next");
            fs::write(&next, text).expect("a file");
            fs::rename(next, path).expect("the same folder");
        }
    }
}

/// A client that trusts these certificates.
fn trusting(issued: &[&Issued]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for one in issued {
        roots.add(one.der.clone()).expect("a certificate");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn connect(server: &Server, client: &Arc<ClientConfig>) -> Stream {
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::clone(client), name).expect("a client");
    StreamOwned::new(connection, connect_from("127.0.0.1", server.admin))
}

fn ask(server: &Server, client: &Arc<ClientConfig>) -> (Answer, CertificateDer<'static>) {
    let mut stream = connect(server, client);
    let host = format!("localhost:{}", server.admin.port());
    let answer = exchange(&mut stream, &host, "GET /health/live", &[], "");
    let shown = stream.conn.peer_certificates().expect("a certificate");
    (answer, shown[0].clone().into_owned())
}

#[test]
fn the_certificate_is_verified_by_a_client() {
    let (issued, other) = (Issued::new(), Issued::new());
    let server = Server::start("tls", &Files::new("tls", &issued).config());
    assert_eq!(server.scheme, "https");
    let (answer, shown) = ask(&server, &trusting(&[&issued]));
    assert_eq!((answer.status, &*answer.body), (200, "live\n"));
    assert_eq!(shown, issued.der);

    // A client that trusts another does not talk to it, nor does it talk to who speaks no TLS.
    let mut stranger = connect(&server, &trusting(&[&other]));
    assert!(stranger.read(&mut [0; 1]).is_err());
    let mut plain = connect_from("127.0.0.1", server.admin);
    send(&mut plain, "localhost", "GET /health/live", &[], "");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

#[test]
fn a_new_certificate_is_served_without_dropping_a_stream() {
    let (first, second) = (Issued::new(), Issued::new());
    let files = Files::new("reload", &first);
    let server = Server::start("reload", &files.config());
    let client = trusting(&[&first, &second]);

    let mut stream = connect(&server, &client);
    let host = format!("localhost:{}", server.admin.port());
    send(&mut stream, &host, "GET /api/v1/events", &[], "");
    let mut events = lines(stream).filter(|line| line == "event: sample");
    events.next().expect("an event");
    assert_eq!(ask(&server, &client).1, first.der);

    // What cannot be used changes nothing, and is said.
    fs::write(&files.key, "no key").expect("a file");
    server.until_said("keeps its certificate, since the new one cannot be used");
    assert_eq!(ask(&server, &client).1, first.der);

    files.replace(&second);
    until(|| (ask(&server, &client).1 == second.der).then_some(()));
    server.until_said("the admin side has a new certificate");
    // Those that the server had not yet written when the certificate was replaced, and one more.
    for _ in 0..3 {
        events.next().expect("the stream goes on");
    }
}
