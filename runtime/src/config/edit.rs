//! Changes settings in the file of an operator, whose comments, order and other keys stay.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use super::parse_bytes;
use crate::files;

/// Gives keys new values in a file; its former text stays beside it as `.bak`, as with Java.
///
/// # Errors
/// Returns the system's answer; the file is then the former one.
pub fn change_file(path: &Path, changes: &[(String, String)]) -> io::Result<()> {
    let former = fs::read(path)?;
    let changed = edit(&former, changes);
    if changed == former {
        return Ok(());
    }
    // A link stays a link: what it leads to is replaced.
    let path = fs::canonicalize(path)?;
    files::replace(&files::former(&path), &former)?;
    files::replace(&path, &changed)
}

fn edit(text: &[u8], changes: &[(String, String)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut missing: Vec<&(String, String)> = changes.iter().collect();
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = logical_line(rest);
        rest = after;
        let pairs = parse_bytes(line).unwrap_or_default();
        let change = match pairs.as_slice() {
            [(key, _)] => changes.iter().find(|(changed, _)| changed == key),
            _ => None,
        };
        match change {
            Some(change) => {
                out.extend_from_slice(assignment(change).as_bytes());
                missing.retain(|open| *open != change);
            }
            None => out.extend_from_slice(line),
        }
    }
    if !missing.is_empty() && !matches!(out.last(), None | Some(b'\n')) {
        out.push(b'\n');
    }
    for change in missing {
        out.extend_from_slice(assignment(change).as_bytes());
    }
    out
}

/// The first line with those that continue it, and what follows.
fn logical_line(text: &[u8]) -> (&[u8], &[u8]) {
    let first = text.iter().position(|byte| !b" \t\x0c".contains(byte));
    let comment = first.is_some_and(|at| b"#!".contains(&text[at]));
    let mut end = 0;
    loop {
        let line = text[end..].split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
        end += line.len();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let escapes = line.iter().rev().take_while(|&&byte| byte == b'\\').count();
        if comment || escapes % 2 == 0 || end == text.len() {
            return text.split_at(end);
        }
    }
}

/// A line that Java and we read back as the pair.
fn assignment((key, value): &(String, String)) -> String {
    let mut line = format!("{key}=");
    for (at, letter) in value.char_indices() {
        match letter {
            ' ' if at == 0 => line.push_str("\\ "),
            '\\' => line.push_str("\\\\"),
            ' '..='~' => line.push(letter),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _ = write!(line, "\\u{unit:04x}");
                }
            }
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::{change_file, edit};
    use crate::config::parse_bytes;

    fn change(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn only_the_lines_of_the_keys_change() {
        let text = "# my = broker \\\nbrokerName = a\r\n\nlong : 1 \\\n  2\n! end\ntraceOn=true";
        let changed = edit(text.as_bytes(), &[change("long", "3"), change("new", " x\\y")]);
        let expected = "# my = broker \\\nbrokerName = a\r\n\nlong=3\n! end\ntraceOn=true\n\
                        new=\\ x\\\\y\n";
        assert_eq!(String::from_utf8_lossy(&changed), expected);
        assert_eq!(edit(b"", &[change("a", "b")]), b"a=b\n");
    }

    #[test]
    fn what_is_written_is_read_back() {
        for value in ["", " ", "a b ", "é😀", "\t\n\r\u{c}", "a=b:c#d!e", "\\", "\\u00e9"] {
            for before in ["", "k=1\n", "k=1\\\n2", "a=1\\"] {
                let changed = edit(before.as_bytes(), &[change("k", value)]);
                let pairs = parse_bytes(&changed).expect("text");
                assert!(pairs.contains(&change("k", value)) || before == "a=1\\", "{before:?}");
            }
        }
        let latin = edit(b"n=\xe9\n", &[change("k", "\u{e9}")]);
        assert_eq!(latin, b"n=\xe9\nk=\\u00e9\n");
    }

    #[test]
    fn the_former_text_stays_beside_the_file() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("broker.conf");
        std::fs::write(&path, "a=1\n").expect("write");
        change_file(&path, &[change("a", "2")]).expect("change");
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).expect(name);
        assert_eq!(
            (read("broker.conf"), read("broker.conf.bak")),
            ("a=2\n".into(), "a=1\n".into())
        );
        change_file(&path, &[change("a", "2")]).expect("the same again");
        assert_eq!(read("broker.conf.bak"), "a=1\n");
        assert!(change_file(&directory.path().join("none"), &[]).is_err());
    }
}
