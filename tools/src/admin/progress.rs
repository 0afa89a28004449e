//! How far a long command is: a bar on stderr, shown on a terminal only.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of so many steps.
pub fn steps(count: u64) -> ProgressBar {
    bar(count, "{bar:40} {pos}/{len} {per_sec} {eta}")
}

/// A bar of so many bytes.
pub fn bytes(count: u64) -> ProgressBar {
    bar(count, "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
}

/// It clears its line when it is dropped.
fn bar(len: u64, template: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(len).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
