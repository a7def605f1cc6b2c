//! How a script says its connections are made: through which proxy, and from which address of this machine. These are
//! options of Node's `ws` and of the agent that Artillery makes of `proxy`.

use std::net::IpAddr;

use super::{fields::Fields, problem::Problems};
use crate::proxy::{Proxy, ProxyError};

/// The way of a scenario's connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Route {
    /// Through which proxy the server is reached.
    pub(crate) proxy: Option<Proxy>,
    /// The address to dial from.
    pub(crate) source: Option<IpAddr>,
}

impl Route {
    /// Reads `proxy` and `localAddress` of a map of options, on top of those that hold for all.
    pub(super) fn read(&mut self, fields: &mut Fields<'_>, problems: &mut Problems) {
        self.read_source(fields, problems);
        let path = fields.path_of("proxy");
        let Some(node) = fields.take("proxy") else {
            return;
        };
        let Some(mut own) = Fields::of(node, &path, problems) else {
            return;
        };
        match own.text("url", problems).map(str::parse::<Proxy>) {
            None => own.missing("url", "one such as http://127.0.0.1:3128", problems),
            Some(Ok(url)) => self.proxy = Some(url),
            Some(Err(error)) => {
                let error: ProxyError = error;
                problems.note(own.place_of("url"), &own.path_of("url"), error.to_string());
            }
        }
        // From where the proxy is dialled, which is all that is dialled.
        self.read_source(&mut own, problems);
        own.finish(problems);
    }

    fn read_source(&mut self, fields: &mut Fields<'_>, problems: &mut Problems) {
        let Some(text) = fields.text("localAddress", problems) else {
            return;
        };
        match text.parse() {
            Ok(address) => self.source = Some(address),
            Err(_) => {
                let key = fields.path_of("localAddress");
                let text = format!(
                    "`{text}` is no address: expected one of this machine, such as 127.0.0.2; \
                     --sources names many"
                );
                problems.note(fields.place_of("localAddress"), &key, text);
            }
        }
    }
}
