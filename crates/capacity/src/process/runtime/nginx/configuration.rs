//! What an nginx configuration says of connections.

use super::tokens::{Token, Tokens};
use crate::process::{Known, Unknown, unknown::parse_number};

/// How many files an `include` may bring in, all together.
pub(super) const INCLUDES_MAX: usize = 64;

/// Words of a directive that are looked at.
const WORDS_MAX: usize = 4;

/// Where a text stands: nginx allows each directive in some of these only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Outside of all blocks.
    Main,
    /// In `events { … }`.
    Events,
    /// In any other block.
    Other,
}

/// The directives that bound connections; `None` where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// How many workers there are; for `auto`, one for each core, the number is not known.
    pub worker_processes: Option<Known<u64>>,
    /// Connections of each worker.
    pub worker_connections: Option<Known<u64>>,
    /// Descriptors of each worker.
    pub worker_rlimit_nofile: Option<Known<u64>>,
    /// What is included where one of the above may be, at most 64.
    pub includes: Vec<(Context, String)>,
}

impl Configuration {
    /// Reads a text that stands in `context`.
    pub fn parse(text: &str, context: Context) -> Self {
        let mut found = Self::default();
        let mut tokens = Tokens::new(text);
        let mut words: Vec<String> = Vec::new();
        let mut depth = 0_usize;
        // Where we are at each depth up to 1; deeper it is `Other`.
        let mut block = Context::Other;
        while let Some(token) = tokens.next() {
            let here = match depth {
                0 => context,
                1 => block,
                _ => Context::Other,
            };
            match token {
                Token::Word(word) if words.len() < WORDS_MAX => words.push(word.into_owned()),
                Token::Word(_) => {}
                Token::End => {
                    found.take(here, &words);
                    words.clear();
                }
                Token::Open => {
                    let name = words.first().map_or("", String::as_str);
                    if name.ends_with("_by_lua_block") {
                        tokens.skip_foreign_block();
                    } else {
                        let is_events = here == Context::Main && name == "events";
                        if depth == 0 {
                            block = if is_events {
                                Context::Events
                            } else {
                                Context::Other
                            };
                        }
                        depth += 1;
                    }
                    words.clear();
                }
                Token::Close => {
                    depth = depth.saturating_sub(1);
                    words.clear();
                }
            }
        }
        found
    }

    /// Adds what another text says of which this one says nothing.
    pub fn or(self, other: Self) -> Self {
        Self {
            worker_processes: self.worker_processes.or(other.worker_processes),
            worker_connections: self.worker_connections.or(other.worker_connections),
            worker_rlimit_nofile: self.worker_rlimit_nofile.or(other.worker_rlimit_nofile),
            includes: self.includes,
        }
    }

    fn take(&mut self, context: Context, words: &[String]) {
        let [name, value, ..] = words else { return };
        let number = || Some(parse_number(name, value));
        match (context, &**name) {
            (Context::Main, "worker_processes") => {
                self.worker_processes = Some(match &**value {
                    "auto" => Err(Unknown::Unset("auto, one for each core".to_owned())),
                    text => parse_number(name, text),
                });
            }
            (Context::Main, "worker_rlimit_nofile") => self.worker_rlimit_nofile = number(),
            (Context::Events, "worker_connections") => self.worker_connections = number(),
            (Context::Main | Context::Events, "include") if self.includes.len() < INCLUDES_MAX => {
                self.includes.push((context, value.clone()));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "\
user www-data;
worker_processes auto;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
include /etc/nginx/modules-enabled/*.conf;

events {
\tworker_connections 768;
\t# multi_accept on;
}

http {
\tsendfile on;
\tinclude /etc/nginx/mime.types;
\tserver { location / { proxy_pass http://backend; } }
}
";

    #[test]
    fn reads_what_debian_installs() {
        let found = Configuration::parse(DEBIAN, Context::Main);
        assert!(matches!(
            found.worker_processes,
            Some(Err(Unknown::Unset(_)))
        ));
        assert_eq!(found.worker_connections, Some(Ok(768)));
        assert_eq!(found.worker_rlimit_nofile, None);
        let modules = "/etc/nginx/modules-enabled/*.conf".to_owned();
        assert_eq!(found.includes, [(Context::Main, modules)]);
    }

    #[test]
    fn a_directive_counts_only_where_nginx_allows_it() {
        let found = Configuration::parse(
            "worker_connections 1; http { worker_processes 2; events { worker_connections 3; } } \
             events { use epoll; worker_connections '4'; x { worker_connections 5; } }",
            Context::Main,
        );
        assert_eq!(found.worker_processes, None);
        assert_eq!(found.worker_connections, Some(Ok(4)));
        let included = Configuration::parse("worker_connections 6;", Context::Events);
        assert_eq!(included.worker_connections, Some(Ok(6)));
    }

    #[test]
    fn lua_does_not_hide_what_follows() {
        let found = Configuration::parse(
            "http { init_by_lua_block { -- it's { here }\n } } worker_rlimit_nofile 9; events { \
             worker_connections ${n}; }",
            Context::Main,
        );
        assert_eq!(found.worker_rlimit_nofile, Some(Ok(9)));
        assert!(matches!(
            found.worker_connections,
            Some(Err(Unknown::Odd { .. }))
        ));
    }

    #[test]
    fn broken_texts_say_what_they_can() {
        let found = Configuration::parse(
            "} } worker_processes 3; events { worker_connections 7",
            Context::Main,
        );
        assert_eq!(found.worker_processes, Some(Ok(3)));
        assert_eq!(found.worker_connections, None);
    }

    #[test]
    fn includes_are_bounded() {
        let text = "include a;".repeat(1_000);
        let found = Configuration::parse(&text, Context::Main);
        assert_eq!(found.includes.len(), INCLUDES_MAX);
    }
}
