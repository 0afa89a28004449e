//! Tables of commands that Java does not have.

use comfy_table::{ContentArrangement, Table, presets};

/// Rows under heads, without lines.
pub fn table<R: IntoIterator<Item = String>>(
    heads: &[&str],
    rows: impl IntoIterator<Item = R>,
) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heads.iter().copied());
    for row in rows {
        table.add_row(row.into_iter().collect::<Vec<_>>());
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
    lines.collect()
}
