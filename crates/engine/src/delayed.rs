//! Mail that found another shard's mailbox full, and waits for room.

use std::collections::VecDeque;

use crate::{Full, Remote, ShardIndex};

/// One queue per shard, so that a full one holds up nobody else's mail.
#[derive(Debug)]
pub(crate) struct Delayed<M> {
    queues: Vec<VecDeque<M>>,
    /// Invariant: the sum of the queues' lengths.
    len: usize,
}

impl<M: Send + 'static> Delayed<M> {
    pub(crate) fn new(shards_count: u16) -> Self {
        Self {
            queues: (0..shards_count).map(|_| VecDeque::new()).collect(),
            len: 0,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Posts mail behind what waits for the same shard; whether it had to wait, too.
    pub(crate) fn post(&mut self, shard: ShardIndex, mail: M, remote: &Remote<M>) -> bool {
        let queue = &mut self.queues[usize::from(shard.0)];
        let mail = if queue.is_empty() {
            match remote.post(shard, mail) {
                Ok(()) => return false,
                Err(Full(mail)) => mail,
            }
        } else {
            mail
        };
        queue.push_back(mail);
        self.len += 1;
        true
    }

    /// Posts as much of it as there is room for now.
    pub(crate) fn retry(&mut self, remote: &Remote<M>) {
        if self.is_empty() {
            return;
        }
        for (queue, shard) in self.queues.iter_mut().zip(0..) {
            while let Some(mail) = queue.pop_front() {
                if let Err(Full(mail)) = remote.post(ShardIndex(shard), mail) {
                    queue.push_front(mail);
                    break;
                }
                self.len -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{mailbox::Mailbox, sys::Waker};

    #[test]
    fn a_full_mailbox_holds_up_its_own_mail_only_and_keeps_its_order() {
        let remote = Remote::new((0..2).map(|_| Mailbox::new(1, Waker::Sim)));
        let mut delayed = Delayed::new(2);
        let (full, free) = (ShardIndex(0), ShardIndex(1));
        let waited: Vec<_> = (1..=3)
            .map(|mail| delayed.post(full, mail, &remote))
            .collect();
        assert_eq!(waited, [false, true, true]);
        assert!(!delayed.post(free, 9, &remote));
        for expected in 1..=3 {
            assert_eq!(remote.mailbox(full).take(), Some(expected));
            delayed.retry(&remote);
        }
        assert!(delayed.is_empty());
        assert_eq!(remote.mailbox(free).take(), Some(9));
    }
}
