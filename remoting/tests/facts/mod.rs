//! The fact tables of `compat-tests/facts`: tab separated, the first line names the columns.
#![allow(dead_code)] // Every test file uses its own part.

use std::collections::{BTreeMap, HashMap};

/// One row, by column.
pub struct Row(HashMap<String, String>);

impl Row {
    pub fn text(&self, column: &str) -> &str {
        self.0.get(column).unwrap_or_else(|| panic!("no column {column}"))
    }

    pub fn number(&self, column: &str) -> i32 {
        self.text(column).parse().unwrap()
    }

    pub fn json(&self, column: &str) -> serde_json::Value {
        serde_json::from_str(self.text(column)).unwrap()
    }

    pub fn bytes(&self, column: &str) -> Vec<u8> {
        match self.text(column) {
            "-" => Vec::new(),
            hex => (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect(),
        }
    }

    /// A JSON object column as text fields, as they are on the wire.
    pub fn fields(&self, column: &str) -> BTreeMap<String, String> {
        let object = self.json(column);
        let members = object.as_object().unwrap().iter();
        members
            .map(|(name, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (name.clone(), text)
            })
            .collect()
    }
}

pub fn rows(file: &str) -> Vec<Row> {
    let path = format!("{}/../compat-tests/facts/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let mut lines = text.lines();
    let columns: Vec<_> = lines.next().unwrap().split('\t').collect();
    let rows: Vec<_> = lines
        .map(|line| {
            let cells: Vec<_> = line.split('\t').collect();
            assert_eq!(cells.len(), columns.len(), "{line}");
            let cells = cells.into_iter().map(str::to_owned);
            Row(columns.iter().map(|column| (*column).to_owned()).zip(cells).collect())
        })
        .collect();
    assert!(!rows.is_empty(), "{path} is empty");
    rows
}
