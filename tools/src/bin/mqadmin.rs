//! `mqadmin`: looks at stores and servers, and changes them.

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    tools::admin::run(&words)
}
