//! What the command line says about a script, and how that is laid on top of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    problem::{Place, Problems},
    tree::{Entry, Node, Value},
};

/// What the command line says about a script.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScriptFlags {
    /// The one of `config.environments` that is laid on top of `config`.
    pub environment: Option<String>,
    /// Instead of `config.target`.
    pub target: Option<String>,
    /// JSON: variables laid on top of `config.variables`.
    pub variables: Option<String>,
    /// JSON: laid on top of the whole script.
    pub overrides: Option<String>,
    /// The only scenario that is run.
    pub scenario: Option<String>,
    /// A CSV file, seen from the script's folder, instead of that of `config.payload`.
    pub payload: Option<String>,
    /// Variables of the environment where it has none of the name.
    pub dotenv: BTreeMap<String, String>,
    /// What the user before all others has captured, for all of them.
    pub captured: BTreeMap<String, serde_json::Value>,
}

/// A number that differs for other texts and flags (FNV-1a). The target is no part of it: the same script
/// may be run against two servers.
pub(crate) fn mark_of(text: &str, flags: &ScriptFlags) -> u64 {
    let flags = [
        &flags.environment,
        &flags.variables,
        &flags.overrides,
        &flags.scenario,
    ];
    let flags = flags
        .into_iter()
        .map(|flag| flag.as_deref().unwrap_or("\0"));
    let parts = std::iter::once(text).chain(flags);
    let bytes = parts.flat_map(|part| part.bytes().chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |mark, byte| {
        (mark ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Lays on top what the command line and the environment say.
pub(crate) fn overlay(tree: &mut Node, flags: &ScriptFlags, problems: &mut Problems) {
    let mut lay = |tree: &mut Node, text: &str, flag: &str| {
        let mut own = Problems::of(flag);
        let over = Node::parse(text, &mut own).map(Node::without_places);
        match own.or(over) {
            Ok(over) if matches!(over.value, Value::Map(_)) => tree.overlay(over),
            Ok(_) => problems.note(Place::default(), flag, "expected a JSON object"),
            Err(wrong) => problems.note(Place::default(), flag, wrong.to_string()),
        }
    };
    if let Some(text) = &flags.overrides {
        lay(tree, text, "--overrides");
    }
    if let Some(text) = &flags.variables {
        let text = format!("{{\"config\": {{\"variables\": {text}}}}}");
        lay(tree, &text, "--variables");
    }
    if !flags.captured.is_empty() {
        // In a list of its own, as one of a list is drawn for each user.
        let captured = flags.captured.iter().map(|(name, value)| (name, [value]));
        let captured: BTreeMap<_, _> = captured.collect();
        let text = serde_json::json!({"config": {"variables": captured}}).to_string();
        lay(tree, &text, "before");
    }
    if let Some(name) = &flags.environment {
        let all = tree
            .find("config")
            .and_then(|node| node.find("environments"));
        match all.and_then(|all| all.find(name)).cloned() {
            Some(over) => map_entry(tree, "config").overlay(over),
            None => {
                let text = format!("config.environments has no `{name}`");
                problems.note(Place::default(), "--environment", text);
            }
        }
    }
    if let Some(file) = &flags.payload {
        let payload = map_entry(map_entry(tree, "config"), "payload");
        let first = match &mut payload.value {
            Value::List(items) => items.first_mut(),
            Value::Map(_) => Some(payload),
            _ => None,
        };
        match first {
            Some(first) => map_entry(first, "path").value = Value::Text(file.clone()),
            None => {
                let text = "config.payload names no columns: give it `fields`";
                problems.note(Place::default(), "--payload", text);
            }
        }
    }
    if let Some(target) = &flags.target {
        map_entry(map_entry(tree, "config"), "target").value = Value::Text(target.clone());
    }
}

/// The value of `key` in a map, made if it is not there.
fn map_entry<'t>(tree: &'t mut Node, key: &str) -> &'t mut Node {
    if !matches!(tree.value, Value::Map(_)) {
        tree.value = Value::Map(Vec::new());
    }
    let Value::Map(entries) = &mut tree.value else {
        unreachable!("it was made a map");
    };
    let found = entries.iter().position(|entry| entry.key == key);
    let place = found.unwrap_or_else(|| {
        let at = Place::default();
        let value = Value::Null;
        entries.push(Entry {
            key: key.to_owned(),
            at,
            node: Node { at, value },
        });
        entries.len() - 1
    });
    &mut entries[place].node
}

/// Reads a file of lines `NAME=value`, as `--dotenv` names one.
///
/// # Errors
///
/// The line that is none.
pub fn read_dotenv(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut all = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            return Err(format!("line {number}: expected NAME=value"));
        };
        let value = value.trim();
        let quoted = ['"', '\'', '`'].into_iter().find_map(|quote| {
            let rest = value.strip_prefix(quote)?;
            Some((quote, rest.split_once(quote)?.0))
        });
        let value = match quoted {
            Some(('"', text)) => text.replace("\\n", "\n"),
            Some((_, text)) => text.to_owned(),
            // A comment begins behind a space.
            None => value
                .split(" #")
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned(),
        };
        all.insert(name.trim().to_owned(), value);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_variables_has_names_quotes_and_comments() {
        let text = "# all\n\nA=1\nexport B = two words # said\nC=\"x # y\\nz\"\nD='=\\n'\nE=\n";
        let all = read_dotenv(text).expect("lines of variables");
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "x # y\nz"),
            ("D", "=\\n"),
            ("E", ""),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(all, expected.into());
        assert_eq!(
            read_dotenv("A=1\nB"),
            Err("line 2: expected NAME=value".to_owned())
        );
    }
}
