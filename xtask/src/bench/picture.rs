//! The picture of the shares: for every row the floor is the full width.

use std::fmt::Write;

use super::page::rate;
use super::results::{Figure, Results};

const LEFT: f64 = 260.0;
const WIDTH: f64 = 420.0;
const BAR: f64 = 12.0;
const ROW: f64 = 40.0;
const COLOURS: [(&str, &str); 2] = [("ours", "#b3452c"), ("java", "#8a8f98")];

/// Draws all rows that the floor has.
pub fn draw(results: &Results) -> String {
    let rows: Vec<&str> = results
        .rows()
        .into_iter()
        .filter(|row| results.ratio(row, "ours", "floor", Figure::Rate).is_some())
        .collect();
    let height = ROW * rows.len() as f64 + 40.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"800\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"18\">rate as a share of the floor (full width)</text>\n"
    );
    for (at, row) in rows.iter().enumerate() {
        let top = 30.0 + ROW * at as f64;
        let _ = writeln!(out, "<text x=\"10\" y=\"{}\">{row}</text>", top + 18.0);
        let _ = writeln!(
            out,
            "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{}\" fill=\"#eceef1\"/>",
            2.0 * BAR + 4.0
        );
        for (slot, (server, colour)) in COLOURS.iter().enumerate() {
            let Some(share) = results.ratio(row, server, "floor", Figure::Rate) else { continue };
            let (y, width) = (top + slot as f64 * (BAR + 4.0), WIDTH * share.min(1.2));
            let _ = writeln!(
                out,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.0}\" height=\"{BAR}\" \
                 fill=\"{colour}\"/><text x=\"{:.0}\" y=\"{}\">{server} {share:.2}, {}</text>",
                LEFT + width + 6.0,
                y + BAR - 2.0,
                rate(results.median(row, server, Figure::Rate).unwrap_or_default()),
            );
        }
    }
    out.push_str("</svg>\n");
    out
}
