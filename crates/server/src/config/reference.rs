//! `docs/configuration.md`, made from the declarations so that it cannot lag behind them.

use std::fmt::Write as _;

use super::{
    AdminKey, AdminUser, Config, PREFIX, Rule,
    admin_access::{KEY, USER},
    draft::CHANNEL,
    setting::{Declared, Setting},
    sources::{CONFIG_FLAG, CONFIG_VARIABLE},
};

const INTRODUCTION: &str = "\
# Configuration

<!-- Made by `UPDATE_DOCS=1 cargo test -p fourtuple-server` from the declarations in
crates/server/src/config; change it there. -->

`fourtuple serve` runs without any configuration. What is to be different is said in a file, in the
environment or with a flag; a flag wins over the environment, and both win over the file.
";

const SPELLING: &str = "\
- A duration is a whole number with its unit: `\"500ms\"`, `\"30s\"`, `\"5m\"`, `\"1h\"`.
- A size is a number of bytes, `65536`, or has a unit: `\"64KiB\"`, `\"1MiB\"`, `\"1GiB\"`.
- Numbers may be grouped: `1_000_000`.
- A list is an array in the file, and has commas between its items elsewhere.

Unknown keys, unknown variables that begin with `FOURTUPLE_`, and values outside of their range keep
the server from starting. Everything that is wrong is reported at once, and the exit code is 2.
`fourtuple serve --print-config` prints every setting with its value and where it came from; what it
prints is itself a configuration file, but for the hashes of keys and users, which are secrets and have
to be put back. `--print-ledger` prints what the connections cost in memory.
";

const KEYS: &str = "\
A program shows its key in the header `Authorization: Bearer ft_…`. `fourtuple key` makes one, shows it
once, and prints the lines for the file. Keys and users are in the file alone: neither flags nor variables
hold them. docs/admin.md says who may do what.
";

const USERS: &str = "\
A person logs in with a name and a password. `fourtuple key --user NAME` reads the password and prints the
lines for the file.
";

const RULES: &str = "\
The built-in channel needs no code: each `[[channel]]` of the file is a rule for the topics that it
names. The first rule that matches a topic counts; a topic that none matches cannot be joined. A
file without any rule has this one:
";

/// The text of the document.
pub fn reference() -> String {
    let mut out = String::from(INTRODUCTION);
    // Writing to a String does not fail.
    let _ = writeln!(
        out,
        "\n- The file is TOML. `--{CONFIG_FLAG} FILE` or the variable `{CONFIG_VARIABLE}` names it; \
         without\n  them there is none.\n\
         - The variable of a setting is its key in capitals, with `{PREFIX}` before it and `_` for \
         each\n  dot.",
    );
    out.push_str(SPELLING);
    out.push_str("\n## Settings\n\n");
    table_head(&mut out, "Key and flag");
    for setting in Config::SETTINGS
        .iter()
        .filter(|setting| setting.section().is_empty())
    {
        setting_row(&mut out, setting);
    }
    for (section, about) in Config::SECTIONS {
        let _ = writeln!(out, "\n## `[{section}]`\n\n{}\n", text(about));
        table_head(&mut out, "Key and flag");
        for setting in Config::SETTINGS
            .iter()
            .filter(|setting| setting.section() == *section)
        {
            setting_row(&mut out, setting);
        }
    }
    let _ = writeln!(out, "\n## `[[{KEY}]]`\n\n{KEYS}");
    table_of::<AdminKey>(&mut out);
    let _ = writeln!(out, "\n## `[[{USER}]]`\n\n{USERS}");
    table_of::<AdminUser>(&mut out);
    let _ = writeln!(out, "\n## `[[{CHANNEL}]]`\n\n{RULES}");
    for rule in &Config::default().channels {
        let _ = writeln!(out, "```toml\n[[{CHANNEL}]]");
        for setting in Rule::SETTINGS {
            let _ = writeln!(
                out,
                "{} = {}",
                setting.name(),
                (setting.describe)(rule).value
            );
        }
        out.push_str("```\n\n");
    }
    table_of::<Rule>(&mut out);
    out
}

/// The keys of one table of a list.
fn table_of<T: Declared>(out: &mut String) {
    table_head(out, "Key");
    for setting in T::SETTINGS {
        let default = if setting.is_required() {
            String::new()
        } else {
            code(&setting.default_value())
        };
        row(out, &code(setting.key()), &default, setting);
    }
}

fn table_head(out: &mut String, first: &str) {
    let _ = writeln!(out, "| {first} | Default | Values | |\n|---|---|---|---|");
}

fn setting_row(out: &mut String, setting: &Setting) {
    let flags = [
        Some(setting.flag()),
        setting.flag_alias().map(str::to_owned),
    ];
    let flags = flags.into_iter().flatten().map(|flag| format!("--{flag}"));
    let names: Vec<_> = std::iter::once(setting.key().to_owned())
        .chain(flags)
        .map(|name| code(&name))
        .collect();
    let names = names.join("<br>");
    row(out, &names, &code(&setting.default_value()), setting);
}

fn row<T: Default>(out: &mut String, names: &str, default: &str, setting: &Setting<T>) {
    let mut about = vec![setting.summary(), setting.reason()];
    about.retain(|part| !part.is_empty());
    let cells = [names, default, &setting.expected(), &about.join(" ")]
        .map(|cell| cell.replace('|', "\\|"));
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn text(lines: &[&str]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| line.trim()).collect();
    lines.join("\n")
}
