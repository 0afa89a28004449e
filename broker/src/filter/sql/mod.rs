//! SQL92 expressions over the properties of a message, with Java's semantics.
//!
//! A text is compiled once, in one pass, to a flat program with interned property names; the
//! program reads the raw properties of a message once and runs on a small stack of values. A
//! value that cannot be compared ends the evaluation: the message does not match, whatever else
//! the expression says. Text, nesting, program and evaluation are bounded, since clients choose
//! the expression.

mod eval;
mod lexer;
mod number;
mod parser;

use eval::Program;

/// Longest expression, in bytes.
const TEXT_LEN_MAX: usize = 64 << 10;

/// A compiled expression.
#[derive(Debug)]
pub struct Sql {
    text: Box<str>,
    program: Program,
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("illegal SQL92 expression at {at}: {reason}")]
pub struct SqlError {
    /// Byte offset in the text.
    at: usize,
    reason: &'static str,
}

impl Sql {
    /// Compiles an expression.
    ///
    /// # Errors
    /// Says what is wrong and where.
    pub fn compile(text: &str) -> Result<Sql, SqlError> {
        if text.len() > TEXT_LEN_MAX {
            return Err(SqlError { at: TEXT_LEN_MAX, reason: "the expression is too long" });
        }
        Ok(Sql { text: text.into(), program: parser::compile(text)? })
    }

    /// The expression as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the expression is true for these raw properties; unknown is not.
    pub fn matches(&self, properties: &str) -> bool {
        self.program.evaluate(properties) == Some(true)
    }
}

#[cfg(test)]
mod tests;
