//! Who has asked, once it is known: for the log, and for what is kept for each caller by itself.

use std::{fmt, sync::Arc};

/// Who asks. Put into each request that passes. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in super::super) enum Caller {
    /// Anybody: there are neither keys nor users.
    #[default]
    Open,
    /// The program with the key of this name.
    Key(Arc<str>),
    /// The person who logs in with this name.
    User(Arc<str>),
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Key(name) => write!(f, "key {name}"),
            Self::User(name) => write!(f, "user {name}"),
        }
    }
}
