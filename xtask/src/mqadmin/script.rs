//! The command lines of `script.txt`.

use std::time::Duration;

use anyhow::{Context, Result, bail};

const SCRIPT: &str = include_str!("script.txt");
/// A command that does not end by itself in this time does not end.
const PATIENCE: Duration = Duration::from_secs(40);

/// One command line, with its variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The words as the script has them, for the report.
    pub name: String,
    /// The words.
    pub words: Vec<String>,
    /// Without the address of the name server.
    pub is_bare: bool,
    /// The order of lines is no part of the answer.
    pub is_unordered: bool,
    /// Numbers are of this moment.
    pub has_rates: bool,
    /// It runs until it is cut off.
    pub is_endless: bool,
    /// How long it may run.
    pub limit: Duration,
    /// How long to wait before it.
    pub wait: Duration,
    /// The file that it writes, below the folder `$OUT`.
    pub file: Option<String>,
}

/// Every line of the script.
pub fn lines() -> Result<Vec<Line>> {
    let lines = SCRIPT.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| parse(line).with_context(|| format!("script.txt: {line}"))).collect()
}

fn parse(text: &str) -> Result<Line> {
    let mut line = Line {
        name: String::new(),
        words: Vec::new(),
        is_bare: false,
        is_unordered: false,
        has_rates: false,
        is_endless: false,
        limit: PATIENCE,
        wait: Duration::ZERO,
        file: None,
    };
    let mut rest = text;
    while let Some(marked) = rest.strip_prefix('@') {
        let (mark, behind) = marked.split_once(' ').unwrap_or((marked, ""));
        let (mark, value) = mark.split_once('=').unwrap_or((mark, ""));
        match mark {
            "bare" => line.is_bare = true,
            "sorted" => line.is_unordered = true,
            "numbers" => line.has_rates = true,
            "for" => {
                line.is_endless = true;
                line.limit = Duration::from_secs(value.parse()?);
            }
            "wait" => line.wait = Duration::from_millis(value.parse()?),
            "file" => line.file = Some(value.to_owned()),
            _ => bail!("unknown mark @{mark}"),
        }
        rest = behind;
    }
    line.name = rest.to_owned();
    line.words = split(rest);
    Ok(line)
}

/// Words between blanks; those between apostrophes are one.
fn split(text: &str) -> Vec<String> {
    let parts = text.split('\'').enumerate();
    parts
        .flat_map(|(at, part)| match at % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

/// Puts values in the place of variables, the longest name first.
pub fn fill(word: &str, values: &[(String, String)]) -> String {
    let mut word = word.to_owned();
    for (name, value) in values {
        word = word.replace(&format!("${name}"), value);
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_words_and_variables_are_read() {
        let line = parse("@numbers @for=3 clusterRT -a 2 -m 'a room' $B").unwrap();
        assert_eq!(line.words, ["clusterRT", "-a", "2", "-m", "a room", "$B"]);
        assert!(line.has_rates && line.is_endless && !line.is_bare && !line.is_unordered);
        assert_eq!(line.limit, Duration::from_secs(3));
        assert_eq!(fill("x$B", &[("B".to_owned(), "y".to_owned())]), "xy");
        assert!(parse("@nosuch x").is_err());
        assert_eq!(parse("@bare").unwrap().words.len(), 0);
    }

    #[test]
    fn every_line_is_read() {
        assert!(lines().unwrap().len() > 400);
    }
}
