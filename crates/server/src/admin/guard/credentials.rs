//! What a request shows of who asks, and the keys that it may be.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use super::{Means, Who};
use crate::config::AdminKey;

/// What stands in the header `Authorization`.
#[derive(PartialEq, Eq)]
pub(super) enum Credential {
    /// RFC 6750 §2.1.
    Key(String),
    /// RFC 7617 §2.
    Password { name: String, password: String },
    /// Anything else.
    Unreadable,
}

/// No key and no login is longer.
const SHOWN_BYTES_MAX: usize = 2_048;

impl Credential {
    /// What a request shows; nothing when it shows nothing.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let shown = headers.get(AUTHORIZATION)?;
        let read = || {
            let text = shown
                .to_str()
                .ok()
                .filter(|text| text.len() <= SHOWN_BYTES_MAX)?;
            let (scheme, rest) = text.split_once(' ')?;
            // RFC 9110 §11.1: the name of a scheme is the same in capitals.
            if scheme.eq_ignore_ascii_case("bearer") {
                return Some(Self::Key(rest.trim().to_owned()));
            }
            let decoded = || STANDARD.decode(rest.trim()).ok();
            let basic = scheme.eq_ignore_ascii_case("basic").then(decoded)??;
            let (name, password) = str::from_utf8(&basic).ok()?.split_once(':')?;
            Some(Self::Password {
                name: name.to_owned(),
                password: password.to_owned(),
            })
        };
        Some(read().unwrap_or(Self::Unreadable))
    }
}

/// The keys of the configuration.
#[derive(Debug)]
pub(super) struct Keys(Vec<AdminKey>);

impl Keys {
    pub(super) fn new(keys: &[AdminKey]) -> Self {
        Self(keys.to_vec())
    }

    /// Whose key it is; nothing when it is none of these.
    ///
    /// Takes the same time whichever key it is, and whether it is one.
    pub(super) fn find(&self, shown: &str) -> Option<Who<'_>> {
        let hash: [u8; 32] = Sha256::digest(shown).into();
        let (mut found, mut place) = (Choice::from(0), 0_u64);
        for (index, key) in (0_u64..).zip(&self.0) {
            let same = hash.ct_eq(key.hash.bytes());
            place.conditional_assign(&index, same);
            found |= same;
        }
        let key = self.0.get(usize::try_from(place).ok()?);
        let key = key.filter(|_| bool::from(found))?;
        Some(Who {
            means: Means::Key,
            name: &key.name,
            scopes: key.scopes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        access::NewKey,
        config::{Scope, Scopes},
    };

    fn shown(header: &str) -> Option<Credential> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, header.parse().expect("a header"));
        Credential::of(&headers)
    }

    #[test]
    fn schemes_are_read() {
        assert!(Credential::of(&HeaderMap::new()).is_none());
        assert!(shown("Bearer ft_a") == Some(Credential::Key("ft_a".into())));
        assert!(shown("bearer ft_a") == Some(Credential::Key("ft_a".into())));
        // RFC 7617 §2: the example, and a password with a colon.
        let password = |name: &str, password: &str| {
            Some(Credential::Password {
                name: name.into(),
                password: password.into(),
            })
        };
        assert!(shown("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==") == password("Aladdin", "open sesame"));
        assert!(shown("BASIC YTpiOmM=") == password("a", "b:c"));
        for header in ["Basic", "Basic !", "Basic YQ==", "Digest a", "", "ft_a"] {
            assert!(shown(header) == Some(Credential::Unreadable), "{header}");
        }
        let long = format!("Bearer {}", "a".repeat(SHOWN_BYTES_MAX));
        assert!(shown(&long) == Some(Credential::Unreadable));
    }

    #[test]
    fn a_key_is_found_by_its_hash_alone() {
        let new: Vec<_> = (0..3)
            .map(|_| NewKey::random().expect("randomness"))
            .collect();
        let keys: Vec<_> = [Scope::Read, Scope::Publish, Scope::Admin]
            .iter()
            .zip(&new)
            .map(|(scope, new)| AdminKey {
                name: scope.word().into(),
                hash: new.hash(),
                scopes: Scopes::of(&[*scope]),
            })
            .collect();
        let known = Keys::new(&keys);
        for (key, new) in keys.iter().zip(&new) {
            let who = known.find(new.secret()).map(|who| (who.name, who.scopes));
            assert_eq!(who, Some((&*key.name, key.scopes)));
        }
        let stranger = NewKey::random().expect("randomness");
        for wrong in [
            "",
            "ft_",
            stranger.secret(),
            &keys[0].hash.to_hex(),
            &new[0].secret()[1..],
        ] {
            assert!(known.find(wrong).is_none(), "{wrong}");
        }
        assert!(Keys::new(&[]).find("").is_none());
    }
}
