//! What an operator decides about a server: settings and the rules of the built-in channel.
//!
//! Each setting is declared once, in the module `settings`, with the kind of value it has; its
//! flag, its environment variable, its line in the file, its range, its refusal and its
//! documentation follow from that. Of the sources a flag wins over the environment, and both over
//! the file:
//!
//! ```text
//! default < file (TOML) < FOURTUPLE_… < --flag
//! ```
//!
//! Whatever is wrong in any of them is reported at once, and then nothing starts.

mod admin_access;
mod admin_check;
mod admin_listen;
mod check_origin;
mod collector;
mod draft;
mod file;
mod kind;
mod place;
mod print;
mod problem;
mod reference;
mod rule;
mod setting;
mod settings;
mod shown;
mod sources;
#[cfg(test)]
mod tests;
mod written;

pub use admin_access::{
    AdminKey, AdminUser, KeyHash, PasswordHash, Scope, Scopes, check_access_name,
};
pub use admin_listen::AdminListen;
pub use check_origin::{CheckOrigin, OriginList};
pub use collector::{Collector, CollectorError};
pub use draft::Loaded;
pub use place::Place;
pub use problem::{Problem, Problems};
pub use reference::reference;
pub use rule::{Join, Push, Rule};
pub use setting::Setting;
pub use settings::{Admin, Config, Drain, Limits, Log, LogFormat, Socket};
pub(crate) use shown::{Shown, ShownTable};
pub use sources::{CONFIG_FLAG, CONFIG_VARIABLE, Sources};

/// How the name of every environment variable of the server begins.
const PREFIX: &str = "FOURTUPLE_";

/// Every setting outside of channel rules, in the order of the documentation.
pub fn settings() -> &'static [Setting] {
    <Config as setting::Declared>::SETTINGS
}
