//! Secrets for the control plane: made once, shown once, and kept as their hashes.

use std::fmt;

use argon2::{Argon2, PasswordHasher as _, password_hash::phc};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::config::{KeyHash, PasswordHash};

/// A key that nobody has yet.
pub struct NewKey(String);

/// How a key begins, so that whoever finds one knows what it is.
const PREFIX: &str = "ft_";

impl NewKey {
    /// A key of 256 random bits.
    ///
    /// # Errors
    ///
    /// The kernel gives no randomness; `man 2 getrandom`.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits)?;
        Ok(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bits))))
    }

    /// What its owner shows: `ft_` and 43 letters, digits, `-` and `_`.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// What the server keeps.
    pub fn hash(&self) -> KeyHash {
        KeyHash::new(Sha256::digest(&self.0).into())
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewKey(hidden)")
    }
}

/// Hashes a password with Argon2id (19 MiB, 2 passes; the least that OWASP's password storage cheat sheet
/// asks for), which takes tens of milliseconds.
///
/// # Errors
///
/// The kernel gives no randomness for the salt.
///
/// # Panics
///
/// Never: the parameters are Argon2's own, and a password of any length can be hashed.
pub fn hash_password(password: &str) -> Result<PasswordHash, getrandom::Error> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)?;
    let hash: phc::PasswordHash = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .expect("a salt of 16 bytes and the default parameters are in their ranges");
    let hash = PasswordHash::parse(&hash.to_string());
    Ok(hash.expect("the default parameters cost less than a login may"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_and_all_different() {
        let [one, other] = [(); 2].map(|()| NewKey::random().expect("randomness"));
        assert_eq!(one.secret().len(), "ft_".len() + 43);
        assert!(one.secret().starts_with("ft_") && one.secret() != other.secret());
        assert_ne!(one.hash(), other.hash());
        assert!(!format!("{one:?}").contains(one.secret()));
    }

    #[test]
    fn a_password_has_another_hash_each_time() {
        let [one, other] = [(); 2].map(|()| hash_password("a").expect("randomness"));
        assert_ne!(one, other);
        assert!(
            one.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{}",
            one.as_str()
        );
    }
}
