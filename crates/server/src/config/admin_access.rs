//! Who may use the control plane: keys of programs, users of the dashboard, and what each may do.
//!
//! A configuration holds hashes, from which nobody gets in. They are secrets all the same, because weak
//! passwords can be guessed from theirs: no message, no printed configuration and no `Debug` shows them.

use std::fmt;

use argon2::{Params, password_hash::phc};

use super::{
    kind::{Kind, Text, one_of, quoted_list},
    setting::settings,
    written::{Written, quoted},
};

settings! {
    /// A key of the control plane, for a program.
    AdminKey {
        /// What it is called in the log.
        name: String = String::new(), NAME;

        /// The SHA-256 of the key, as `fourtuple key` prints it.
        hash: KeyHash = KeyHash([0; 32]), KeyHashKind;

        /// What it may do.
        ///
        /// `"read"`: see everything. `"publish"`: publish messages. `"admin"`: these two, and all that
        /// changes the server, such as to disconnect and to drain.
        scopes: Scopes = Scopes::of(&[Scope::Read]), ScopesKind;
    }
}

settings! {
    /// A user of the control plane, for a person.
    AdminUser {
        /// The name to log in with.
        name: String = String::new(), NAME;

        /// The Argon2id hash of the password, as `fourtuple key --user NAME` prints it.
        password_hash: PasswordHash = PasswordHash(String::new()), PasswordHashKind;

        /// What the user may do, as for keys.
        scopes: Scopes = Scopes::of(&[Scope::Read]), ScopesKind;
    }
}

/// How the keys of `[[admin.key]]` begin.
pub(super) const KEY: &str = "admin.key";
/// How the keys of `[[admin.user]]` begin.
pub(super) const USER: &str = "admin.user";

/// A key that is shown is compared with each of them.
pub(super) const KEYS_MAX: usize = 1_000;
/// As many logins are remembered.
pub(super) const USERS_MAX: usize = 1_000;

/// One thing that a key or a user may be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// To see everything.
    Read,
    /// To publish messages.
    Publish,
    /// To change the server, and all the others.
    Admin,
}

/// Which of the scopes somebody has, at least one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u8);

/// The SHA-256 of a key.
///
/// A fast hash without salt is enough because a key is 256 random bits: nobody guesses one, however many
/// hashes a second can be tried, and no two are alike.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash([u8; 32]);

/// The Argon2id hash of a password as a PHC string.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Publish, Self::Admin];

    /// As the configuration says it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Publish => "publish",
            Self::Admin => "admin",
        }
    }

    /// The scope that is called so.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.word() == word)
    }
}

impl Scopes {
    /// These scopes, and what they include.
    pub fn of(scopes: &[Scope]) -> Self {
        Self(
            scopes
                .iter()
                .fold(0, |bits, scope| bits | 1 << *scope as u8),
        )
    }

    /// Reads `read,publish`.
    pub fn parse(list: &str) -> Option<Self> {
        ScopesKind.read(&Written::Argument(list))
    }

    /// Whether they allow what asks for `scope`.
    pub const fn allow(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8 | 1 << Scope::Admin as u8) != 0
    }

    /// Their words as a list of TOML.
    pub fn to_toml(self) -> String {
        let named = |scope: &Scope| self.0 & (1 << *scope as u8) != 0;
        let words = Scope::ALL.into_iter().filter(named);
        quoted_list(
            &words
                .map(|scope| scope.word().to_owned())
                .collect::<Vec<_>>(),
        )
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_toml())
    }
}

impl KeyHash {
    /// A hash that was made elsewhere.
    pub const fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// Its bytes, to compare with.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// In the digits of the configuration.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if text.len() != 2 * hash.len() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(hidden)")
    }
}

impl PasswordHash {
    /// Memory that checking a password may take, in KiB.
    const MEMORY_KIB_MAX: u32 = 256 << 10;
    /// Passes over that memory.
    const PASSES_MAX: u32 = 16;
    const LANES_MAX: u32 = 16;

    /// Reads a PHC string; none when it is not Argon2id, or would cost more than a login may.
    pub fn parse(text: &str) -> Option<Self> {
        let hash = phc::PasswordHash::new(text).ok()?;
        let params = Params::try_from(&hash).ok()?;
        let bounded = params.m_cost() <= Self::MEMORY_KIB_MAX
            && params.t_cost() <= Self::PASSES_MAX
            && params.p_cost() <= Self::LANES_MAX;
        let complete = hash.salt.is_some() && hash.hash.is_some();
        let is_argon2id = hash.algorithm.as_str() == "argon2id";
        (is_argon2id && bounded && complete).then(|| Self(text.to_owned()))
    }

    /// The PHC string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(hidden)")
    }
}

/// Stands for a secret where it must not be shown; no secret is written so.
const HIDDEN: &str = "(hidden)";

#[derive(Clone, Copy, Debug)]
struct KeyHashKind;

#[derive(Clone, Copy, Debug)]
struct PasswordHashKind;

#[derive(Clone, Copy, Debug)]
struct ScopesKind;

impl Kind for KeyHashKind {
    type Value = KeyHash;

    fn read(&self, written: &Written<'_>) -> Option<KeyHash> {
        KeyHash::from_hex(written.text()?)
    }

    fn write(&self, _: &KeyHash) -> String {
        quoted(HIDDEN)
    }

    fn expected(&self) -> String {
        "the 64 digits of a SHA-256 that `fourtuple key` prints".to_owned()
    }

    fn placeholder(&self) -> &'static str {
        "HASH"
    }

    fn is_secret(&self) -> bool {
        true
    }
}

impl Kind for PasswordHashKind {
    type Value = PasswordHash;

    fn read(&self, written: &Written<'_>) -> Option<PasswordHash> {
        PasswordHash::parse(written.text()?)
    }

    fn write(&self, _: &PasswordHash) -> String {
        quoted(HIDDEN)
    }

    fn expected(&self) -> String {
        format!(
            "the $argon2id$… that `fourtuple key --user NAME` prints, of at most {} MiB",
            PasswordHash::MEMORY_KIB_MAX >> 10
        )
    }

    fn placeholder(&self) -> &'static str {
        "HASH"
    }

    fn is_secret(&self) -> bool {
        true
    }
}

impl Kind for ScopesKind {
    type Value = Scopes;

    fn read(&self, written: &Written<'_>) -> Option<Scopes> {
        let scopes = written.items()?.into_iter().map(Scope::parse);
        let scopes = scopes.collect::<Option<Vec<_>>>()?;
        (!scopes.is_empty()).then(|| Scopes::of(&scopes))
    }

    fn write(&self, value: &Scopes) -> String {
        value.to_toml()
    }

    fn expected(&self) -> String {
        let words = Scope::ALL.map(|scope| quoted(scope.word()));
        format!("a list of {}", one_of(&words))
    }

    fn placeholder(&self) -> &'static str {
        "SCOPES"
    }
}

/// What a key or a user may be called.
pub(super) const NAME: Text = Text {
    placeholder: "NAME",
    expected: "a name of 1 to 64 letters, digits and . _ - @",
    // RFC 7617 §2: the name ends at the first colon.
    allows: |text| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-@".contains(&b);
        (1..=64).contains(&text.len()) && text.bytes().all(plain)
    },
};

/// Whether a key or a user may be called so, and what it may be called.
///
/// # Errors
///
/// What is expected instead.
pub fn check_access_name(name: &str) -> Result<(), &'static str> {
    (NAME.allows)(name).then_some(()).ok_or(NAME.expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHC: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21l$MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI";

    #[test]
    fn admin_includes_the_others_and_they_include_nothing() {
        for (has, allowed) in [
            (&[Scope::Read][..], [true, false, false]),
            (&[Scope::Publish], [false, true, false]),
            (&[Scope::Admin], [true, true, true]),
            (&[Scope::Read, Scope::Publish], [true, true, false]),
        ] {
            let scopes = Scopes::of(has);
            assert_eq!(
                Scope::ALL.map(|scope| scopes.allow(scope)),
                allowed,
                "{has:?}"
            );
        }
        assert_eq!(Scopes::of(&[Scope::Admin]).to_toml(), "[\"admin\"]");
    }

    #[test]
    fn scopes_are_words_and_never_none() {
        assert_eq!(
            Scopes::parse("publish, read"),
            Some(Scopes::of(&[Scope::Read, Scope::Publish]))
        );
        for text in ["", "all", "read,", "Read"] {
            assert_eq!(Scopes::parse(text), None, "{text}");
        }
        assert_eq!(ScopesKind.read(&Written::List(vec![])), None);
    }

    #[test]
    fn hashes_are_read_and_not_shown() {
        let hex = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";
        let hash = KeyHashKind.read(&Written::Text(hex)).expect("64 digits");
        assert_eq!(hash.to_hex(), hex.to_lowercase());
        let password = PasswordHashKind
            .read(&Written::Text(PHC))
            .expect("a PHC string");
        for shown in [
            format!("{hash:?}"),
            KeyHashKind.write(&hash),
            format!("{password:?}"),
            PasswordHashKind.write(&password),
        ] {
            assert!(shown.contains("hidden") && shown.len() < 30, "{shown}");
        }
        for text in ["", "(hidden)", &hex[1..], &format!("+{}", &hex[1..]), "ft_"] {
            assert_eq!(KeyHash::from_hex(text), None, "{text}");
        }
    }

    #[test]
    fn a_password_hash_is_argon2id_and_costs_no_more_than_it_may() {
        for text in [
            "",
            "(hidden)",
            "secret",
            "$2b$12$abcdefghijklmnopqrstuv",
            &PHC.replace("argon2id", "argon2i"),
            &PHC.replace("m=19456", "m=262145"),
            &PHC.replace("t=2", "t=17"),
            &PHC.replace("p=1", "p=17"),
            &PHC[..PHC.rfind('$').expect("a hash")],
        ] {
            assert_eq!(PasswordHash::parse(text), None, "{text}");
        }
    }
}
