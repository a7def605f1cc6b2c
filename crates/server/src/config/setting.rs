//! One setting: everything that is to be known of it, from the one place that declares it.

use super::{kind::Kind, written::Written};

/// A field of `T` that an operator decides about.
#[derive(Debug)]
pub struct Setting<T = super::Config> {
    pub(super) key: &'static str,
    /// A second name of its flag, without dashes.
    pub(super) alias: Option<&'static str>,
    /// The documentation of the field, line by line.
    pub(super) doc: &'static [&'static str],
    /// Reads a value into its field; `None` leaves the field alone.
    pub(super) read: fn(&mut T, &Written<'_>) -> Option<()>,
    pub(super) describe: fn(&T) -> Description,
}

/// A setting's value in words.
#[derive(Debug)]
pub(super) struct Description {
    /// In TOML.
    pub(super) value: String,
    pub(super) expected: String,
    pub(super) placeholder: &'static str,
    pub(super) is_secret: bool,
}

/// A group of settings that became a struct and a table.
pub(super) trait Declared: Default + 'static {
    /// In the order of their declaration.
    const SETTINGS: &'static [Setting<Self>];
    /// The tables that hold them, with what each is about.
    const SECTIONS: &'static [(&'static str, &'static [&'static str])];
}

impl<T: Default> Setting<T> {
    /// The path in the file: `limits.topic_bytes_max`.
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// The flag without its dashes: `topic-bytes-max`. Limits are named well enough to stand
    /// without their section.
    pub fn flag(&self) -> String {
        let short = self.key.strip_prefix("limits.").unwrap_or(self.key);
        short.replace(['.', '_'], "-")
    }

    /// Another name of the flag, without its dashes.
    pub const fn flag_alias(&self) -> Option<&'static str> {
        self.alias
    }

    /// The environment variable: `FOURTUPLE_LIMITS_TOPIC_BYTES_MAX`.
    pub fn variable(&self) -> String {
        format!(
            "{}{}",
            super::PREFIX,
            self.key.replace('.', "_").to_ascii_uppercase()
        )
    }

    /// What it is, in one sentence.
    pub fn summary(&self) -> String {
        self.paragraphs().next().unwrap_or_default()
    }

    /// Why its default is what it is, and what else is worth knowing; often empty.
    pub fn reason(&self) -> String {
        let rest: Vec<_> = self.paragraphs().skip(1).collect();
        rest.join(" ")
    }

    /// The range and the unit of its values.
    pub fn expected(&self) -> String {
        (self.describe)(&T::default()).expected
    }

    /// The value when nobody decides, in TOML.
    pub fn default_value(&self) -> String {
        (self.describe)(&T::default()).value
    }

    /// What stands for its value in a synopsis: `COUNT`.
    pub fn placeholder(&self) -> &'static str {
        (self.describe)(&T::default()).placeholder
    }

    /// The section of its key, empty for the settings outside of any.
    pub fn section(&self) -> &'static str {
        self.key.split_once('.').map_or("", |(section, _)| section)
    }

    /// Whether its values must not be shown.
    pub(super) fn is_secret(&self) -> bool {
        (self.describe)(&T::default()).is_secret
    }

    /// Whether somebody has to write it: what it is when nobody decides is no value.
    pub(super) fn is_required(&self) -> bool {
        // An argument has neither the quotes nor the brackets of TOML.
        let default = self.default_value().replace(['"', '[', ']'], "");
        (self.read)(&mut T::default(), &Written::Argument(&default)).is_none()
    }

    /// The last part of its key.
    pub(super) fn name(&self) -> &'static str {
        self.key.rsplit('.').next().unwrap_or(self.key)
    }

    fn paragraphs(&self) -> impl Iterator<Item = String> {
        self.doc.split(|line| line.trim().is_empty()).map(|lines| {
            lines
                .iter()
                .map(|line| line.trim())
                .collect::<Vec<_>>()
                .join(" ")
        })
    }
}

impl Description {
    pub(super) fn of<K: Kind>(kind: &K, value: &K::Value) -> Self {
        Self {
            value: kind.write(value),
            expected: kind.expected(),
            placeholder: kind.placeholder(),
            is_secret: kind.is_secret(),
        }
    }
}

/// Declares settings: makes the struct that holds their values, its defaults, and the table from
/// which files, variables, flags and documents are derived.
///
/// Each line is `/// documentation`, `name: Type = default, kind;` and the documentation's first
/// paragraph says what it is, the others why. A second name of its flag may follow the kind. `tables`
/// at the end of a section are lists of groups of settings, such as `[[admin.key]]`: none by default.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        $Struct:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident : $Type:ty = $default:expr, $kind:expr $(, flag $alias:literal)?;
            )*
        }
        $(
            $(#[doc = $section_doc:literal])+
            $section:ident : $Section:ident {
                $(
                    $(#[doc = $inner_doc:literal])+
                    $inner:ident : $Inner:ty = $inner_default:expr, $inner_kind:expr
                        $(, flag $inner_alias:literal)?;
                )*
                $( tables { $(
                    $(#[doc = $tables_doc:literal])+
                    $tables:ident : $Tables:ty;
                )+ } )?
            }
        )*
        $( list { $(#[doc = $list_doc:literal])+ $list:ident : $List:ty = $list_default:expr; } )?
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $Struct {
            $( $(#[doc = $doc])+ pub $field: $Type, )*
            $( $(#[doc = $section_doc])+ pub $section: $Section, )*
            $( $(#[doc = $list_doc])+ pub $list: $List, )?
        }

        impl Default for $Struct {
            fn default() -> Self {
                Self {
                    $( $field: $default, )*
                    $( $section: $Section::default(), )*
                    $( $list: $list_default, )?
                }
            }
        }

        $(
            $(#[doc = $section_doc])+
            #[derive(Clone, Debug, PartialEq)]
            pub struct $Section {
                $( $(#[doc = $inner_doc])+ pub $inner: $Inner, )*
                $( $( $(#[doc = $tables_doc])+ pub $tables: Vec<$Tables>, )+ )?
            }

            impl Default for $Section {
                fn default() -> Self {
                    Self {
                        $( $inner: $inner_default, )*
                        $( $( $tables: Vec::new(), )+ )?
                    }
                }
            }
        )*

        impl $crate::config::setting::Declared for $Struct {
            const SETTINGS: &'static [$crate::config::setting::Setting<Self>] = &[
                $( $crate::config::setting::settings!(
                    @entry stringify!($field), [$($doc),+], $kind, [$($alias)?], $field
                ), )*
                $( $( $crate::config::setting::settings!(
                    @entry concat!(stringify!($section), ".", stringify!($inner)),
                    [$($inner_doc),+], $inner_kind, [$($inner_alias)?], $section.$inner
                ), )* )*
            ];
            const SECTIONS: &'static [(&'static str, &'static [&'static str])] = &[
                $( (stringify!($section), &[$($section_doc),+]), )*
            ];
        }
    };
    (@alias) => { None };
    (@alias $alias:literal) => { Some($alias) };
    (@entry $key:expr, [$($doc:literal),+], $kind:expr, [$($alias:literal)?], $($path:ident).+) => {
        $crate::config::setting::Setting {
            key: $key,
            alias: $crate::config::setting::settings!(@alias $($alias)?),
            doc: &[$($doc),+],
            read: |into, written| {
                into.$($path).+ = $crate::config::kind::Kind::read(&$kind, written)?;
                Some(())
            },
            describe: |from| {
                $crate::config::setting::Description::of(&$kind, &from.$($path).+)
            },
        }
    };
}

pub(super) use settings;
