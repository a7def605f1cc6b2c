//! Where hub and engine meet: the Phoenix Channels server.

#![forbid(unsafe_code)]

pub mod config;
