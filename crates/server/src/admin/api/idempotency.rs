//! What was answered under which idempotency key, so that a request that is sent again is not carried out
//! again.
//!
//! ```text
//!  new ── begin ──► in flight ── end ──► answered ── 5 minutes, or too many ──► forgotten
//!                       └── nothing was done ──► forgotten at once
//! ```
//!
//! A key belongs to its caller and its route: who else takes the same word, or the same caller elsewhere, has
//! another key. Answers are kept in memory: a restart forgets them.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest as _, Sha256};

use super::super::{
    guard::Caller,
    problem::{Kind, MEDIA_TYPE, Problem},
};

/// How long an answer is kept. The texts of `publish` and docs/api.md say it, too.
const KEPT: Duration = Duration::from_secs(300);
/// Keys that are kept, those of all callers together; the oldest of whoever has most go first, so that a caller keeps
/// at least its equal share. The texts say it, too.
const KEYS_MAX: usize = 10_000;
/// Bytes of answers that are kept; what goes first is as with keys.
const BYTES_MAX: usize = 16 << 20;
/// How long a key may be.
const KEY_BYTES_MAX: usize = 255;
/// The header in which a key comes.
const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// The header that says of an answer that it was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The keys of the last minutes. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Idempotency(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<Arc<Key>, Entry>,
    /// Answered keys by caller; callers without any are not there, and there are no more callers than keys
    /// and users.
    shares: HashMap<Caller, Share>,
    /// Bytes of all answers.
    bytes: usize,
}

/// What is kept for one caller.
#[derive(Debug, Default)]
struct Share {
    /// Answered keys with when that was, the oldest first. Invariant: each has an answered entry.
    order: VecDeque<(Instant, Arc<Key>)>,
    /// Bytes of their answers.
    bytes: usize,
}

/// Whose key it is, for what, and how it is called.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    caller: Caller,
    path: Box<str>,
    word: Box<str>,
}

#[derive(Debug)]
struct Entry {
    /// Of the body.
    fingerprint: [u8; 32],
    /// None while it is in flight.
    outcome: Option<Outcome>,
}

/// An answer that can be given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    status: StatusCode,
    body: Bytes,
    comes_again: bool,
}

/// What is to be done with a request.
#[derive(Debug)]
pub(crate) enum Begun {
    /// Carry it out.
    New(Flight),
    /// It was, with this answer.
    Before(Outcome),
}

/// A request under way. Unless it [ends](Flight::end), its key is free again once this is dropped.
#[derive(Debug)]
pub(crate) struct Flight {
    store: Idempotency,
    /// None when the request came without a key.
    key: Option<Arc<Key>>,
}

impl Idempotency {
    /// Looks for the key of a request.
    ///
    /// # Errors
    ///
    /// The header is no key, the key came with another request, or that request is not over.
    pub(crate) fn begin(
        &self,
        headers: &HeaderMap,
        caller: Caller,
        path: &str,
        body: &[u8],
        now: Instant,
    ) -> Result<Begun, Problem> {
        let Some(word) = read_key(headers)? else {
            return Ok(Begun::New(self.flight(None)));
        };
        let key = Key {
            caller,
            path: path.into(),
            word: word.into(),
        };
        let fingerprint = Sha256::digest(body).into();
        let mut kept = self.kept();
        kept.forget_old(now);
        if let Some(entry) = kept.entries.get(&key) {
            if entry.fingerprint != fingerprint {
                let detail = format!(
                    "the Idempotency-Key {word:?} came within the last {} s with another request; take a \
                     new key for each request",
                    KEPT.as_secs()
                );
                return Err(Problem::new(Kind::KeyReused, detail));
            }
            return entry.outcome.clone().map(Begun::Before).ok_or_else(|| {
                let detail = format!(
                    "the first request with the Idempotency-Key {word:?} is not over; send it again after \
                     Retry-After seconds to get its answer"
                );
                Problem::new(Kind::KeyInFlight, detail)
            });
        }
        let key = Arc::new(key);
        let entry = Entry {
            fingerprint,
            outcome: None,
        };
        kept.entries.insert(Arc::clone(&key), entry);
        Ok(Begun::New(self.flight(Some(key))))
    }

    fn flight(&self, key: Option<Arc<Key>>) -> Flight {
        Flight {
            store: self.clone(),
            key,
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    /// Keeps the answer for whoever sends the same again.
    pub(crate) fn end(mut self, outcome: &Outcome, now: Instant) {
        let Some(key) = self.key.take() else { return };
        let mut kept = self.store.kept();
        if let Some(entry) = kept.entries.get_mut(&key) {
            entry.outcome = Some(outcome.clone());
            kept.keep(key, outcome.body.len(), now);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.store.kept().entries.remove(&key);
        }
    }
}

impl Kept {
    fn keep(&mut self, key: Arc<Key>, bytes: usize, now: Instant) {
        self.bytes += bytes;
        let share = self.shares.entry(key.caller.clone()).or_default();
        share.bytes += bytes;
        share.order.push_back((now, key));
        while self.keys_count() > KEYS_MAX {
            self.forget_oldest_of_most(|share| share.order.len());
        }
        while self.bytes > BYTES_MAX {
            self.forget_oldest_of_most(|share| share.bytes);
        }
    }

    /// Keys that are answered.
    fn keys_count(&self) -> usize {
        self.shares.values().map(|share| share.order.len()).sum()
    }

    fn forget_old(&mut self, now: Instant) {
        let is_old = |at: &Instant| now.saturating_duration_since(*at) >= KEPT;
        let with_old = self.shares.iter().filter_map(|(caller, share)| {
            let (at, _) = share.order.front()?;
            is_old(at).then(|| caller.clone())
        });
        for caller in with_old.collect::<Vec<_>>() {
            while self
                .shares
                .get(&caller)
                .and_then(|share| share.order.front())
                .is_some_and(|(at, _)| is_old(at))
            {
                self.forget_oldest(&caller);
            }
        }
    }

    fn forget_oldest_of_most(&mut self, of: impl Fn(&Share) -> usize) {
        let most = self.shares.iter().max_by_key(|(_, share)| of(share));
        if let Some(caller) = most.map(|(caller, _)| caller.clone()) {
            self.forget_oldest(&caller);
        }
    }

    fn forget_oldest(&mut self, caller: &Caller) {
        let Some(share) = self.shares.get_mut(caller) else {
            return;
        };
        if let Some((_, key)) = share.order.pop_front() {
            let entry = self.entries.remove(&key);
            let outcome = entry.and_then(|entry| entry.outcome);
            let bytes = outcome.map_or(0, |outcome| outcome.body.len());
            share.bytes -= bytes;
            self.bytes -= bytes;
        }
        if share.order.is_empty() {
            self.shares.remove(caller);
        }
    }
}

impl Outcome {
    /// It was done, and this is said of it.
    pub(crate) const fn done(body: Bytes) -> Self {
        Self {
            status: StatusCode::ACCEPTED,
            body,
            comes_again: false,
        }
    }

    /// A part of it was done.
    pub(crate) fn partly(problem: &Problem) -> Self {
        let status = StatusCode::from_u16(problem.status());
        Self {
            status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            // A problem is a few texts and numbers: they cannot but be written.
            body: serde_json::to_vec(problem).unwrap_or_default().into(),
            comes_again: true,
        }
    }

    /// The same answer once more, which says so.
    pub(crate) fn replay(self) -> Response {
        let mut response = self.into_response();
        let replayed = HeaderValue::from_static("true");
        response.headers_mut().insert(REPLAYED, replayed);
        response
    }
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        let kind = match self.status {
            StatusCode::ACCEPTED => "application/json",
            _ => MEDIA_TYPE,
        };
        let kind = [(header::CONTENT_TYPE, kind)];
        let mut response = (self.status, kind, self.body).into_response();
        if self.comes_again {
            let seconds = HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

fn read_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut keys = headers.get_all(&HEADER).iter();
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    let key = key.to_str().ok().filter(|key| {
        let is_plain = key.bytes().all(|b| b.is_ascii_graphic());
        is_plain && (1..=KEY_BYTES_MAX).contains(&key.len())
    });
    if let (Some(key), None) = (key, keys.next()) {
        return Ok(Some(key));
    }
    let detail = format!(
        "an Idempotency-Key is 1 to {KEY_BYTES_MAX} visible ASCII characters, and one in a request, such \
         as a random UUID"
    );
    Err(Problem::new(Kind::BadParameter, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(key: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, key.parse().unwrap());
        headers
    }

    fn begin(store: &Idempotency, key: &str, body: &[u8], now: Instant) -> Result<Begun, Problem> {
        store.begin(&headers(key), Caller::Open, "/publish", body, now)
    }

    fn flight(begun: Result<Begun, Problem>) -> Flight {
        match begun {
            Ok(Begun::New(flight)) => flight,
            other => panic!("expected a new request: {other:?}"),
        }
    }

    fn status(begun: Result<Begun, Problem>) -> u16 {
        begun.unwrap_err().into_response().status().as_u16()
    }

    fn done(text: &'static str) -> Outcome {
        Outcome::done(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn the_same_request_gets_the_same_answer_for_five_minutes() {
        let (store, now) = (Idempotency::default(), Instant::now());
        flight(begin(&store, "k", b"1", now)).end(&done("one"), now);
        let later = now + KEPT - Duration::from_millis(1);
        let again = begin(&store, "k", b"1", later);
        assert!(matches!(again, Ok(Begun::Before(outcome)) if outcome == done("one")));
        assert_eq!(status(begin(&store, "k", b"2", later)), 422);
        flight(begin(&store, "k", b"2", now + KEPT));
    }

    #[test]
    fn a_key_belongs_to_its_caller_and_its_route() {
        let (store, now) = (Idempotency::default(), Instant::now());
        let begin = |caller, path| store.begin(&headers("k"), caller, path, b"1", now);
        let callers = [
            Caller::Open,
            Caller::Key("shop".into()),
            Caller::Key("crm".into()),
            Caller::User("shop".into()),
        ];
        for caller in &callers {
            for path in ["/publish", "/publish/batch"] {
                flight(begin(caller.clone(), path)).end(&done("own"), now);
            }
        }
        for caller in callers {
            let again = begin(caller, "/publish");
            assert!(matches!(again, Ok(Begun::Before(_))));
        }
    }

    #[test]
    fn a_key_in_flight_is_taken_until_its_request_is_over() {
        let (store, now) = (Idempotency::default(), Instant::now());
        let first = flight(begin(&store, "k", b"1", now));
        assert_eq!(status(begin(&store, "k", b"1", now)), 409);
        assert_eq!(status(begin(&store, "k", b"2", now)), 422);
        // Nothing was done.
        drop(first);
        flight(begin(&store, "k", b"2", now));
        assert!(store.kept().entries.is_empty());
    }

    #[test]
    fn keys_and_bytes_are_bounded_and_the_oldest_go() {
        let (store, now) = (Idempotency::default(), Instant::now());
        for number in 0..=KEYS_MAX {
            let key = number.to_string();
            flight(begin(&store, &key, b"", now)).end(&done("x"), now);
        }
        assert_eq!(store.kept().entries.len(), KEYS_MAX);
        assert_eq!(store.kept().bytes, KEYS_MAX);
        flight(begin(&store, "0", b"", now));
        assert!(matches!(begin(&store, "1", b"", now), Ok(Begun::Before(_))));

        let large = Outcome::done(vec![0; BYTES_MAX].into());
        flight(begin(&store, "large", b"", now)).end(&large, now);
        assert!(matches!(
            begin(&store, "large", b"", now),
            Ok(Begun::Before(_))
        ));
        assert_eq!(store.kept().entries.len(), 1);
    }

    #[test]
    fn a_busy_caller_leaves_others_their_share() {
        let (store, now) = (Idempotency::default(), Instant::now());
        let begin = |caller: &str, word: &str| {
            let caller = Caller::Key(caller.into());
            store.begin(&headers(word), caller, "/publish", b"", now)
        };
        flight(begin("quiet", "only")).end(&done("x"), now);
        for number in 0..2 * KEYS_MAX {
            flight(begin("busy", &number.to_string())).end(&done("x"), now);
        }
        assert_eq!(store.kept().entries.len(), KEYS_MAX);
        assert!(matches!(begin("quiet", "only"), Ok(Begun::Before(_))));
        // One that has more than its share loses what is above it.
        for number in 0..KEYS_MAX {
            flight(begin("shop", &number.to_string())).end(&done("x"), now);
        }
        let kept_of = |name: &str| {
            let caller = Caller::Key(name.into());
            store.kept().shares[&caller].order.len()
        };
        let half = KEYS_MAX / 2;
        assert!(kept_of("busy").abs_diff(half) <= 1 && kept_of("shop").abs_diff(half) <= 1);
        assert!(matches!(begin("quiet", "only"), Ok(Begun::Before(_))));
        // Nor with few keys whose answers are long.
        let large = Outcome::done(vec![0; BYTES_MAX].into());
        flight(begin("busy", "large")).end(&large, now);
        assert!(matches!(begin("quiet", "only"), Ok(Begun::Before(_))));
        assert!(store.kept().bytes <= BYTES_MAX);
    }

    #[test]
    fn without_a_key_nothing_is_kept() {
        let (store, now) = (Idempotency::default(), Instant::now());
        for _ in 0..2 {
            let begun = store.begin(&HeaderMap::new(), Caller::Open, "/publish", b"1", now);
            flight(begun).end(&done("one"), now);
        }
        assert!(store.kept().entries.is_empty());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let (store, now) = (Idempotency::default(), Instant::now());
        for key in [String::new(), "a b".to_owned(), "x".repeat(256)] {
            assert_eq!(status(begin(&store, &key, b"", now)), 400, "{key}");
        }
        let mut twice = headers("a");
        twice.append(HEADER, HeaderValue::from_static("b"));
        let twice = store.begin(&twice, Caller::Open, "/", b"", now);
        assert_eq!(status(twice), 400);
    }
}
