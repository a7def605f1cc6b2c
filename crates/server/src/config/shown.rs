//! The configuration of a running server, as it is shown to whoever may ask: without secrets.

use std::collections::BTreeMap;

use super::{
    Config,
    setting::{Declared, Setting},
};

/// A setting as it is shown.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) setting: &'static Setting,
    /// In TOML; none when it is secret.
    pub(crate) value: Option<String>,
    pub(crate) is_secret: bool,
}

impl Config {
    /// Every setting with its value, in the order of the documentation.
    pub(crate) fn shown(&self) -> impl Iterator<Item = Shown> {
        Self::SETTINGS.iter().map(|setting| {
            let description = (setting.describe)(self);
            let is_secret = description.is_secret;
            Shown {
                setting,
                value: (!is_secret).then_some(description.value),
                is_secret,
            }
        })
    }

    /// The rules of the built-in channel.
    pub(crate) fn shown_channels(&self) -> impl Iterator<Item = ShownTable> {
        self.channels.iter().map(table)
    }

    /// The keys of the control plane.
    pub(crate) fn shown_keys(&self) -> impl Iterator<Item = ShownTable> {
        self.admin.keys.iter().map(table)
    }

    /// The users of the control plane.
    pub(crate) fn shown_users(&self) -> impl Iterator<Item = ShownTable> {
        self.admin.users.iter().map(table)
    }
}

/// A table of the configuration: each of its settings in TOML, and none for those that are secret.
pub(crate) type ShownTable = BTreeMap<&'static str, Option<String>>;

fn table<T: Declared>(of: &T) -> ShownTable {
    let shown = T::SETTINGS.iter().map(|setting| {
        let description = (setting.describe)(of);
        let value = (!description.is_secret).then_some(description.value);
        (setting.key, value)
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_shown_and_secrets_are_not() {
        let config = Config::default();
        let shown: Vec<_> = config.shown().collect();
        assert_eq!(shown.len(), Config::SETTINGS.len());
        for shown in &shown {
            assert_eq!(
                shown.value.is_none(),
                shown.is_secret,
                "{}",
                shown.setting.key()
            );
        }
        let mailbox = shown
            .iter()
            .find(|shown| shown.setting.key() == "limits.mailbox_max");
        assert_eq!(mailbox.unwrap().value.as_deref(), Some("4096"));
        assert_eq!(config.shown_channels().count(), config.channels.len());
    }
}
