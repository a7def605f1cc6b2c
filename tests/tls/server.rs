//! A server whose TLS is OpenSSL's (`openssl.py`), and certificates for it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};

/// How long something may take to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// An authority, whose certificates are files of this test alone.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

/// A certificate and its key, as files.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{name}"));
        fs::create_dir_all(&folder).expect("the folder of this target is ours");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params
            .distinguished_name
            .push(DnType::CommonName, format!("authority {name}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        fs::write(folder.join("ca.pem"), issuer.pem()).expect("our folder");
        Self { issuer, folder }
    }

    /// The file of its own certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A certificate for `names`, changed by `change`.
    pub(crate) fn pass(
        &self,
        file: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Pass {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.distinguished_name.push(DnType::CommonName, file);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        let pass = Pass {
            chain: self.folder.join(format!("{file}.pem")),
            key: self.folder.join(format!("{file}.key")),
        };
        fs::write(&pass.chain, signed.pem()).expect("our folder");
        fs::write(&pass.key, key.serialize_pem()).expect("our folder");
        pass
    }

    /// A certificate of a server on this machine.
    pub(crate) fn server_pass(&self) -> Pass {
        self.pass("server", &["127.0.0.1", "localhost", "crowd.test"], |_| {})
    }

    /// The same, of years that are over.
    pub(crate) fn expired_pass(&self) -> Pass {
        self.pass("expired", &["127.0.0.1"], |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        })
    }
}

/// A running server, which ends with this value.
pub(crate) struct Server {
    child: Child,
    port: u16,
    said: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Server {
    pub(crate) fn start(pass: &Pass, version: &str, client_authority: Option<&Path>) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls/openssl.py");
        let mut command = Command::new("python3");
        command
            .arg(program)
            .arg(&pass.chain)
            .arg(&pass.key)
            .arg(version);
        command.args(client_authority);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("python3 is installed (.ci/run says what the tests need)");
        let out = child.stdout.take().expect("it is piped");
        let said = Arc::<(Mutex<Vec<String>>, Condvar)>::default();
        let heard = Arc::clone(&said);
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let mut all = heard.0.lock().expect("nobody panics with it");
                all.push(line);
                heard.1.notify_all();
            }
        });
        let mut server = Self {
            child,
            port: 0,
            said,
        };
        let port = server.wait("its port", |all| {
            all.first()?.strip_prefix("port ")?.parse().ok()
        });
        server.port = port;
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("wss://127.0.0.1:{}/", self.port)
    }

    /// Lines that begin so.
    pub(crate) fn count(&self, start: &str) -> usize {
        let all = self.said.0.lock().expect("nobody panics with it");
        all.iter().filter(|line| line.starts_with(start)).count()
    }

    /// Waits until so many lines begin so; the client's last words are heard after it has ended.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize, start: &str) {
        self.wait(start, |all| {
            let found = all.iter().filter(|line| line.starts_with(start)).count();
            (found >= count).then_some(())
        });
        assert_eq!(self.count(start), count, "{start}");
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, find: impl Fn(&[String]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut all = self.said.0.lock().expect("nobody panics with it");
        loop {
            if let Some(found) = find(&all) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the server never said {what}: {all:?}");
            let waited = self.said.1.wait_timeout(all, left);
            all = waited.expect("nobody panics with it").0;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
