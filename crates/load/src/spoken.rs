//! How values that are others' travel between machines: by the words that people use for them.

use std::{fmt::Display, str::FromStr};

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

/// What has a text that reads back to it.
pub(crate) mod text {
    use super::*;

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &T,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// The same, or nothing.
pub(crate) mod text_or_none {
    use super::*;

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = Option::<String>::deserialize(from)?;
        let value = text.map(|text| text.parse().map_err(D::Error::custom));
        value.transpose()
    }
}

/// One of a few values, by its name.
macro_rules! by_name {
    ($module:ident, $type:ty, $all:expr, $name:expr) => {
        pub(crate) mod $module {
            use super::*;

            pub(crate) fn serialize<S: Serializer>(
                value: &$type,
                to: S,
            ) -> Result<S::Ok, S::Error> {
                let name: fn(&$type) -> &'static str = $name;
                to.serialize_str(name(value))
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                from: D,
            ) -> Result<$type, D::Error> {
                let name: fn(&$type) -> &'static str = $name;
                let text = String::deserialize(from)?;
                let found = $all.into_iter().find(|value| name(value) == text);
                found.ok_or_else(|| D::Error::custom(format!("`{text}` is unknown here")))
            }
        }
    };
}

by_name!(
    serializer,
    proto::phoenix::Serializer,
    [
        proto::phoenix::Serializer::V1,
        proto::phoenix::Serializer::V2
    ],
    |one| one.vsn()
);

by_name!(
    kernel,
    engine::KernelChoice,
    [
        engine::KernelChoice::Auto,
        engine::KernelChoice::Epoll,
        engine::KernelChoice::Uring
    ],
    |one| match one {
        engine::KernelChoice::Auto => "auto",
        engine::KernelChoice::Epoll => "epoll",
        engine::KernelChoice::Uring => "uring",
    }
);

by_name!(limit, capacity::Limit, capacity::Limit::ALL, |one| one
    .name());
