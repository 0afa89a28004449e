//! Java's answers, and what no text may do.

use proptest::prelude::*;

use super::*;

/// Rows of expression, properties and what Java says.
const TABLE: &str = include_str!("../../../../compat-tests/facts/sql92.tsv");

fn raw(properties: &[(&str, &str)]) -> String {
    properties.iter().map(|(name, value)| format!("{name}\u{1}{value}\u{2}")).collect()
}

fn matches(text: &str, properties: &[(&str, &str)]) -> bool {
    Sql::compile(text).unwrap().matches(raw(properties).as_bytes())
}

fn unescaped(cell: &str) -> String {
    let mut text = String::new();
    let mut chars = cell.chars();
    while let Some(next) = chars.next() {
        text.push(match next {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('f') => '\u{c}',
                Some('s') => ' ',
                other => other.unwrap_or('\\'),
            },
            other => other,
        });
    }
    text
}

#[test]
fn every_row_of_the_table_has_javas_answer() {
    let mut wrong = Vec::new();
    let mut rows = 0;
    for row in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = row.split('\t').collect();
        let &[text, properties, expected] = &cells[..] else { panic!("{row:?}") };
        let pairs = properties.split(' ').filter_map(|pair| pair.split_once('='));
        let properties: Vec<(&str, String)> =
            pairs.map(|(name, value)| (name, unescaped(value))).collect();
        let properties: Vec<(&str, &str)> =
            properties.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = match Sql::compile(&unescaped(text)) {
            Err(_) => "illegal",
            Ok(sql) => match sql.program.evaluate(raw(&properties).as_bytes()) {
                Some(true) => "true",
                Some(false) => "false",
                None => "unknown",
            },
        };
        let expected = if matches!(expected, "null" | "error") { "unknown" } else { expected };
        rows += 1;
        if answer != expected {
            wrong.push(format!("{row}: {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {rows} rows differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows >= 300, "{rows}");
}

#[test]
fn what_follows_a_complete_expression_is_ignored() {
    for text in ["a = 1)", "a = 1 b # 'x", "a = 1;x"] {
        let compiled = Sql::compile(text);
        // The first word behind it is looked at all the same.
        assert_eq!(compiled.is_ok(), !text.contains(';'), "{text}");
    }
    assert!(matches("a = 007", &[("a", "0")]));
}

#[test]
fn comments_are_skipped() {
    assert!(matches("/* a */ a -- b\n = /***/ 1", &[("a", "1")]));
    assert!(Sql::compile("a = --1").is_ok(), "without the end of the line it is two minus signs");
    assert!(Sql::compile("a = -- 1\n").is_err());
}

#[test]
fn the_last_of_two_properties_of_one_name_counts() {
    let sql = Sql::compile("a = 'y'").unwrap();
    assert!(sql.matches(b"a\x01x\x02a\x01y"));
    assert!(!sql.matches(b"a\x01y\x02a\x01x"));
    assert!(!sql.matches(b"") && !sql.matches(b"a\x01\x02") && !sql.matches(b"\x02\x01"));
}

#[test]
fn length_depth_and_size_are_bounded() {
    let reason = |text: &str| Sql::compile(text).unwrap_err().to_string();
    assert!(reason(&"x".repeat(1 << 20)).contains("too long"));
    assert!(reason(&"(".repeat(10_000)).contains("nested too deeply"));
    assert!(reason(&"NOT ".repeat(10_000)).contains("nested too deeply"));
    assert!(reason(&"- ".repeat(10_000)).contains("nested too deeply"));
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Sql::compile(&nested(199)).is_ok());
    assert!(Sql::compile(&nested(200)).is_err());
    let terms = |count: usize| vec!["a = 1"; count].join(" OR ");
    assert!(reason(&terms(6000)).contains("too complex"));
    // A chain is no nesting.
    assert!(Sql::compile(&terms(800)).unwrap().matches(b"a\x011"));
    let names: Vec<String> = (0..900).map(|index| format!("n{index} IS NULL")).collect();
    assert!(Sql::compile(&names.join(" AND ")).unwrap().matches(b"x\x011"));
}

#[test]
fn an_evaluation_ends_after_so_many_steps() {
    let text = vec!["a CONTAINS 'y'"; 1000].join(" OR ");
    let sql = Sql::compile(&text).unwrap();
    assert_eq!(sql.program.evaluate(raw(&[("a", "x")]).as_bytes()), Some(false));
    let long = raw(&[("a", &"x".repeat(32_000))]);
    assert_eq!(sql.program.evaluate(long.as_bytes()), None);
}

/// Words that make expressions, so that a good part of the texts compile.
fn word() -> impl Strategy<Value = String> {
    const WORDS: [&str; 30] = [
        "a",
        "b",
        "1",
        "2.5",
        "5000000000",
        "'x'",
        "''",
        "'1'",
        "TRUE",
        "NULL",
        "AND",
        "OR",
        "NOT",
        "=",
        "<>",
        "<",
        ">=",
        "IN",
        "BETWEEN",
        "IS",
        "CONTAINS",
        "ENDSWITH",
        "(",
        ")",
        ",",
        "+",
        "-",
        "--",
        "/* */",
        "\n",
    ];
    prop_oneof![
        30 => prop::sample::select(&WORDS[..]).prop_map(str::to_owned),
        1 => "\\PC{0,4}",
    ]
}

proptest! {
    #[test]
    fn any_text_compiles_or_not(text in "\\PC{0,60}", properties in "\\PC{0,60}") {
        if let Ok(sql) = Sql::compile(&text) {
            sql.matches(properties.as_bytes());
        }
    }

    /// Whatever compiles leaves exactly one value.
    #[test]
    fn any_words_compile_or_not(
        words in prop::collection::vec(word(), 0..24),
        a in "[ab1-9.]{0,3}",
        b in "[xy1-9.]{0,3}",
    ) {
        if let Ok(sql) = Sql::compile(&words.join(" ")) {
            let properties = raw(&[("a", &a), ("b", &b)]);
            let answer = sql.program.evaluate(properties.as_bytes());
            prop_assert_eq!(sql.matches(properties.as_bytes()), answer == Some(true));
            let not = format!("NOT ({})", words.join(" "));
            // Unless the text ends in the middle, which closes the bracket elsewhere.
            if let Ok(not) = Sql::compile(&not) && !words.iter().any(|word| word == ")") {
                let opposite = not.program.evaluate(properties.as_bytes());
                prop_assert_eq!(opposite, answer.map(|answer| !answer));
            }
        }
    }
}
