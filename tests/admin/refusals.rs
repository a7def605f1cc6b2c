//! What keeps a server from starting, with the remedy in the message.

use crate::{
    http::{file, new_key},
    support::binary::{fourtuple, output_of},
};

fn refused(flags: &[&str]) -> String {
    let mut command = fourtuple();
    command
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(flags)
        .env_remove("FOURTUPLE_ADMIN_LISTEN");
    let output = output_of(&mut command);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn elsewhere_than_on_loopback_it_needs_keys_or_users() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        assert_eq!(
            refused(&["--admin-listen", address]),
            format!(
                "fourtuple: not started, 1 problem in the configuration\nflag --admin-listen: admin.listen = \
                 \"{address}\": expected a loopback address such as \"127.0.0.1:4001\", since there is neither an \
                 [[admin.key]] nor an [[admin.user]] in the file; `fourtuple key` makes one\n"
            )
        );
    }
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let none = refused(&[
        "--admin-tls-cert",
        "nowhere.pem",
        "--admin-tls-key",
        "nowhere.pem",
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    assert!(
        none.contains("cannot read nowhere.pem: No such file"),
        "{none}"
    );

    let empty = file("no-certificate.pem", "no certificate");
    let empty = empty.to_str().expect("UTF-8");
    let said = refused(&[
        "--admin-tls-cert",
        empty,
        "--admin-tls-key",
        empty,
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    assert!(
        said.contains(empty) && said.contains("admin.tls_cert"),
        "{said}"
    );

    let half = refused(&["--admin-tls-cert", empty]);
    assert!(half.contains("admin.tls_key is missing"), "{half}");
}

#[test]
fn no_hash_is_printed() {
    let (key, lines) = new_key("a", "read,publish");
    let path = file("printed-key.toml", &lines);
    let mut command = fourtuple();
    command
        .args(["serve", "--print-config", "--config"])
        .arg(path);
    let output = output_of(&mut command);
    let printed = String::from_utf8_lossy(&output.stdout);
    let hash = lines.split('"').nth(3).expect("a hash");
    assert!(
        hash.len() == 64 && !printed.contains(hash) && !printed.contains(&key),
        "{printed}"
    );
    assert!(printed.contains("hash = \"(hidden)\""), "{printed}");
    assert!(
        printed.contains("scopes = [\"read\", \"publish\"]"),
        "{printed}"
    );
}

#[test]
fn a_password_that_is_short_is_refused() {
    let mut command = fourtuple();
    // Nothing is on its standard input.
    let output = output_of(command.args(["key", "--user", "eva"]));
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("at least 12 characters"), "{said}");
    let output = output_of(fourtuple().args(["key", "--user", "e:va"]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("expected a name of 1 to 64 letters"),
        "{said}"
    );
}

#[test]
fn a_collector_that_cannot_be_one_is_refused_without_showing_its_password() {
    for (url, shown) in [
        ("https://otel:4318", "https://otel:4318"),
        ("http://otel:99999", "http://otel:99999"),
        ("http://:4318", "http://:4318"),
        ("http://eva:secret@otel:4318", "http://(hidden)@otel:4318"),
    ] {
        let said = refused(&["--admin-otlp-endpoint", url]);
        let wanted = format!(
            "fourtuple: not started, 1 problem in the configuration\nflag --admin-otlp-endpoint: \
             admin.otlp_endpoint = {shown}: expected http://HOST:PORT of an OpenTelemetry collector"
        );
        assert!(said.replace('"', "").starts_with(&wanted), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}
