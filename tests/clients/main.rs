//! Clients that nobody here wrote, against the server.
fn main() {}
