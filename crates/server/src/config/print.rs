//! The configuration that counts, as a file that says it.

use std::fmt::Write as _;

use super::{
    Config,
    admin_access::{KEY, USER},
    draft::{CHANNEL, Loaded, Placed},
    place::Place,
    setting::{Declared, Setting},
};

/// The column at which places stand, where the value leaves it free.
const PLACE_COLUMN: usize = 48;

impl Loaded {
    /// Every setting with its value and where it came from, as TOML that gives the same
    /// configuration again. Hashes of keys and users are not shown: where there are any, what is printed
    /// is refused until they are in their places again.
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        let top = |setting: &&Setting| setting.section().is_empty();
        for setting in Config::SETTINGS.iter().filter(top) {
            line(&mut out, &self.values, setting);
        }
        // A list without any table has to stand before the first table of the document.
        if self.config.channels.is_empty() {
            let _ = writeln!(out, "{CHANNEL} = []");
        }
        for (section, _) in Config::SECTIONS {
            let _ = writeln!(out, "\n[{section}]");
            for setting in Config::SETTINGS
                .iter()
                .filter(|setting| setting.section() == *section)
            {
                line(&mut out, &self.values, setting);
            }
            if *section == "admin" {
                self.keys.iter().for_each(|key| table(&mut out, KEY, key));
                self.users
                    .iter()
                    .for_each(|user| table(&mut out, USER, user));
            }
        }
        match &self.rules {
            Some(rules) => rules.iter().for_each(|rule| table(&mut out, CHANNEL, rule)),
            None => {
                for rule in &self.config.channels {
                    let mut placed = Placed::new(Place::Default);
                    placed.value = rule.clone();
                    table(&mut out, CHANNEL, &placed);
                }
            }
        }
        out
    }
}

fn table<T: Declared>(out: &mut String, list: &str, placed: &Placed<T>) {
    out.push('\n');
    pad(out, &format!("[[{list}]]"), &placed.whole);
    for setting in T::SETTINGS {
        line(out, placed, setting);
    }
}

fn line<T: Declared>(out: &mut String, placed: &Placed<T>, setting: &Setting<T>) {
    let text = format!("{} = {}", setting.name(), placed.shown(setting.key));
    pad(out, &text, placed.place(setting.key));
}

fn pad(out: &mut String, text: &str, place: &Place) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "{text:<PLACE_COLUMN$} # {place}");
}
