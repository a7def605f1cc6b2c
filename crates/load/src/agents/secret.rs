//! The secret that a coordinator and its agents share, and how each proves that it has it.
//!
//! ```text
//! coordinator                                   agent
//!   hello: version, nonce     ───────────────►
//!                             ◄───────────────    hello: version, nonce
//!   proof                     ───────────────►    is it right? else refused
//!   is it right?              ◄───────────────    proof
//! ```
//!
//! A proof is the HMAC-SHA-256, under the secret, of who proves and of both hellos as they were sent: each
//! side has put a nonce of its own into it, so no proof is good twice, and nobody has changed a version. The
//! secret never travels. Whoever listens can try guesses at it, which is why it must be long.
//!
//! Between the ends of a pipe to a program that `ssh` has started there is no secret to share: `ssh` has
//! authenticated both. Then it is empty, and tags only find what went wrong.

use std::{
    env::{self, VarError},
    fmt, fs, io,
    path::Path,
};

use aws_lc_rs::{hmac, rand};
use thiserror::Error;

/// The shortest secret, in bytes.
const BYTES_MIN: usize = 16;
/// The longest, which is a file that was meant.
const BYTES_MAX: u64 = 4 << 10;

/// The variable that may hold the secret.
const VARIABLE: &str = "FOURTUPLE_AGENT_SECRET";

/// A secret that the machines of a crowd share. It is never shown.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

/// Why there is no secret.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the agents' secret from {path}: {error}")]
    Read {
        /// Which.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// It is no text.
    #[error(
        "the agents' secret from {from} is not UTF-8: expected text; `openssl rand -hex 32` makes one"
    )]
    NotText {
        /// Where it is from.
        from: String,
    },
    /// It is too easy to guess.
    #[error(
        "the agents' secret from {from} has {bytes} bytes: expected 16 at least and 4096 at most; \
         `openssl rand -hex 32` makes one"
    )]
    Length {
        /// Where it is from.
        from: String,
        /// How long it is, without white space around it.
        bytes: u64,
    },
}

/// Who proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Coordinator,
    Agent,
}

/// Both hellos, as they were sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript {
    pub(crate) coordinator: Vec<u8>,
    pub(crate) agent: Vec<u8>,
}

impl Secret {
    /// The secret in `file`, or without a file in the environment, `FOURTUPLE_AGENT_SECRET`; `None` where neither
    /// is given. White space around it does not count.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the secret is no text, too short or too long.
    pub fn find(file: Option<&Path>) -> Result<Option<Self>, SecretError> {
        let Some(path) = file else {
            return Self::of_variable(env::var(VARIABLE));
        };
        let from = path.display().to_string();
        let wrong = |error| SecretError::Read {
            path: from.clone(),
            error,
        };
        let bytes = fs::metadata(path).map_err(wrong)?.len();
        if bytes > BYTES_MAX {
            return Err(SecretError::Length { from, bytes });
        }
        let text = fs::read_to_string(path).map_err(wrong)?;
        Self::of(&text, &from).map(Some)
    }

    /// The secret in the environment, if there is one.
    fn of_variable(value: Result<String, VarError>) -> Result<Option<Self>, SecretError> {
        match value {
            Ok(text) => Self::of(&text, VARIABLE).map(Some),
            Err(VarError::NotPresent) => Ok(None),
            // Without it the machine would be open to all, or be refused by all.
            Err(VarError::NotUnicode(_)) => Err(SecretError::NotText {
                from: VARIABLE.to_owned(),
            }),
        }
    }

    /// The secret in `text`.
    ///
    /// # Errors
    ///
    /// It is too short or too long.
    pub fn of(text: &str, from: &str) -> Result<Self, SecretError> {
        let bytes = text.trim().as_bytes();
        if bytes.len() < BYTES_MIN || bytes.len() as u64 > BYTES_MAX {
            return Err(SecretError::Length {
                from: from.to_owned(),
                bytes: bytes.len() as u64,
            });
        }
        Ok(Self(bytes.to_vec()))
    }

    /// No secret: something else has made sure of who is at the other end.
    pub(crate) const fn none() -> Self {
        Self(Vec::new())
    }

    /// The proof of `role`.
    pub(crate) fn prove(&self, role: Role, transcript: &Transcript) -> [u8; 32] {
        let label: &[u8] = match role {
            Role::Coordinator => b"fourtuple agents: coordinator",
            Role::Agent => b"fourtuple agents: agent",
        };
        self.sign(label, transcript)
    }

    /// Whether a proof is that of `role`. Takes as long wherever they differ.
    pub(crate) fn is_proven(&self, role: Role, transcript: &Transcript, proof: &[u8]) -> bool {
        let own = self.prove(role, transcript);
        aws_lc_rs::constant_time::verify_slices_are_equal(&own, proof).is_ok()
    }

    /// The key of the session's tags.
    pub(crate) fn session_key(&self, transcript: &Transcript) -> [u8; 32] {
        self.sign(b"fourtuple agents: session", transcript)
    }

    fn sign(&self, label: &[u8], transcript: &Transcript) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut context = hmac::Context::with_key(&key);
        // With the length of each before it, so that no two transcripts are the same bytes.
        for part in [label, &transcript.coordinator, &transcript.agent] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let tag = context.sign();
        tag.as_ref()
            .try_into()
            .expect("SHA-256 has 32 bytes, which is the length of its tags")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Bytes that nobody can guess.
///
/// # Errors
///
/// The system has no random numbers.
pub(crate) fn nonce() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("no random numbers from the system"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(coordinator: &str, agent: &str) -> Transcript {
        Transcript {
            coordinator: coordinator.into(),
            agent: agent.into(),
        }
    }

    #[test]
    fn a_proof_is_good_for_one_role_one_session_and_one_secret() {
        let secret = Secret::of("  0123456789abcdef\n", "a test").expect("long enough");
        let other = Secret::of("0123456789abcdeF", "a test").expect("long enough");
        let session = transcript("one", "two");
        let proof = secret.prove(Role::Coordinator, &session);
        assert!(secret.is_proven(Role::Coordinator, &session, &proof));
        assert!(!secret.is_proven(Role::Agent, &session, &proof));
        assert!(!other.is_proven(Role::Coordinator, &session, &proof));
        assert!(!secret.is_proven(Role::Coordinator, &session, &proof[..31]));
        for elsewhere in [transcript("onet", "wo"), transcript("one", "three")] {
            assert!(!secret.is_proven(Role::Coordinator, &elsewhere, &proof));
        }
        assert_ne!(secret.session_key(&session), proof);
    }

    #[test]
    fn a_secret_is_long_and_is_not_shown() {
        let short = Secret::of("0123456789abcde", "a test").expect_err("too short");
        assert!(
            short.to_string().contains("has 15 bytes: expected 16"),
            "{short}"
        );
        let secret = Secret::of("0123456789abcdef", "a test").expect("long enough");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert!(matches!(
            Secret::of_variable(Err(VarError::NotPresent)),
            Ok(None)
        ));
        let bytes = Err(VarError::NotUnicode("\u{fffd}".into()));
        let refusal = Secret::of_variable(bytes).expect_err("no text").to_string();
        assert!(refusal.contains("is not UTF-8"), "{refusal}");
        let missing = Secret::find(Some(Path::new("no such file"))).expect_err("none");
        assert!(missing.to_string().contains("no such file"), "{missing}");
    }
}
