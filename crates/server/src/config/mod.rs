//! What an operator decides about a server: settings and the rules of the built-in channel.
//!
//! Each setting is declared once, in [`settings`] (the file) and by what kind of value it has; its
//! flag, its environment variable, its line in the file, its range, its refusal and its
//! documentation follow from that. Of the sources a flag wins over the environment, and both over
//! the file:
//!
//! ```text
//! default < file (TOML) < FOURTUPLE_… < --flag
//! ```
//!
//! Whatever is wrong in any of them is reported at once, and then nothing starts.

mod check_origin;
mod kind;
mod place;
mod rule;
mod setting;
mod settings;
mod written;

pub use check_origin::{CheckOrigin, OriginList};
pub use place::Place;
pub use rule::{Join, Push, Rule};
pub use setting::Setting;
pub use settings::{Config, Drain, Limits, Log, LogFormat, Socket};

/// How the name of every environment variable of the server begins.
const PREFIX: &str = "FOURTUPLE_";

/// Every setting outside of channel rules, in the order of the documentation.
pub fn settings() -> &'static [Setting] {
    <Config as setting::Declared>::SETTINGS
}
