//! The admin side of the real binary, from outside: who may do what, and how it is kept from others.

#[path = "../support/mod.rs"]
mod support;

mod http;
mod keys;
mod pages;
mod refusals;
mod seats;
mod tls;
mod tries;
