//! One request as the wire has it: a code, fields by name, a body.

use std::fmt::Display;

/// A request; nothing about it is checked.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it is, for the report and for the rows of the document.
    pub name: String,
    /// Request code.
    pub code: i32,
    /// Fields of the header.
    pub fields: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without fields and body.
    pub fn new(name: &str, code: i32) -> Self {
        Request { name: name.to_owned(), code, fields: Vec::new(), body: Vec::new() }
    }

    /// Sets a field.
    pub fn with(mut self, name: &str, value: impl Display) -> Self {
        let value = value.to_string();
        match self.fields.iter_mut().find(|(field, _)| field == name) {
            Some(field) => field.1 = value,
            None => self.fields.push((name.to_owned(), value)),
        }
        self
    }

    /// Leaves out a field.
    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self
    }

    /// Sets the body.
    pub fn carrying(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Gives it another name.
    pub fn named(mut self, name: String) -> Self {
        self.name = name;
        self
    }
}
