//! SQL92 expressions over the properties of a message, with Java's semantics.
//!
//! A text is compiled once, in one pass, to a flat program with interned property names; the
//! program looks for these in the raw properties of a message, compares bytes with bytes, and runs
//! on a small stack of values. A value that cannot be compared ends the evaluation: the message
//! does not match, whatever else the expression says. Text, nesting, program and evaluation are
//! bounded, since clients choose the expression.

mod eval;
mod lexer;
mod names;
mod number;
mod parser;

use std::cell::RefCell;
use std::sync::Arc;

use eval::Program;

/// Longest expression, in bytes.
const TEXT_LEN_MAX: usize = 64 << 10;

thread_local! {
    /// What this thread compiled last.
    static LAST: RefCell<Option<Arc<Sql>>> = const { RefCell::new(None) };
}

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

    /// Compiles an expression that comes again and again, as with every pull of a consumer that
    /// sends no heartbeats.
    ///
    /// # Errors
    /// As [`Sql::compile`].
    pub(crate) fn again(text: &str) -> Result<Arc<Sql>, SqlError> {
        let known = LAST.with_borrow(Option::clone).filter(|last| last.text() == text);
        if let Some(known) = known {
            return Ok(known);
        }
        let compiled = Arc::new(Sql::compile(text)?);
        LAST.set(Some(Arc::clone(&compiled)));
        Ok(compiled)
    }

    /// The expression as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the expression is true for these raw properties, which are UTF-8; unknown is not.
    pub fn matches(&self, properties: &[u8]) -> bool {
        self.program.evaluate(properties) == Some(true)
    }
}

#[cfg(test)]
mod tests;
