//! `docs/limits.md`: the table of limits as a page for people.

use std::fmt::Write as _;

use super::{Limit, Setting, Side, Unit};

/// What stands above the limits.
const HEAD: &str = "\
# Limits of very many connections

Every limit that can stop a connection on Linux, on either end and between them: what it is called,
what is seen when it is met, where to look, and how much of it N connections need. This page is made
from the declarations that `fourtuple doctor`, `fourtuple plan`, the server and the crowd speak with
(`crates/capacity/src/limit`); a test keeps it as they are.

Three of them are often taken for one, because a dashboard calls one of them \"ports\":

| what is full | on which side | what it has to do with TCP ports |
|---|---|---|
| handles of the runtime (Erlang's `+Q`, \"Ports\" in Phoenix LiveDashboard) | server | nothing: one for each socket and external program |
| file descriptors (`RLIMIT_NOFILE`, `fs.file-max`) | both | nothing: one for each socket |
| tuples (source address, source port, destination address, destination port) | client, and any NAT or proxy in between | one source address has 64,512 ports towards one destination; the server's one port serves any number of them |

`fourtuple doctor --connections N` reads all of this on a machine, `fourtuple plan --connections N` says what
another one needs.
";

/// The whole page.
pub fn page() -> String {
    let mut page = String::from(HEAD);
    for (title, of) in [
        ("On both sides", Side::Both),
        ("Where connections are accepted", Side::Server),
        ("Where they are dialled, and in between", Side::Client),
    ] {
        // Writing to a String does not fail.
        let _ = write!(page, "\n## {title}\n");
        for limit in Limit::ALL.into_iter().filter(|limit| limit.side() == of) {
            write_limit(&mut page, limit);
        }
    }
    page
}

fn write_limit(page: &mut String, limit: Limit) {
    let counted = match limit.unit() {
        Unit::Choice => "a switch".to_owned(),
        unit => format!("in {unit}"),
    };
    let _ = write!(
        page,
        "\n### {}\n\n\
         - **default:** {} ({counted})\n\
         - **when it is met:** {}\n\
         - **read it:** {}\n\
         - **how much:** {}\n\
         - **to hold more:** {}\n\
         - **set by:** {}\n\
         - **source:** {}\n",
        limit.name(),
        limit.default_value(),
        limit.symptom(),
        limit.read_from(),
        limit.sizing(),
        limit.remedy(),
        set_by(limit.setting()),
        limit.source(),
    );
}

fn set_by(setting: Setting) -> String {
    match setting {
        Setting::Sysctl { key, .. } => {
            format!("`sysctl -w {key}=…`, kept by a file in /etc/sysctl.d")
        }
        Setting::Rlimit { unit_key, ulimit } => {
            format!("`{unit_key}=` in a systemd unit, `--ulimit {ulimit}=N:N` for a container")
        }
        Setting::ControlGroup { unit_key, flag, .. } => {
            format!("`{unit_key}=` in a systemd unit, `{flag}` for a container")
        }
        Setting::Boot(parameter) => format!("`{parameter}=` on the command line of the kernel"),
        Setting::Machine => "the machine".to_owned(),
        Setting::Arithmetic => "addresses and ports".to_owned(),
        Setting::Program => "the program's own configuration".to_owned(),
        Setting::Cloud => "the cloud".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_stands_on_the_page_once() {
        let page = page();
        for limit in Limit::ALL {
            let title = format!("\n### {}\n", limit.name());
            assert_eq!(page.matches(&title).count(), 1, "{limit:?}");
        }
    }

    #[test]
    fn the_page_is_as_the_declarations_are() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/limits.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, page()).expect("the page can be written");
        }
        let written = std::fs::read_to_string(path).expect("the page is there");
        assert!(
            written == page(),
            "docs/limits.md is stale: UPDATE_DOCS=1 cargo test -p fourtuple-capacity"
        );
    }
}
