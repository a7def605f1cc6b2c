//! The `Sec-WebSocket-Protocol` header, in which Phoenix clients carry a token out of the URL.
//!
//! ```text
//! Sec-WebSocket-Protocol: phoenix, base64url.bearer.phx.dG9rZW4
//! ```
//!
//! Despite the prefix's name both sides use the standard alphabet of base64, without padding.
//!
//! Source: Phoenix `lib/phoenix/transports/websocket.ex`, `assets/js/phoenix/socket.js`.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use thiserror::Error;

/// What to answer, and the token that came with the offer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protocols {
    /// The protocol to name in the response, if any.
    pub answer: Option<&'static str>,
    /// The client's token.
    pub auth_token: Option<String>,
}

/// Why an offer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolsError {
    /// Protocols were offered and `phoenix` is not one of them.
    #[error("no offered subprotocol is spoken here")]
    NotAllowed,
    /// The token is not base64 of UTF-8. Phoenix fails with 500; the fault is the client's, so it
    /// is told 400.
    #[error("auth token is not base64 of text")]
    AuthToken,
}

impl ProtocolsError {
    /// The HTTP status that says so.
    pub const fn status(self) -> u16 {
        match self {
            Self::NotAllowed => 403,
            Self::AuthToken => 400,
        }
    }
}

/// Reads every `Sec-WebSocket-Protocol` header of a request.
///
/// Without `auth_token` the headers mean nothing and none is answered. The token counts when there
/// is exactly one; two of them are two unknown protocols.
///
/// # Errors
///
/// [`ProtocolsError`] when the offer cannot be answered.
pub fn choose_protocol<'a>(
    headers: impl IntoIterator<Item = &'a str>,
    auth_token: bool,
) -> Result<Protocols, ProtocolsError> {
    let mut headers = headers.into_iter().peekable();
    if !auth_token || headers.peek().is_none() {
        return Ok(Protocols::default());
    }
    let mut speaks_phoenix = false;
    let mut tokens_count = 0;
    let mut token = None;
    for offered in headers.flat_map(|header| header.split(',')).map(str::trim) {
        if let Some(encoded) = offered.strip_prefix(TOKEN_PREFIX) {
            tokens_count += 1;
            token = Some(encoded);
        } else if offered == PHOENIX {
            speaks_phoenix = true;
        }
    }
    if !speaks_phoenix {
        return Err(ProtocolsError::NotAllowed);
    }
    let auth_token = match token {
        Some(encoded) if tokens_count == 1 => Some(decode_token(encoded)?),
        _ => None,
    };
    Ok(Protocols {
        answer: Some(PHOENIX),
        auth_token,
    })
}

fn decode_token(encoded: &str) -> Result<String, ProtocolsError> {
    let bytes = BASE64
        .decode(encoded)
        .map_err(|_| ProtocolsError::AuthToken)?;
    String::from_utf8(bytes).map_err(|_| ProtocolsError::AuthToken)
}

const PHOENIX: &str = "phoenix";
const TOKEN_PREFIX: &str = "base64url.bearer.phx.";

/// As `Base.decode64(padding: false)`: padding may be there or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_taken_and_phoenix_is_answered() {
        for offer in [
            "phoenix, base64url.bearer.phx.c2VjcmV0",
            "base64url.bearer.phx.c2VjcmV0,phoenix",
            "phoenix, other, base64url.bearer.phx.c2VjcmV0",
        ] {
            let protocols = choose_protocol([offer], true).unwrap();
            assert_eq!(protocols.answer, Some("phoenix"), "{offer}");
            assert_eq!(protocols.auth_token.as_deref(), Some("secret"), "{offer}");
        }
        let split = choose_protocol(["phoenix", "base64url.bearer.phx.c2VjcmV0"], true).unwrap();
        assert_eq!(split.auth_token.as_deref(), Some("secret"));
    }

    #[test]
    fn the_alphabet_is_the_standard_one_and_padding_is_optional() {
        let token = |encoded: &str| {
            choose_protocol([&*format!("phoenix, base64url.bearer.phx.{encoded}")], true)
                .map(|protocols| protocols.auth_token.unwrap())
        };
        assert_eq!(token("Pz8/").unwrap(), "???");
        assert_eq!(token("YQ").unwrap(), "a");
        assert_eq!(token("YQ==").unwrap(), "a");
        assert_eq!(token("Pz8_"), Err(ProtocolsError::AuthToken));
        assert_eq!(token("/w"), Err(ProtocolsError::AuthToken));
        assert_eq!(ProtocolsError::AuthToken.status(), 400);
    }

    #[test]
    fn two_tokens_are_none() {
        let offer = "phoenix, base64url.bearer.phx.YQ, base64url.bearer.phx.Yg";
        let protocols = choose_protocol([offer], true).unwrap();
        assert_eq!(protocols.auth_token, None);
        assert_eq!(protocols.answer, Some("phoenix"));
    }

    #[test]
    fn an_offer_without_phoenix_is_refused() {
        for offer in ["graphql-ws", "base64url.bearer.phx.YQ", ""] {
            assert_eq!(
                choose_protocol([offer], true),
                Err(ProtocolsError::NotAllowed),
                "{offer}"
            );
        }
        assert_eq!(ProtocolsError::NotAllowed.status(), 403);
    }

    #[test]
    fn without_auth_token_or_without_an_offer_nothing_is_answered() {
        let nothing = Protocols::default();
        assert_eq!(choose_protocol(["graphql-ws"], false), Ok(nothing.clone()));
        assert_eq!(choose_protocol([], true), Ok(nothing));
    }
}
