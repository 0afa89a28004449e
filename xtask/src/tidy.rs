//! House rules that no compiler checks: sizes, module docs, stubs, forbidden words, licences.
//!
//! There is no exception file: a rule that needs one is changed here, with the reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Longest source line in characters.
const LINE_WIDTH_MAX: usize = 100;
/// Most lines of code (no blanks, comments or tests) that one file may have.
const FILE_LINES_MAX: usize = 800;
/// Most lines of code of a crate root.
const ROOT_LINES_MAX: usize = 80;
/// Most lines of ARCHITECTURE.md.
const ARCHITECTURE_LINES_MAX: usize = 200;

/// Checks every tracked file and prints one line for each finding.
pub fn run(root: &Path) -> Result<bool> {
    let mut findings = Vec::new();
    for file in tracked(root)? {
        let Ok(text) = fs::read_to_string(root.join(&file)) else { continue };
        check_words(&file, &text, &mut findings);
        if file.extension().is_some_and(|e| e == "rs") {
            check_source(&file, &text, &mut findings);
        }
    }
    let lines = fs::read_to_string(root.join("ARCHITECTURE.md"))?.lines().count();
    if lines > ARCHITECTURE_LINES_MAX {
        findings.push(format!("ARCHITECTURE.md: {lines} lines, most {ARCHITECTURE_LINES_MAX}"));
    }
    check_dependencies(root, &mut findings)?;
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    println!("tidy: {} findings", findings.len());
    Ok(findings.is_empty())
}

fn tracked(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output()?;
    if !output.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    }
    let names = String::from_utf8(output.stdout)?;
    Ok(names.split('\0').filter(|n| !n.is_empty()).map(PathBuf::from).collect())
}

/// Words are spelled in two parts so that this file does not find itself.
fn check_words(file: &Path, text: &str, findings: &mut Vec<String>) {
    let words = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[", "ignore"),
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("/tmp/", "wt"),
        concat!("repo1", ".maven"),
        concat!("static.", "crates.io"),
        concat!("proxy.", "golang.org"),
    ];
    for (number, line) in text.lines().enumerate() {
        for word in words.iter().filter(|w| line.contains(**w)) {
            findings.push(format!("{}:{}: `{word}`", file.display(), number + 1));
        }
    }
}

fn check_source(file: &Path, text: &str, findings: &mut Vec<String>) {
    let name = file.display();
    if !text.starts_with("//!") && !text.starts_with("#!") {
        findings.push(format!("{name}:1: a module starts with a `//!` line"));
    }
    for (number, line) in text.lines().enumerate() {
        let width = line.chars().count();
        // A string that holds data cannot always be broken; rustfmt leaves it alone too.
        if width > LINE_WIDTH_MAX && !line.contains('"') {
            findings.push(format!("{name}:{}: {width} characters", number + 1));
        }
    }
    let lines = code_lines(text);
    let is_test = file.components().any(|c| c.as_os_str() == "tests") || file.ends_with("tests.rs");
    if lines > FILE_LINES_MAX && !is_test {
        findings.push(format!("{name}: {lines} lines of code, most {FILE_LINES_MAX}"));
    }
    if file.ends_with("src/lib.rs") && lines > ROOT_LINES_MAX {
        findings.push(format!("{name}: {lines} lines in a crate root, most {ROOT_LINES_MAX}"));
    }
    if file.starts_with("store/src") && !file.ends_with("disk_file.rs") && !is_test {
        check_seam(file, text, findings);
    }
    let in_segment = file.starts_with("store/src/segment");
    // Test harnesses may count allocations, which takes an unsafe GlobalAlloc.
    if !in_segment && !is_test && text.contains(concat!("unsafe", " {")) {
        findings.push(format!("{name}: unsafe code belongs into store/src/segment/"));
    }
}

/// The store changes the disk through one module, which tests watch: a call beside it would be
/// left out of every simulated crash.
fn check_seam(file: &Path, text: &str, findings: &mut Vec<String>) {
    let beside = [
        "fs::File",
        "File::create",
        "fs::{",
        "OpenOptions",
        "FileExt",
        "fs::write(",
        "fs::rename(",
        "fs::remove_",
        "fs::create_dir",
        "fs::fallocate",
        "fs::syncfs",
    ];
    let code = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    for (number, line) in code.enumerate() {
        let ours = line.replace("DiskFile::", "");
        for call in beside.iter().filter(|call| ours.contains(**call)) {
            let place = format!("{}:{}", file.display(), number + 1);
            findings.push(format!("{place}: `{call}` beside store/src/disk_file.rs"));
        }
    }
}

/// Counts lines that are neither blank nor comment, up to the tests module.
fn code_lines(text: &str) -> usize {
    text.lines()
        .take_while(|line| line.trim() != "#[cfg(test)]")
        .filter(|line| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with("//")
        })
        .count()
}

/// Compares the licence and source of every dependency with `deny.toml`.
fn check_dependencies(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let deny = fs::read_to_string(root.join("deny.toml"))?;
    let allowed: BTreeSet<&str> = deny
        .lines()
        .find_map(|l| l.strip_prefix("allow = ["))
        .context("deny.toml has no `allow = [` line")?
        .split('"')
        .skip(1)
        .step_by(2)
        .collect();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or("?");
        let licence = package["license"].as_str().unwrap_or("");
        if !licence_allowed(licence, &allowed) {
            findings.push(format!("dependency {name}: licence `{licence}` is not in deny.toml"));
        }
        let source = package["source"].as_str();
        if source.is_some_and(|s| !s.starts_with("registry+")) {
            findings.push(format!("dependency {name}: not from a registry"));
        }
    }
    Ok(())
}

/// An SPDX expression holds when one alternative of it consists of allowed licences only.
fn licence_allowed(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let flat = expression.replace(['(', ')'], "").replace('/', " OR ");
    flat.split(" OR ").any(|alternative| {
        alternative.split(" AND ").all(|licence| allowed.contains(licence.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_read_as_alternatives() {
        let allowed = BTreeSet::from(["MIT", "Apache-2.0"]);
        assert!(licence_allowed("MIT OR GPL-3.0", &allowed));
        assert!(licence_allowed("(MIT OR GPL-3.0) AND Apache-2.0", &allowed));
        assert!(licence_allowed("MIT/Apache-2.0", &allowed));
        assert!(!licence_allowed("GPL-3.0", &allowed));
        assert!(!licence_allowed("", &allowed));
        assert!(!licence_allowed("MIT AND GPL-3.0", &allowed));
    }

    #[test]
    fn a_call_to_the_disk_beside_the_seam_is_found() {
        let text = "let a = DiskFile::open(p);\nfs::rename(a, b);\n#[cfg(test)]\nfs::rename(a, b);";
        let mut findings = Vec::new();
        check_source(
            Path::new("store/src/index/file.rs"),
            &format!("//! x\n{text}"),
            &mut findings,
        );
        assert_eq!(
            findings,
            ["store/src/index/file.rs:3: `fs::rename(` beside store/src/disk_file.rs"]
        );
        findings.clear();
        check_source(Path::new("store/src/disk_file.rs"), &format!("//! x\n{text}"), &mut findings);
        assert!(findings.is_empty());
    }

    #[test]
    fn code_is_counted_without_comments_and_tests() {
        assert_eq!(code_lines("//! x\n\nfn a() {}\n// b\n#[cfg(test)]\nmod tests {}\n"), 1);
    }
}
