//! How often an address may show something wrong before it is not looked at for a while.
//!
//! A bucket of tokens for each address: a failure takes one, time gives them back.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Failures that an address may have at once.
const BURST: u32 = 10;
/// The time after which it may have one more.
const EVERY: Duration = Duration::from_secs(6);
/// Addresses remembered; all others share one bucket, so that many addresses are no way around it.
const ADDRESSES_MAX: usize = 4_096;

/// Who failed lately. Times are given, and count from any moment.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// When the bucket of an address is full again; then there is no need to remember it.
    full_at: HashMap<IpAddr, Duration>,
    others_full_at: Duration,
}

impl Attempts {
    /// Whether an address may try.
    ///
    /// # Errors
    ///
    /// How long it has to wait.
    pub(super) fn check(&self, address: IpAddr, now: Duration) -> Result<(), Duration> {
        let known = self.known();
        let full_at = match known.full_at.get(&source(address)) {
            Some(full_at) => *full_at,
            None if known.full_at.len() < ADDRESSES_MAX => return Ok(()),
            None => known.others_full_at,
        };
        // One token is left when the bucket is full in no more than the time that all but one take.
        let last = now + EVERY * (BURST - 1);
        match full_at.saturating_sub(last) {
            Duration::ZERO => Ok(()),
            wait => Err(wait),
        }
    }

    /// Takes a token from an address that has failed.
    pub(super) fn fail(&self, address: IpAddr, now: Duration) {
        let mut known = self.known();
        let address = source(address);
        let is_full = |known: &Known| {
            known.full_at.len() >= ADDRESSES_MAX && !known.full_at.contains_key(&address)
        };
        if is_full(&known) {
            known.full_at.retain(|_, full_at| *full_at > now);
        }
        let full_at = if is_full(&known) {
            &mut known.others_full_at
        } else {
            known.full_at.entry(address).or_insert(now)
        };
        // What is checked while another is being checked does not owe more than a bucket.
        *full_at = ((*full_at).max(now) + EVERY).min(now + EVERY * BURST);
    }

    /// Gives the token back that was taken before it was known that nothing is wrong.
    pub(super) fn refund(&self, address: IpAddr, now: Duration) {
        let mut known = self.known();
        let full_at = match known.full_at.get_mut(&source(address)) {
            Some(full_at) => full_at,
            None => &mut known.others_full_at,
        };
        *full_at = full_at.saturating_sub(EVERY).max(now);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts as one: an address of IPv4, or the network that one subscriber of IPv6 has.
pub(in super::super) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn ten_failures_are_free_and_then_one_every_six_seconds() {
        let attempts = Attempts::default();
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let now = Duration::from_secs(100);
        for _ in 0..BURST {
            assert_eq!(attempts.check(one, now), Ok(()));
            attempts.fail(one, now);
        }
        assert_eq!(attempts.check(one, now), Err(EVERY));
        assert_eq!(attempts.check(other, now), Ok(()));
        let almost = now + EVERY - Duration::from_millis(1);
        assert_eq!(attempts.check(one, almost), Err(Duration::from_millis(1)));
        assert_eq!(attempts.check(one, now + EVERY), Ok(()));
        attempts.fail(one, now + EVERY);
        assert_eq!(attempts.check(one, now + EVERY), Err(EVERY));
        attempts.refund(one, now + EVERY);
        assert_eq!(attempts.check(one, now + EVERY), Ok(()));
        attempts.fail(one, now + EVERY);
        // After a minute all is forgotten.
        let later = now + EVERY * (BURST + 1);
        for _ in 0..BURST {
            assert_eq!(attempts.check(one, later), Ok(()));
            attempts.fail(one, later);
        }
        assert!(attempts.check(one, later).is_err());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let attempts = Attempts::default();
        for last in 0..BURST {
            attempts.fail(address(&format!("2001:db8:0:1::{last}")), Duration::ZERO);
        }
        let check = |text| attempts.check(address(text), Duration::ZERO).is_ok();
        assert!(!check("2001:db8:0:1:ffff::1"));
        assert!(check("2001:db8:0:2::1"));
        for _ in 0..BURST {
            attempts.fail(address("::ffff:192.0.2.1"), Duration::ZERO);
        }
        assert!(!check("192.0.2.1"));
    }

    #[test]
    fn more_addresses_than_are_remembered_share_a_bucket() {
        let attempts = Attempts::default();
        let nth = |n: usize| IpAddr::from((n as u32).to_be_bytes());
        for n in 0..ADDRESSES_MAX + BURST as usize {
            attempts.fail(nth(n), Duration::ZERO);
        }
        assert_eq!(attempts.known().full_at.len(), ADDRESSES_MAX);
        assert!(
            attempts
                .check(nth(ADDRESSES_MAX * 2), Duration::ZERO)
                .is_err()
        );
        assert!(attempts.check(nth(0), Duration::ZERO).is_ok());
        // The others make room when they have paid.
        attempts.fail(nth(ADDRESSES_MAX * 2), EVERY * 2);
        assert_eq!(attempts.known().full_at.len(), 1);
        assert!(attempts.check(nth(ADDRESSES_MAX * 3), EVERY * 2).is_ok());
    }
}
