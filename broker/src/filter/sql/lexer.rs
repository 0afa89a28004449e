//! The words of an expression.
//!
//! Words are read on demand: what stands behind a complete expression is never looked at, as in
//! Java, except for the first word of it.

use super::SqlError;

/// A word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A property name.
    Name(&'a str),
    /// A whole number, without its suffix.
    Whole(&'a str),
    /// A number with a point or an exponent.
    Real(&'a str),
    /// A string between its quotes; a quote inside is doubled.
    Text(&'a str),
    /// A reserved word.
    Word(Word),
    /// Anything else.
    Sign(Sign),
    /// The end of the text.
    End,
}

/// A reserved word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Not,
    And,
    Or,
    Between,
    In,
    True,
    False,
    Null,
    Is,
    Contains,
    StartsWith,
    EndsWith,
}

/// An operator or a bracket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Plus,
    Minus,
    Comma,
    Open,
    Close,
}

/// Spelling of the reserved words, in any case.
const WORDS: [(&str, Word); 12] = [
    ("NOT", Word::Not),
    ("AND", Word::And),
    ("OR", Word::Or),
    ("BETWEEN", Word::Between),
    ("IN", Word::In),
    ("TRUE", Word::True),
    ("FALSE", Word::False),
    ("NULL", Word::Null),
    ("IS", Word::Is),
    ("CONTAINS", Word::Contains),
    ("STARTSWITH", Word::StartsWith),
    ("ENDSWITH", Word::EndsWith),
];

/// Reads words off a text.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    /// Starts at the beginning.
    pub(super) fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, at: 0 }
    }

    /// Byte offset behind the last word.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Reads the next word.
    pub(super) fn next(&mut self) -> Result<Token<'a>, SqlError> {
        self.skip_blanks();
        let rest = &self.text[self.at..];
        let Some(first) = rest.bytes().next() else { return Ok(Token::End) };
        let (token, len) = match first {
            b'0'..=b'9' | b'.' => number(rest),
            b'\'' => string(rest),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' => Some(name(rest)),
            _ => sign(rest),
        }
        .ok_or(SqlError { at: self.at, reason: "no word starts here" })?;
        self.at += len;
        Ok(token)
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let blanks = rest.bytes().take_while(|byte| b" \t\n\r\x0c".contains(byte)).count();
            let skipped = if blanks > 0 { blanks } else { comment_len(rest) };
            if skipped == 0 {
                return;
            }
            self.at += skipped;
        }
    }
}

/// Length of the comment at the start of a text. Java quirk: a line comment needs the end of its
/// line, or it is two minus signs (`comments_are_skipped`).
fn comment_len(rest: &str) -> usize {
    let end = if rest.starts_with("--") {
        rest.find(['\n', '\r']).map(|end| end + 1)
    } else if let Some(body) = rest.strip_prefix("/*") {
        body.find("*/").map(|end| end + 4)
    } else {
        None
    };
    end.unwrap_or(0)
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// The longest number at the start of a text: `12`, `12L`, `1.5`, `1.`, `.5`, `1e3`.
fn number(rest: &str) -> Option<(Token<'_>, usize)> {
    let whole = digits(rest);
    let mut len = whole;
    let mut real = false;
    if rest[len..].starts_with('.') {
        let fraction = digits(&rest[len + 1..]);
        if whole + fraction > 0 {
            len += 1 + fraction;
            real = true;
        }
    }
    let exponent = exponent_len(&rest[len..]);
    if len > 0 && exponent > 0 {
        len += exponent;
        real = true;
    }
    if real {
        return Some((Token::Real(&rest[..len]), len));
    }
    // Java quirk: a whole number has no leading zeros; `007` is three numbers
    // (`what_follows_a_complete_expression_is_ignored`).
    match rest.bytes().next()? {
        b'0' => Some((Token::Whole(&rest[..1]), 1)),
        b'1'..=b'9' => {
            let suffix = usize::from(rest[whole..].starts_with(['l', 'L']));
            Some((Token::Whole(&rest[..whole]), whole + suffix))
        }
        _ => None,
    }
}

fn exponent_len(rest: &str) -> usize {
    let Some(body) = rest.strip_prefix(['e', 'E']) else { return 0 };
    let sign = usize::from(body.starts_with(['+', '-']));
    match digits(&body[sign..]) {
        0 => 0,
        count => 1 + sign + count,
    }
}

fn string(rest: &str) -> Option<(Token<'_>, usize)> {
    let bytes = rest.as_bytes();
    let mut at = 1;
    loop {
        at += memchr::memchr(b'\'', &bytes[at..])?;
        if bytes.get(at + 1) != Some(&b'\'') {
            return Some((Token::Text(&rest[1..at]), at + 1));
        }
        // The closing quote of a string that another quote follows is no end, unless the text
        // holds no other.
        if memchr::memchr(b'\'', &bytes[at + 2..]).is_none() {
            return Some((Token::Text(&rest[1..at]), at + 1));
        }
        at += 2;
    }
}

fn name(rest: &str) -> (Token<'_>, usize) {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$');
    let len = rest.bytes().take_while(part).count();
    let name = &rest[..len];
    let word = WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(name));
    (word.map_or(Token::Name(name), |(_, word)| Token::Word(*word)), len)
}

fn sign(rest: &str) -> Option<(Token<'_>, usize)> {
    const SIGNS: [(&str, Sign); 11] = [
        ("<>", Sign::NotEqual),
        ("<=", Sign::LessEqual),
        (">=", Sign::GreaterEqual),
        ("=", Sign::Equal),
        ("<", Sign::Less),
        (">", Sign::Greater),
        ("+", Sign::Plus),
        ("-", Sign::Minus),
        (",", Sign::Comma),
        ("(", Sign::Open),
        (")", Sign::Close),
    ];
    let (text, sign) = SIGNS.iter().find(|(text, _)| rest.starts_with(text))?;
    Some((Token::Sign(*sign), text.len()))
}
