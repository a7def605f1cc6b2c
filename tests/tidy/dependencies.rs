//! The dependency tables of a manifest.

use toml::{Table, Value};

/// Every table of dependencies with its name, those for one target included.
pub(crate) fn dependency_tables(manifest: &Table) -> Vec<(String, &Table)> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let for_targets = targets
        .into_iter()
        .flatten()
        .filter_map(|(target, tables)| {
            let prefix = format!("target.{target}.");
            tables.as_table().map(|tables| (prefix, tables))
        });
    [(String::new(), manifest)]
        .into_iter()
        .chain(for_targets)
        .flat_map(|(prefix, tables)| {
            ["dependencies", "dev-dependencies", "build-dependencies"]
                .into_iter()
                .filter_map(move |name| {
                    let table = tables.get(name)?.as_table()?;
                    Some((format!("{prefix}{name}"), table))
                })
        })
        .collect()
}

/// The dependencies that a member declares instead of taking them from the workspace.
pub(crate) fn declared_by_itself(manifest: &Table) -> Vec<String> {
    dependency_tables(manifest)
        .iter()
        .flat_map(|(table, entries)| {
            entries
                .iter()
                .map(move |(name, entry)| (table, name, entry))
        })
        .filter(|(_, _, entry)| entry.get("workspace").and_then(Value::as_bool) != Some(true))
        .map(|(table, name, _)| format!("[{table}] {name}"))
        .collect()
}

#[test]
fn a_version_is_found_however_it_is_written() {
    let manifest: Table = r#"
        [dependencies]
        rand = "0.9"
        serde = { version = "1", features = ["derive"] }
        toml.workspace = true
        tokio = { workspace = true, features = ["rt"] }
        [dev-dependencies.proptest]
        path = "../proptest"
        [target.'cfg(unix)'.build-dependencies]
        cc = "1"
    "#
    .parse()
    .unwrap();
    assert_eq!(
        declared_by_itself(&manifest),
        [
            "[dependencies] rand",
            "[dependencies] serde",
            "[dev-dependencies] proptest",
            "[target.cfg(unix).build-dependencies] cc"
        ]
    );
}
