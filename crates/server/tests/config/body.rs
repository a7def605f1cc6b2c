//! What reading a configuration promises for any text at all. A fuzz target includes this file.

use std::ffi::OsString;

use fourtuple_server::config::{Loaded, Place, Problem, Problems, Sources};

const NAME: &str = "f.toml";

/// The environment, one variable a line, follows the file behind this line.
const ENVIRONMENT: &str = "\n--- environment\n";

/// Any text is a configuration that can be printed and read again, or each problem says where in
/// the text it is, on a line of its own.
pub(crate) fn fuzz_config(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let (file, environment) = text.split_once(ENVIRONMENT).unwrap_or((text, ""));
    let variable = |line: &str| {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        (OsString::from(name), OsString::from(value))
    };
    let sources = Sources {
        environment: environment.lines().map(variable).collect(),
        ..Sources::default()
    };
    match sources.load_text(NAME, file) {
        Ok(loaded) => check_printed(&loaded),
        Err(problems) => check_problems(&problems, file),
    }
}

/// What is printed gives the same configuration, whose values are now all the file's.
///
/// Hashes are not printed: where there are any, what is printed is refused for nothing but their absence.
fn check_printed(loaded: &Loaded) {
    let printed = loaded.to_toml();
    let admin = &loaded.config.admin;
    let hidden_count = admin.keys.len() + admin.users.len();
    if hidden_count > 0 {
        let problems = Sources::default().load_text(NAME, &printed);
        let problems = problems.expect_err("hashes are hidden");
        assert_eq!(problems.iter().len(), hidden_count, "{problems}");
        for problem in problems.iter() {
            assert!(
                problem.to_string().contains("hash = (hidden): "),
                "{problem}"
            );
        }
        return;
    }
    let again = Sources::default()
        .load_text(NAME, &printed)
        .unwrap_or_else(|problems| panic!("{problems}\nin what was printed:\n{printed}"));
    assert_eq!(again.config, loaded.config, "{printed}");
}

fn check_problems(problems: &Problems, file: &str) {
    assert!(problems.iter().len() > 0);
    assert_eq!(problems.to_string().lines().count(), problems.iter().len());
    for problem in problems.iter() {
        let said = problem.to_string();
        assert!(!said.contains(char::is_control), "{said:?}");
        match problem {
            Problem::Value { place, .. }
            | Problem::Missing { place, .. }
            | Problem::UnknownKey { place, .. }
            | Problem::UnknownVariable { place, .. }
            | Problem::Syntax { place, .. } => {
                assert!(said.starts_with(&format!("{place}: ")), "{said:?}");
                check_place(place, file);
            }
            other => panic!("this file was read: {other:?}"),
        }
    }
}

/// The place exists.
fn check_place(place: &Place, file: &str) {
    let Place::File { name, line, column } = place else {
        return;
    };
    assert_eq!(name, NAME);
    let text = file.split('\n').nth(line - 1);
    let columns = text.map(|text| text.chars().count() + 1);
    assert!(
        (Some(1)..=columns).contains(&Some(*column)),
        "{place} is not in {file:?}"
    );
}
