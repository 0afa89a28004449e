//! `cargo xtask docs`: pages that are made from the source; tests say when one is not current.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// Writes the pages.
pub fn run(root: &Path) -> Result<bool> {
    let page = root.join("docs/configuration.md");
    // The page is part of the build, as the test that compares it includes it.
    if !page.exists() {
        fs::write(&page, "")?;
    }
    let cargo = ["run", "--quiet", "--package", "broker", "--bin", "mqbroker", "--"];
    let output = Command::new(env!("CARGO"))
        .args(cargo)
        .arg("describe-config")
        .current_dir(root)
        .output()
        .context("cargo run")?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        return Ok(false);
    }
    fs::write(&page, output.stdout).with_context(|| page.display().to_string())?;
    println!("{}", page.display());
    Ok(true)
}
