//! SQL92 expressions over the properties of a message.

/// A compiled expression.
#[derive(Debug, PartialEq)]
pub(crate) struct Sql {
    text: Box<str>,
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SqlError(String);

impl Sql {
    /// Compiles an expression.
    pub(crate) fn compile(text: &str) -> Result<Sql, SqlError> {
        if text.is_empty() {
            return Err(SqlError("the expression is empty".to_owned()));
        }
        Ok(Sql { text: text.into() })
    }

    /// Whether the expression is true for these raw properties; unknown is not.
    pub(crate) fn matches(&self, _properties: &str) -> bool {
        self.text.is_empty()
    }
}
