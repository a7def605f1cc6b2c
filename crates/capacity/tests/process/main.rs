//! A process is read as it is, on this machine and on others, and what cannot be read says why.

mod live_processes;
mod other_machines;
mod runtimes;
mod tree;
