//! Keys and users of the control plane: what is read, what is refused, and what is never shown.

use super::*;

const HEX: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const PHC: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21l$MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI";

fn file() -> String {
    format!(
        "[admin]\nlisten = \"0.0.0.0:4001\"\n\
         [[admin.key]]\nname = \"grafana\"\nhash = \"{HEX}\"\n\
         [[admin.key]]\nname = \"shop\"\nhash = \"{}\"\nscopes = [\"read\", \"publish\"]\n\
         [[admin.user]]\nname = \"eva\"\npassword_hash = \"{PHC}\"\nscopes = [\"admin\"]\n",
        HEX.replace('0', "1")
    )
}

#[test]
fn keys_and_users_are_read() {
    let admin = config(&file()).admin;
    let names: Vec<_> = admin.keys.iter().map(|key| &*key.name).collect();
    assert_eq!(names, ["grafana", "shop"]);
    assert_eq!(admin.keys[0].hash.to_hex(), HEX);
    assert_eq!(admin.keys[0].scopes, Scopes::of(&[Scope::Read]));
    assert!(admin.keys[1].scopes.allow(Scope::Publish));
    assert_eq!(admin.users[0].password_hash.as_str(), PHC);
    assert!(admin.users[0].scopes.allow(Scope::Admin));
}

#[test]
fn hashes_are_shown_nowhere() {
    let loaded = load(&file(), &[], &[]).expect("a configuration");
    let printed = loaded.to_toml();
    let shown = format!("{printed}{:?}{loaded:?}", loaded.config);
    for secret in [
        HEX,
        PHC,
        &HEX.replace('0', "1"),
        &HEX[8..16],
        "c29tZXNhbHRzb21l",
    ] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    // What is printed stands where it stood, and is refused rather than taken for nobody's.
    let refused = refusal(&printed);
    assert_eq!(refused.lines().count(), 3, "{refused}");
    for line in refused.lines() {
        assert!(line.contains("hash = (hidden): expected"), "{line}");
    }
    // Nor is what was refused: it may be a key or a password.
    let refused = refusal("[[admin.key]]\nname = \"a\"\nhash = \"ft_secret\"");
    assert_eq!(
        refused,
        "fourtuple.toml:3:8: admin.key.hash = (hidden): expected the 64 digits of a SHA-256 that \
         `fourtuple key` prints"
    );
}

#[test]
fn what_is_wrong_with_keys_and_users_is_said() {
    for (file, told) in [
        (
            "admin.key = 1",
            "fourtuple.toml:1:13: admin.key = 1: expected tables, each under a [[admin.key]] of its own",
        ),
        (
            "[[admin.key]]\nname = \"a\"",
            "fourtuple.toml:1:1: admin.key.hash is missing: expected the 64 digits of a SHA-256 that `fourtuple key` prints",
        ),
        (
            "[[admin.keys]]\nname = \"a\"",
            "unknown key admin.keys; did you mean admin.key?",
        ),
        (
            "[[admin.user]]\nname = \"a:b\"\npassword_hash = \"\"",
            "fourtuple.toml:2:8: admin.user.name = \"a:b\": expected a name of 1 to 64 letters, digits and . _ - @",
        ),
        (
            "[[admin.key]]\nscope = [\"read\"]",
            "unknown key admin.key.scope; did you mean admin.key.scopes?",
        ),
        (
            "[[admin.key]]\nscopes = [\"write\"]",
            "admin.key.scopes = [\"write\"]: expected a list of \"read\", \"publish\" or \"admin\"",
        ),
        (
            "admin.tls_cert = \"a.pem\"",
            "fourtuple.toml:1:18: admin.tls_key is missing: expected the path of a PEM file, since admin.tls_cert is set",
        ),
    ] {
        assert!(refusal(file).contains(told), "{file}\n{}", refusal(file));
    }
    let twice = format!("[[admin.key]]\nname = \"a\"\nhash = \"{HEX}\"\n").repeat(2);
    assert_eq!(
        refusal(&twice),
        "fourtuple.toml:5:8: admin.key.name = \"a\": expected a name that no other has"
    );
}

#[test]
fn elsewhere_than_on_loopback_somebody_must_be_named() {
    for address in [
        "0.0.0.0:4001",
        "[::]:4001",
        "10.0.0.1:1",
        "[::ffff:10.0.0.1]:1",
    ] {
        let told = load("", &[], &[("admin.listen", address)]).expect_err(address);
        assert_eq!(
            told.to_string(),
            format!(
                "flag --admin-listen: admin.listen = \"{address}\": expected a loopback address such as \
                 \"127.0.0.1:4001\", since there is neither an [[admin.key]] nor an [[admin.user]] in the file; \
                 `fourtuple key` makes one"
            )
        );
        load(&file(), &[], &[("admin.listen", address)]).expect("there are keys");
    }
    for address in [
        "auto",
        "off",
        "127.0.0.1:1",
        "127.9.9.9:1",
        "[::1]:1",
        "[::ffff:127.0.0.1]:1",
    ] {
        load("", &[], &[("admin.listen", address)]).expect(address);
    }
}
