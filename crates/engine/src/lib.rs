//! The kernel at arm's length: connections, buffers, outboxes, time, mailboxes.
