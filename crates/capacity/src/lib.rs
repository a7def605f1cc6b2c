//! What a machine allows, what a connection costs, and what follows from both.

#![forbid(unsafe_code)]
