//! CSV files whose rows the virtual users take: `config.payload`.

use std::sync::Arc;

use serde_json::Value;

use super::{bundle::Files, fields::Fields, problem::Problems, tree};

/// The rows of one file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Payload {
    /// With `loadAll`: the variable that is all rows.
    pub(crate) name: Option<String>,
    pub(crate) fields: Vec<String>,
    pub(crate) order: Order,
    /// Without `loadAll`: rows of which each user takes one.
    pub(crate) rows: Vec<Box<[Value]>>,
    /// With `loadAll`: all rows, each by the names of its columns; shared by all users.
    pub(crate) all: Arc<[Value]>,
}

/// Which row a user takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Random,
    /// The first user the first, and again from the first when all are taken.
    Sequence,
}

/// The most rows: they are held in memory.
const ROWS_MAX: usize = 2_000_000;

/// Reads `config.payload`, whose rows are in `files`.
pub(crate) fn read(
    config: &mut Fields<'_>,
    files: &Files<'_>,
    problems: &mut Problems,
) -> Vec<Payload> {
    let path = config.path_of("payload");
    let items = config.list("payload").iter().enumerate();
    items
        .filter_map(|(number, node)| {
            let path = format!("{path}[{number}]");
            let fields = Fields::of(node, &path, problems)?;
            read_one(fields, files, problems)
        })
        .collect()
}

fn read_one(mut fields: Fields<'_>, files: &Files<'_>, problems: &mut Problems) -> Option<Payload> {
    let file = fields.text("path", problems);
    if file.is_none() {
        fields.missing("path", "a CSV file", problems);
    }
    let names: Vec<_> = fields
        .texts("fields", problems)
        .into_iter()
        .map(str::to_owned)
        .collect();
    let order = match fields.text("order", problems) {
        None | Some("random") => Order::Random,
        Some("sequence") => Order::Sequence,
        Some(other) => {
            let text = format!("expected random or sequence, found `{other}`");
            problems.note(fields.place_of("order"), &fields.path_of("order"), text);
            Order::Random
        }
    };
    let skip_header = fields.boolean("skipHeader", problems).unwrap_or(false);
    let casts = fields.boolean("cast", problems).unwrap_or(true);
    let skips_empty = fields.boolean("skipEmptyLines", problems).unwrap_or(true);
    let delimiter = fields.text("delimiter", problems).unwrap_or(",");
    let all = fields.boolean("loadAll", problems).unwrap_or(false);
    let name = fields.text("name", problems).map(str::to_owned);
    fields.forbid(
        "options",
        "options of Node's csv-parse are not supported: use delimiter, skipHeader, cast and \
         skipEmptyLines",
        problems,
    );
    if names.is_empty() {
        fields.missing("fields", "the names of the columns, in order", problems);
    }
    if all && name.is_none() {
        fields.missing("name", "the variable that is all rows (loadAll)", problems);
    }
    let (at, key) = (fields.place_of("path"), fields.path_of("path"));
    let by = match *delimiter.as_bytes() {
        [byte] => byte,
        _ => {
            let text = format!("expected one ASCII character, found `{delimiter}`");
            let key = fields.path_of("delimiter");
            problems.note(fields.place_of("delimiter"), &key, text);
            b','
        }
    };
    fields.finish(problems);
    let text = match files.read(file?) {
        Ok(text) => text,
        Err(why) => {
            problems.note(at, &key, why);
            return None;
        }
    };
    let mut payload = Payload {
        name: name.filter(|_| all),
        fields: names,
        order,
        rows: Vec::new(),
        all: Arc::new([]),
    };
    match payload.fill(&text, by, casts, skips_empty, skip_header) {
        Ok(()) => Some(payload),
        Err(why) => {
            problems.note(at, &key, why);
            None
        }
    }
}

impl Payload {
    fn fill(
        &mut self,
        text: &str,
        delimiter: u8,
        casts: bool,
        skips_empty: bool,
        skip_header: bool,
    ) -> Result<(), String> {
        // Spreadsheets put a mark before the first name.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(skip_header)
            .flexible(true)
            .from_reader(text.as_bytes());
        for record in reader.records() {
            let record = record.map_err(|error| format!("not CSV: {error}"))?;
            if skips_empty && record.iter().all(str::is_empty) {
                continue;
            }
            if self.rows.len() >= ROWS_MAX {
                return Err(format!("the file has more than {ROWS_MAX} rows"));
            }
            let cells = record.iter().take(self.fields.len());
            self.rows
                .push(cells.map(|cell| cast(cell, casts)).collect());
        }
        if self.rows.is_empty() {
            return Err("the file has no row: every user would go without".to_owned());
        }
        if self.name.is_some() {
            self.all = self.named();
            self.rows = Vec::new();
        }
        Ok(())
    }

    /// All rows, each by the names of its columns.
    fn named(&self) -> Arc<[Value]> {
        let rows = self.rows.iter().map(|row| {
            let cells = self.fields.iter().cloned().zip(row.iter().cloned());
            Value::Object(cells.collect())
        });
        rows.collect()
    }
}

/// A cell as a number where it is one, if that is wanted.
fn cast(cell: &str, casts: bool) -> Value {
    match tree::number(cell).filter(|_| casts) {
        Some(number) => Value::Number(number),
        None => Value::String(cell.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn payload(fields: &[&str]) -> Payload {
        Payload {
            name: None,
            fields: fields.iter().map(|&name| name.to_owned()).collect(),
            order: Order::Random,
            rows: Vec::new(),
            all: Arc::new([]),
        }
    }

    #[test]
    fn cells_are_cast_and_rows_named() {
        let mut users = payload(&["id", "name"]);
        let text = "id,name\n1,\"Ada, L.\"\n\n2.5,Bob,more\n007x,\n";
        users.fill(text, b',', true, true, true).expect("CSV");
        let rows = json!([
            {"id": 1, "name": "Ada, L."},
            {"id": 2.5, "name": "Bob"},
            {"id": "007x", "name": ""}
        ]);
        assert_eq!(Value::Array(users.named().to_vec()), rows);
        let mut plain = payload(&["a"]);
        plain.fill("1;2\n", b';', false, true, false).expect("CSV");
        assert_eq!(plain.named()[..], [json!({"a": "1"})]);
        assert!(payload(&["a"]).fill("\n", b',', true, true, false).is_err());
    }
}
