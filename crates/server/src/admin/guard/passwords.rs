//! Passwords, checked beside the thread of the control plane, because one takes tens of milliseconds by
//! design.
//!
//! A browser shows its password with each request. One that was right is therefore remembered for a while,
//! as a hash with a key that only this process has.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use argon2::{Argon2, PasswordVerifier as _, password_hash::phc};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{Means, Who, refusal::Refusal};
use crate::config::{AdminUser, PasswordHash, Scopes};

/// Passwords checked at once, each with the memory that its hash says (19 MiB) and a thread.
pub(in super::super) const THREADS: usize = 2;
/// How long a password that was right is not checked again.
const REMEMBERED: Duration = Duration::from_secs(300);

/// The users of the configuration.
#[derive(Debug)]
pub(super) struct Passwords {
    users: Vec<User>,
    /// Makes what is remembered worthless elsewhere.
    pepper: [u8; 32],
    /// A seat is given back when the thread is done, also when nobody waits for it any more.
    seats: Arc<Semaphore>,
}

#[derive(Debug)]
struct User {
    name: String,
    hash: Arc<PasswordHash>,
    scopes: Scopes,
    /// The last that was right, and until when it need not be checked.
    remembered: Mutex<Option<([u8; 32], Instant)>>,
}

impl Passwords {
    pub(super) fn new(users: &[AdminUser]) -> Self {
        let mut pepper = [0; 32];
        // Without randomness nothing is remembered by a secret; but then TLS and hash maps do not work, too.
        getrandom::fill(&mut pepper).expect("the kernel gives randomness once it runs programs");
        let user = |user: &AdminUser| User {
            name: user.name.clone(),
            hash: Arc::new(user.password_hash.clone()),
            scopes: user.scopes,
            remembered: Mutex::default(),
        };
        Self {
            users: users.iter().map(user).collect(),
            pepper,
            seats: Arc::new(Semaphore::new(THREADS)),
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Which user it is, if the password was right a while ago. Costs nothing.
    pub(super) fn remembered(&self, name: &str, password: &str) -> Option<Who<'_>> {
        let user = self.users.iter().find(|user| user.name == name)?;
        let digest = self.digest(name, password);
        user.remembers(&digest, Instant::now()).then(|| user.who())
    }

    /// Which user it is; nothing when the name or the password is wrong.
    ///
    /// # Errors
    ///
    /// Those of `charge`, which is called when it is this password's turn and before it is looked at: whoever
    /// tries many at once is not ahead of whoever tries one after the other, and whoever does not wait for
    /// the answer has paid.
    pub(super) async fn check(
        &self,
        name: &str,
        password: &str,
        charge: impl Fn() -> Result<(), Refusal>,
    ) -> Result<Option<Who<'_>>, Refusal> {
        let user = self.users.iter().find(|user| user.name == name);
        // A name that nobody has takes as long as one that somebody has.
        let Some(checked) = user.or_else(|| self.users.first()) else {
            charge()?;
            return Ok(None);
        };
        let seat = Arc::clone(&self.seats).acquire_owned().await;
        charge()?;
        // The same browser may have asked with another request meanwhile.
        if let Some(who) = self.remembered(name, password) {
            return Ok(Some(who));
        }
        let (hash, shown) = (Arc::clone(&checked.hash), password.to_owned());
        let is_right = spawn_blocking(move || {
            let _seat = seat;
            is_right(&hash, &shown)
        });
        let is_right = is_right.await;
        let right = user.filter(|_| is_right.unwrap_or(false));
        if let Some(user) = right {
            user.remember(self.digest(name, password), Instant::now());
        }
        Ok(right.map(User::who))
    }

    fn digest(&self, name: &str, password: &str) -> [u8; 32] {
        // A name has no colon.
        let parts = [
            self.pepper.as_slice(),
            name.as_bytes(),
            b":",
            password.as_bytes(),
        ];
        let add = |hash: Sha256, part: &[u8]| hash.chain_update(part);
        parts.into_iter().fold(Sha256::new(), add).finalize().into()
    }
}

impl User {
    fn who(&self) -> Who<'_> {
        Who {
            means: Means::Login,
            name: &self.name,
            scopes: self.scopes,
        }
    }

    fn remembers(&self, digest: &[u8; 32], now: Instant) -> bool {
        let remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        remembered.is_some_and(|(right, until)| now < until && bool::from(right.ct_eq(digest)))
    }

    fn remember(&self, digest: [u8; 32], now: Instant) {
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *remembered = Some((digest, now + REMEMBERED));
    }
}

/// Whether this is the password, which takes as long as its hash says.
fn is_right(hash: &PasswordHash, password: &str) -> bool {
    let hash = phc::PasswordHash::new(hash.as_str());
    hash.is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    })
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;
    use crate::{access::hash_password, config::Scope};

    fn passwords() -> Passwords {
        Passwords::new(&[AdminUser {
            name: "eva".into(),
            password_hash: hash_password("right").expect("randomness"),
            scopes: Scopes::of(&[Scope::Read]),
        }])
    }

    #[test]
    fn only_the_right_password_of_the_right_user_is_right_and_remembered() {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let passwords = passwords();
        let check = |name, password| {
            runtime
                .block_on(passwords.check(name, password, || Ok(())))
                .expect("allowed")
                .map(|who| who.scopes)
        };
        for (name, password) in [("eva", "wrong"), ("adam", "right"), ("", ""), ("eva", "")] {
            assert_eq!(check(name, password), None, "{name}:{password}");
        }
        let digest = passwords.digest("eva", "right");
        assert!(!passwords.users[0].remembers(&digest, Instant::now()));
        assert_eq!(check("eva", "right"), Some(Scopes::of(&[Scope::Read])));
        let now = Instant::now();
        assert!(passwords.users[0].remembers(&digest, now));
        assert!(!passwords.users[0].remembers(&digest, now + REMEMBERED));
        assert!(!passwords.users[0].remembers(&passwords.digest("eva", "wrong"), now));
        // It costs nothing to see that, so nobody is asked whether they may try.
        assert!(passwords.remembered("eva", "right").is_some());
        assert!(passwords.remembered("eva", "wrong").is_none());
    }

    #[test]
    fn another_process_remembers_other_hashes() {
        let [one, other] = [passwords(), passwords()].map(|all| all.digest("eva", "right"));
        assert_ne!(one, other);
    }
}
