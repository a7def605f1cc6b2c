//! Which of Phoenix's two wire formats a connection speaks, and how it asks for one.

use semver::Version;
use thiserror::Error;

/// A Phoenix serializer: how messages look on the wire of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Serializer {
    /// JSON objects, no binary payloads, no `join_ref` from the server.
    V1,
    /// JSON arrays and binary frames.
    V2,
}

/// A `vsn` that no serializer answers to; Phoenix refuses the connection with 403.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VsnError {
    /// Not a semantic version (three numbers, as strict as Elixir's `Version.parse`).
    #[error("vsn is not a semantic version")]
    NotAVersion,
    /// A semantic version outside `~> 1.0.0` and `~> 2.0.0`.
    #[error("no serializer for this vsn")]
    Unsupported,
}

impl Serializer {
    /// Chooses the serializer for the query parameter `vsn`; absent means `1.0.0`.
    ///
    /// # Errors
    ///
    /// [`VsnError::NotAVersion`] when it does not parse, [`VsnError::Unsupported`] when it parses
    /// and no serializer matches.
    ///
    /// Source: Phoenix `lib/phoenix/socket.ex`, `negotiate_serializer`.
    pub fn from_vsn(vsn: Option<&str>) -> Result<Self, VsnError> {
        let Some(vsn) = vsn else {
            return Ok(Self::V1);
        };
        let version = Version::parse(vsn).map_err(|_| VsnError::NotAVersion)?;
        // Elixir's `~> 1.0.0` is `>= 1.0.0 and < 1.1.0-0`: only the pre-releases of the very first
        // version fall out below.
        let before_the_first = version.patch == 0 && !version.pre.is_empty();
        match (version.major, version.minor) {
            (1, 0) if !before_the_first => Ok(Self::V1),
            (2, 0) if !before_the_first => Ok(Self::V2),
            _ => Err(VsnError::Unsupported),
        }
    }

    /// The `vsn` a client sends to get this serializer.
    pub const fn vsn(self) -> &'static str {
        match self {
            Self::V1 => "1.0.0",
            Self::V2 => "2.0.0",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_vsn_is_v1() {
        assert_eq!(Serializer::from_vsn(None), Ok(Serializer::V1));
    }

    #[test]
    fn patch_versions_match_and_minor_versions_do_not() {
        for (vsn, expected) in [
            ("1.0.0", Ok(Serializer::V1)),
            ("1.0.7", Ok(Serializer::V1)),
            ("2.0.0", Ok(Serializer::V2)),
            ("2.0.3", Ok(Serializer::V2)),
            ("2.0.1-rc.1", Ok(Serializer::V2)),
            ("2.0.0+build", Ok(Serializer::V2)),
            ("2.0.0-rc.1", Err(VsnError::Unsupported)),
            ("1.1.0", Err(VsnError::Unsupported)),
            ("1.1.0-rc.1", Err(VsnError::Unsupported)),
            ("2.1.0", Err(VsnError::Unsupported)),
            ("3.0.0", Err(VsnError::Unsupported)),
            ("0.0.1", Err(VsnError::Unsupported)),
        ] {
            assert_eq!(Serializer::from_vsn(Some(vsn)), expected, "{vsn}");
        }
    }

    #[test]
    fn what_is_no_semantic_version_is_refused() {
        for vsn in [
            "", "2", "2.0", "v2.0.0", "2.0.0.0", "02.0.0", " 2.0.0", "two",
        ] {
            assert_eq!(
                Serializer::from_vsn(Some(vsn)),
                Err(VsnError::NotAVersion),
                "{vsn:?}"
            );
        }
    }

    #[test]
    fn each_serializer_answers_to_its_own_vsn() {
        for serializer in [Serializer::V1, Serializer::V2] {
            assert_eq!(Serializer::from_vsn(Some(serializer.vsn())), Ok(serializer));
        }
    }
}
