//! How shards talk: one bounded queue per shard, and a way to wake its thread.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use crossbeam_queue::SegQueue;

use crate::{ShardIndex, sys::Waker};

/// Reaches every shard of a process, from any thread.
pub struct Remote<M> {
    mailboxes: Arc<[Mailbox<M>]>,
}

/// A shard's mailbox had no room; the mail comes back.
#[derive(Debug, PartialEq, Eq)]
pub struct Full<M>(pub M);

/// What one shard has still to read from the others.
///
/// It takes memory by the mail that waits in it, not by the mail that may: a node of a hundred shards has
/// a hundred of them, most of them empty.
pub(crate) struct Mailbox<M> {
    queue: SegQueue<M>,
    /// Mail in the queue, and mail about to be put there.
    len: AtomicUsize,
    len_max: usize,
    waker: Waker,
    /// Whether the shard sleeps or is about to, so that a sender must wake it.
    asleep: AtomicBool,
    /// Whether the shard has ended and nobody will read any more.
    closed: AtomicBool,
}

impl<M: Send + 'static> Remote<M> {
    pub(crate) fn new(mailboxes: impl Iterator<Item = Mailbox<M>>) -> Self {
        Self {
            mailboxes: mailboxes.collect(),
        }
    }

    /// How many shards there are.
    pub fn shards_count(&self) -> u16 {
        self.mailboxes.len() as u16
    }

    /// Puts mail into a shard's mailbox and wakes the shard. For a shard that has ended, mail is as good
    /// as read: it is dropped.
    ///
    /// # Errors
    ///
    /// The mailbox has no room now; nothing was delivered.
    ///
    /// # Panics
    ///
    /// There is no such shard.
    pub fn post(&self, shard: ShardIndex, mail: M) -> Result<(), Full<M>> {
        let mailbox = &self.mailboxes[usize::from(shard.0)];
        if !mailbox.take_room() {
            return Err(Full(mail));
        }
        mailbox.put(mail);
        Ok(())
    }

    /// Puts a piece of mail, made for each, into the mailbox of each of several different shards, or into
    /// none. Returns how many took it: those that have ended read no more.
    ///
    /// # Errors
    ///
    /// The mailbox of one has no room now; nothing was delivered.
    ///
    /// # Panics
    ///
    /// There is no such shard.
    pub fn post_to_all(
        &self,
        shards: &[ShardIndex],
        mut mail: impl FnMut(ShardIndex) -> M,
    ) -> Result<usize, Full<ShardIndex>> {
        for (taken, shard) in shards.iter().enumerate() {
            if !self.mailbox(*shard).take_room() {
                for shard in &shards[..taken] {
                    self.mailbox(*shard).give_room_back();
                }
                return Err(Full(*shard));
            }
        }
        let put = |shard: &&ShardIndex| self.mailbox(**shard).put(mail(**shard));
        Ok(shards.iter().filter(put).count())
    }

    /// How many pieces of mail wait for a shard.
    ///
    /// # Panics
    ///
    /// There is no such shard.
    pub fn waiting_count(&self, shard: ShardIndex) -> usize {
        self.mailbox(shard).len()
    }

    pub(crate) fn mailbox(&self, shard: ShardIndex) -> &Mailbox<M> {
        &self.mailboxes[usize::from(shard.0)]
    }
}

impl<M> Mailbox<M> {
    pub(crate) const fn new(len_max: usize, waker: Waker) -> Self {
        Self {
            queue: SegQueue::new(),
            len: AtomicUsize::new(0),
            len_max: if len_max > 0 { len_max } else { 1 },
            waker,
            asleep: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// Takes room for one piece, which [`Mailbox::put`] or [`Mailbox::give_room_back`] follows. It is taken
    /// before the mail is put there, so that two senders cannot take the last twice.
    fn take_room(&self) -> bool {
        let has_room = self.len.fetch_add(1, SeqCst) < self.len_max || self.closed.load(SeqCst);
        if !has_room {
            self.give_room_back();
        }
        has_room
    }

    fn give_room_back(&self) {
        self.len.fetch_sub(1, SeqCst);
    }

    /// Puts mail where room was taken for it, and says whether it did: a shard that has ended reads no more.
    fn put(&self, mail: M) -> bool {
        if self.closed.load(SeqCst) {
            self.give_room_back();
            return false;
        }
        self.queue.push(mail);
        if self.asleep.swap(false, SeqCst) {
            self.waker.wake();
        }
        true
    }

    pub(crate) fn take(&self) -> Option<M> {
        let mail = self.queue.pop()?;
        self.len.fetch_sub(1, SeqCst);
        Some(mail)
    }

    /// Ends the mailbox with its shard, so that no sender waits for room in it.
    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
        while self.take().is_some() {}
    }

    /// How much mail waits.
    pub(crate) fn len(&self) -> usize {
        self.len.load(SeqCst)
    }

    /// Announces sleep; `false` when mail has come and the shard must not sleep.
    ///
    /// The store before the look, and a sender's count before its swap, are all sequentially
    /// consistent: either this look sees the mail or the sender sees the sleeper.
    pub(crate) fn may_sleep(&self) -> bool {
        self.asleep.store(true, SeqCst);
        if self.len() == 0 {
            return true;
        }
        self.asleep.store(false, SeqCst);
        false
    }

    /// Ends the sleep, so that senders save the wake-up call.
    pub(crate) fn awake(&self) {
        self.asleep.store(false, SeqCst);
    }
}

impl<M> Clone for Remote<M> {
    fn clone(&self) -> Self {
        Self {
            mailboxes: Arc::clone(&self.mailboxes),
        }
    }
}

impl<M> fmt::Debug for Remote<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("shards", &self.mailboxes.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(capacity: usize) -> Remote<u32> {
        Remote::new(std::iter::once(Mailbox::new(capacity, Waker::Sim)))
    }

    #[test]
    fn a_full_mailbox_gives_the_mail_back() {
        let remote = remote(2);
        assert_eq!(remote.post(ShardIndex(0), 1), Ok(()));
        assert_eq!(remote.post(ShardIndex(0), 2), Ok(()));
        assert_eq!(remote.post(ShardIndex(0), 3), Err(Full(3)));
        assert_eq!(remote.mailbox(ShardIndex(0)).take(), Some(1));
        assert_eq!(remote.post(ShardIndex(0), 3), Ok(()));
    }

    #[test]
    fn mail_for_a_shard_that_has_ended_is_dropped() {
        let remote = remote(1);
        remote.post(ShardIndex(0), 1).unwrap();
        remote.mailbox(ShardIndex(0)).close();
        assert_eq!(remote.post(ShardIndex(0), 2), Ok(()));
        assert_eq!(remote.post(ShardIndex(0), 3), Ok(()));
        assert_eq!(remote.mailbox(ShardIndex(0)).take(), None);
    }

    #[test]
    fn mail_goes_into_all_mailboxes_or_into_none() {
        let remote = Remote::new((0..3).map(|_| Mailbox::new(1, Waker::Sim)));
        let shards = [0, 1, 2].map(ShardIndex);
        remote.post(shards[1], 1).unwrap();
        assert_eq!(remote.post_to_all(&shards, |_| 2), Err(Full(shards[1])));
        assert_eq!(shards.map(|shard| remote.waiting_count(shard)), [0, 1, 0]);
        assert_eq!(remote.mailbox(shards[1]).take(), Some(1));
        assert_eq!(
            remote.post_to_all(&shards, |shard| shard.0.into()),
            Ok(shards.len())
        );
        assert_eq!(
            shards.map(|shard| remote.mailbox(shard).take()),
            [0, 1, 2].map(Some)
        );
    }

    #[test]
    fn a_shard_that_has_ended_is_not_among_those_that_took_mail() {
        let remote = Remote::new((0..3).map(|_| Mailbox::new(1, Waker::Sim)));
        let shards = [0, 1, 2].map(ShardIndex);
        remote.mailbox(shards[1]).close();
        assert_eq!(remote.post_to_all(&shards, |_| 2), Ok(2));
        assert_eq!(shards.map(|shard| remote.waiting_count(shard)), [1, 0, 1]);
        assert_eq!(remote.post_to_all(&shards[1..2], |_| 2), Ok(0));
    }

    #[test]
    fn a_shard_with_mail_may_not_sleep() {
        let remote = remote(2);
        let mailbox = remote.mailbox(ShardIndex(0));
        assert!(mailbox.may_sleep());
        mailbox.awake();
        remote.post(ShardIndex(0), 1).unwrap();
        assert!(!mailbox.may_sleep());
    }

    #[test]
    fn mail_of_one_sender_arrives_in_order_and_whole() {
        let remote = remote(8);
        let sender = remote.clone();
        let thread = std::thread::spawn(move || {
            for number in 0..10_000 {
                let mut mail = number;
                while let Err(Full(back)) = sender.post(ShardIndex(0), mail) {
                    mail = back;
                    std::thread::yield_now();
                }
            }
        });
        let mut expected = 0;
        while expected < 10_000 {
            match remote.mailbox(ShardIndex(0)).take() {
                Some(mail) => {
                    assert_eq!(mail, expected);
                    expected += 1;
                }
                None => std::thread::yield_now(),
            }
        }
        thread.join().unwrap();
    }
}
