//! The configuration that counts, as a file that says it.

use std::fmt::Write as _;

use super::{
    Config, Rule,
    draft::{CHANNEL, Loaded, Placed},
    place::Place,
    setting::{Declared, Setting},
};

/// The column at which places stand, where the value leaves it free.
const PLACE_COLUMN: usize = 48;

impl Loaded {
    /// Every setting with its value and where it came from, as TOML that gives the same
    /// configuration again.
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
        }
        match &self.rules {
            Some(rules) => rules.iter().for_each(|rule| self.table(&mut out, rule)),
            None => {
                for rule in &self.config.channels {
                    let mut placed = Placed::new(Place::Default);
                    placed.value = rule.clone();
                    self.table(&mut out, &placed);
                }
            }
        }
        out
    }

    fn table(&self, out: &mut String, rule: &Placed<Rule>) {
        out.push('\n');
        pad(out, &format!("[[{CHANNEL}]]"), &rule.whole);
        for setting in Rule::SETTINGS {
            line(out, rule, setting);
        }
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
