//! Our own server and crowd, whose shards may have descriptors of their own.

use super::{RuntimeLimit, Usage};
use crate::process::Process;

pub(super) fn limits(process: &Process, usage: &Usage) -> Vec<RuntimeLimit> {
    let descriptors = usage.descriptors(
        process,
        "bounds each table of descriptors, and shards can have tables of their own: on epoll these are \
         in /proc/PID/task/TID/fd, on io_uring in no file of /proc. What is used is that of the thread \
         that has most; the descriptors of the process as a whole say little",
        "let it start as many shards as the connections need (`--max-connections N`); each has a table",
    );
    vec![RuntimeLimit {
        used: process.fullest_thread().ok().or(descriptors.used),
        ..descriptors
    }]
}
