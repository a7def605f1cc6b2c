//! Which pages may connect, as an operator says it.

use proto::phoenix::connect::{Origin, OriginCheck, OriginPattern};

use super::{
    Config,
    kind::{Kind, quoted_list},
    written::{Written, quoted},
};

/// The rule for the `Origin` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckOrigin {
    /// Every page may connect.
    Off,
    /// Pages of the host that the server is known by.
    Host,
    /// Pages whose scheme, host and port are those of the request.
    Conn,
    /// Pages that match a pattern.
    List(OriginList),
}

/// The patterns of [`CheckOrigin::List`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginList {
    /// As written.
    texts: Vec<String>,
    check: OriginCheck,
}

/// The kind of the setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origins;

/// Each is compared with every handshake that does not pass before it.
const PATTERNS_MAX: usize = 1_000;

impl Config {
    /// Whether a request with this `Origin` header may connect; `request` is where it was sent to.
    pub fn allows_origin(&self, header: Option<&str>, request: &Origin<'_>) -> bool {
        match &self.check_origin {
            CheckOrigin::Off => true,
            CheckOrigin::Conn => OriginCheck::Request.allows(header, request),
            CheckOrigin::List(list) => list.check.allows(header, request),
            CheckOrigin::Host => match self.host.as_deref().or(request.host) {
                Some(host) => OriginCheck::Host(host.to_owned()).allows(header, request),
                // Nobody knows what this server is called: only who sends no origin passes.
                None => header.is_none(),
            },
        }
    }
}

impl Kind for Origins {
    type Value = CheckOrigin;

    fn read(&self, written: &Written<'_>) -> Option<CheckOrigin> {
        match written.text() {
            Some("off") => return Some(CheckOrigin::Off),
            Some("host") => return Some(CheckOrigin::Host),
            Some("conn") => return Some(CheckOrigin::Conn),
            _ => {}
        }
        let items = written.items()?;
        if !(1..=PATTERNS_MAX).contains(&items.len()) {
            return None;
        }
        // A single word is a word misspelled rather than the name of a host.
        let named = |text: &&str| text.contains(['.', ':', '/']);
        let pattern = |text: &&str| OriginPattern::parse(text).ok().filter(|_| named(text));
        let patterns = items.iter().map(pattern).collect::<Option<Vec<_>>>()?;
        Some(CheckOrigin::List(OriginList {
            texts: items.into_iter().map(str::to_owned).collect(),
            check: OriginCheck::List(patterns),
        }))
    }

    fn write(&self, value: &CheckOrigin) -> String {
        match value {
            CheckOrigin::Off => quoted("off"),
            CheckOrigin::Host => quoted("host"),
            CheckOrigin::Conn => quoted("conn"),
            CheckOrigin::List(list) => quoted_list(&list.texts),
        }
    }

    fn expected(&self) -> String {
        "\"host\", \"conn\", \"off\" or a list of origins such as \"https://example.com\", \
         \"//example.com:4000\" or \"//*.example.com\""
            .to_owned()
    }

    fn placeholder(&self) -> &'static str {
        "ORIGINS"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(written: &str) -> Config {
        Config {
            check_origin: Origins.read(&Written::Argument(written)).expect(written),
            ..Config::default()
        }
    }

    fn allows(config: &Config, origin: &str) -> bool {
        let request = Origin::of_request("http", "a.com:4000");
        config.allows_origin(Some(origin), &request)
    }

    #[test]
    fn host_is_the_configured_one_or_that_of_the_request() {
        let mut config = config("host");
        assert!(allows(&config, "https://a.com") && !allows(&config, "http://b.com:4000"));
        config.host = Some("b.com".to_owned());
        assert!(allows(&config, "https://b.com") && !allows(&config, "http://a.com:4000"));

        config.host = None;
        let nameless = Origin::default();
        assert!(config.allows_origin(None, &nameless));
        assert!(!config.allows_origin(Some("http://a.com"), &nameless));
    }

    #[test]
    fn conn_compares_all_and_off_nothing() {
        assert!(allows(&config("conn"), "http://a.com:4000"));
        assert!(!allows(&config("conn"), "https://a.com:4000"));
        assert!(allows(&config("off"), "null"));
    }

    #[test]
    fn a_list_allows_what_matches() {
        let config = config("https://a.com, //*.b.com");
        assert!(allows(&config, "https://a.com") && allows(&config, "http://x.b.com:9"));
        assert!(!allows(&config, "http://a.com"));
    }

    #[test]
    fn words_are_not_hosts() {
        for text in [
            "",
            "hosts",
            "on",
            "true",
            "https://a.com,",
            "https://a.com/path",
        ] {
            assert_eq!(Origins.read(&Written::Argument(text)), None, "{text}");
        }
        assert_eq!(Origins.read(&Written::List(vec![])), None);
        let many = vec!["//a.com"; PATTERNS_MAX + 1];
        assert_eq!(Origins.read(&Written::List(many.clone())), None);
        assert!(Origins.read(&Written::List(many[1..].to_vec())).is_some());
    }
}
