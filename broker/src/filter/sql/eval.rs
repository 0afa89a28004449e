//! The compiled program and how it runs.
//!
//! Operations take their operands off a stack and leave a result. Jumps are relative and only go
//! forward, so an evaluation ends; it is cut short after [`STEPS_MAX`] all the same, as one search
//! in a long property counts for many steps.

use std::cmp::Ordering;

use memchr::memmem::Finder;
use smallvec::SmallVec;

use super::names::Names;
use super::number;

/// Work one evaluation may take; an operation is one step, and so are 32 bytes compared.
const STEPS_MAX: usize = 20_000;

/// A constant of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constant {
    Null,
    Bool(bool),
    /// A whole number of 32 bits: a type of its own, as in Java.
    Int(i32),
    Long(i64),
    Double(f64),
    Text(Box<str>),
}

/// One operation.
#[derive(Debug)]
pub(super) enum Op {
    /// Pushes a constant.
    Constant(Constant),
    /// Pushes a property of the message, a text or null.
    Property(u16),
    /// Negates a number; anything else becomes null.
    Negate,
    /// Negates a truth value.
    Not,
    /// Makes a truth value of a property: a text is false.
    Cast,
    /// Jumps, keeping the value on top, if it is the given truth value.
    JumpIf(bool, usize),
    /// Jumps, keeping the value on top, if it is null.
    JumpIfNull(usize),
    /// Combines two truth values, the first of which did not decide: true for AND.
    Combine(bool),
    /// Compares two values for equality.
    Equal,
    /// Compares two numbers.
    Compare(Comparison),
    /// Takes value and lower bound, leaves the value and whether the bound holds; jumps with
    /// only a truth value left if that decides.
    Low(Range, usize),
    /// Takes value, result of `Low` and upper bound.
    High(Range),
    /// Whether a property is in a sorted list; the flag negates.
    In(Box<[Box<[u8]>]>, bool),
    /// Searches a text; the flag negates. Java quirk: what is no text gives false, negated or
    /// not (the rows of `sql92.tsv` with `NOT CONTAINS`).
    Search(Search, Box<Finder<'static>>, bool),
}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// Whether a value has to be between two bounds or beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    Between,
    NotBetween,
}

/// Where a text is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    Contains,
    StartsWith,
    EndsWith,
}

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Program {
    /// Names of properties.
    pub names: Names,
    /// Operations.
    pub ops: Box<[Op]>,
}

/// A value while an expression is evaluated.
#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Null,
    Bool(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Text(&'a [u8]),
}

/// Values that cannot be compared, where Java throws.
struct Incomparable;

impl Comparison {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Less => order.is_lt(),
            Comparison::LessEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterEqual => order.is_ge(),
        }
    }
}

impl Program {
    /// Evaluates for raw properties, which are UTF-8; nothing when the result is unknown or values
    /// are incomparable.
    pub(super) fn evaluate(&self, properties: &[u8]) -> Option<bool> {
        let values = self.names.values(properties);
        let mut machine = Machine { values: &values, stack: SmallVec::new(), steps: STEPS_MAX };
        let mut at = 0;
        while let Some(op) = self.ops.get(at) {
            at += 1 + machine.step(op).ok()?;
        }
        match machine.pop() {
            Value::Bool(result) => Some(result),
            _ => None,
        }
    }
}

/// An evaluation under way.
struct Machine<'a> {
    values: &'a [Option<&'a [u8]>],
    stack: SmallVec<[Value<'a>; 16]>,
    steps: usize,
}

impl<'a> Machine<'a> {
    /// Performs an operation; returns how many to jump over.
    fn step(&mut self, op: &'a Op) -> Result<usize, Incomparable> {
        self.work(1)?;
        let result = match op {
            Op::Constant(constant) => constant.value(),
            Op::Property(index) => {
                let value = self.values.get(usize::from(*index)).copied().flatten();
                value.map_or(Value::Null, Value::Text)
            }
            Op::Negate => self.pop().negated(),
            Op::Not => match self.pop() {
                Value::Bool(value) => Value::Bool(!value),
                _ => Value::Null,
            },
            Op::Cast => match self.pop() {
                Value::Null => Value::Null,
                Value::Bool(value) => Value::Bool(value),
                _ => Value::Bool(false),
            },
            Op::JumpIf(decisive, over) => return Ok(self.jump_if(Value::Bool(*decisive), *over)),
            Op::JumpIfNull(over) => return Ok(self.jump_if(Value::Null, *over)),
            Op::Combine(and) => {
                let (right, left) = (self.pop(), self.pop());
                combine(*and, left, right)
            }
            Op::Equal => {
                let (right, left) = (self.pop(), self.pop());
                self.equal(left, right)?
            }
            Op::Compare(comparison) => {
                let (right, left) = (self.pop(), self.pop());
                self.compare(*comparison, left, right)?
            }
            Op::Low(range, over) => return self.low(*range, *over),
            Op::High(range) => self.high(*range)?,
            Op::In(list, not) => match self.pop() {
                Value::Text(text) => {
                    self.work(text.len() / 32)?;
                    let found = list.binary_search_by(|item| (**item).cmp(text)).is_ok();
                    Value::Bool(found != *not)
                }
                _ => Value::Null,
            },
            Op::Search(search, needle, not) => {
                let value = self.pop();
                self.search(*search, needle, *not, value)?
            }
        };
        self.stack.push(result);
        Ok(0)
    }

    fn work(&mut self, steps: usize) -> Result<(), Incomparable> {
        self.steps = self.steps.checked_sub(steps).ok_or(Incomparable)?;
        Ok(())
    }

    fn pop(&mut self) -> Value<'a> {
        // Invariant: the parser leaves every operation its operands.
        self.stack.pop().unwrap_or(Value::Null)
    }

    fn jump_if(&self, value: Value<'_>, over: usize) -> usize {
        match (self.stack.last(), value) {
            (Some(Value::Bool(top)), Value::Bool(wanted)) if *top == wanted => over,
            (Some(Value::Null), Value::Null) => over,
            _ => 0,
        }
    }

    fn equal(&mut self, left: Value<'a>, right: Value<'a>) -> Result<Value<'a>, Incomparable> {
        Ok(match (left, right) {
            // Java quirk: two absent values are equal, and only an absent left one is unknown
            // (the rows of `sql92.tsv` with two properties).
            (Value::Null, Value::Null) => Value::Bool(true),
            (Value::Null, _) => Value::Null,
            (_, Value::Null) => Value::Bool(false),
            (Value::Text(left), Value::Text(right)) => {
                self.work(left.len().min(right.len()) / 32)?;
                Value::Bool(left == right)
            }
            (left, right) => Value::Bool(order(left, right)?.is_eq()),
        })
    }

    fn compare(
        &mut self,
        comparison: Comparison,
        left: Value<'a>,
        right: Value<'a>,
    ) -> Result<Value<'a>, Incomparable> {
        let order = match (left, right) {
            (Value::Null, _) | (_, Value::Null) => return Ok(Value::Null),
            (Value::Text(left), Value::Text(right)) => {
                self.work((left.len() + right.len()) / 32)?;
                let read = |text| number::real(text).ok_or(Incomparable);
                number::order(read(left)?, read(right)?)
            }
            (left, right) => order(left, right)?,
        };
        Ok(Value::Bool(comparison.holds(order)))
    }

    fn low(&mut self, range: Range, over: usize) -> Result<usize, Incomparable> {
        let (bound, value) = (self.pop(), self.pop());
        let (comparison, decisive) = match range {
            Range::Between => (Comparison::GreaterEqual, false),
            Range::NotBetween => (Comparison::Less, true),
        };
        let result = self.compare(comparison, value, bound)?;
        if matches!(result, Value::Bool(result) if result == decisive) {
            self.stack.push(result);
            return Ok(over);
        }
        self.stack.extend([value, result]);
        Ok(0)
    }

    fn high(&mut self, range: Range) -> Result<Value<'a>, Incomparable> {
        let (bound, left, value) = (self.pop(), self.pop(), self.pop());
        let comparison = match range {
            Range::Between => Comparison::LessEqual,
            Range::NotBetween => Comparison::Greater,
        };
        let right = self.compare(comparison, value, bound)?;
        Ok(combine(range == Range::Between, left, right))
    }

    fn search(
        &mut self,
        search: Search,
        needle: &Finder<'_>,
        not: bool,
        value: Value<'a>,
    ) -> Result<Value<'a>, Incomparable> {
        let Value::Text(text) = value else { return Ok(Value::Bool(false)) };
        self.work(text.len() / 32)?;
        let found = match search {
            Search::Contains => needle.find(text).is_some(),
            Search::StartsWith => text.starts_with(needle.needle()),
            Search::EndsWith => text.ends_with(needle.needle()),
        };
        Ok(Value::Bool(found != not))
    }
}

/// AND (or OR) of two truth values, the first of which is not decisive.
fn combine<'a>(and: bool, left: Value<'a>, right: Value<'a>) -> Value<'a> {
    match (left, right) {
        (_, Value::Bool(right)) if right != and => Value::Bool(right),
        (Value::Bool(_), Value::Bool(_)) => Value::Bool(and),
        _ => Value::Null,
    }
}

/// The order of two values of different types, or of the same one: a text is read as the type of
/// the other; different types that have no order count as less.
fn order(left: Value<'_>, right: Value<'_>) -> Result<Ordering, Incomparable> {
    use Value::{Bool, Double, Int, Long, Text};
    let int = |text| number::whole(text).and_then(|number| i32::try_from(number).ok());
    let order = match (left, right) {
        (Bool(left), Bool(right)) => Some(left.cmp(&right)),
        // Java quirk: a truth value on the left of a text throws.
        (Bool(_), Text(_)) => None,
        (Text(text), Bool(right)) => Some(text.eq_ignore_ascii_case(b"true").cmp(&right)),
        (Int(left), Int(right)) => Some(left.cmp(&right)),
        (Int(left), Text(text)) => int(text).map(|right| left.cmp(&right)),
        (Text(text), Int(right)) => int(text).map(|left| left.cmp(&right)),
        (Int(left), Long(right)) => Some(i64::from(left).cmp(&right)),
        (Long(left), Int(right)) => Some(left.cmp(&right.into())),
        (Long(left), Long(right)) => Some(left.cmp(&right)),
        (Long(left), Text(text)) => number::whole(text).map(|right| left.cmp(&right)),
        (Text(text), Long(right)) => number::whole(text).map(|left| left.cmp(&right)),
        (Double(left), Text(text)) => number::real(text).map(|right| number::order(left, right)),
        (Text(text), Double(right)) => number::real(text).map(|left| number::order(left, right)),
        (Double(left), Double(right)) => Some(number::order(left, right)),
        (Double(left), Int(right)) => Some(number::order(left, right.into())),
        (Int(left), Double(right)) => Some(number::order(left.into(), right)),
        (Double(left), Long(right)) => Some(number::order(left, right as f64)),
        (Long(left), Double(right)) => Some(number::order(left as f64, right)),
        (Text(left), Text(right)) => Some(left.cmp(right)),
        _ => Some(Ordering::Less),
    };
    order.ok_or(Incomparable)
}

impl Constant {
    fn value(&self) -> Value<'_> {
        match self {
            Constant::Null => Value::Null,
            Constant::Bool(value) => Value::Bool(*value),
            Constant::Int(value) => Value::Int(*value),
            Constant::Long(value) => Value::Long(*value),
            Constant::Double(value) => Value::Double(*value),
            Constant::Text(value) => Value::Text(value.as_bytes()),
        }
    }
}

/// The order of two numbers of an expression; equal for what is no number.
pub(super) fn order_of_constants(left: &Constant, right: &Constant) -> Ordering {
    order(left.value(), right.value()).unwrap_or(Ordering::Equal)
}

impl Value<'_> {
    fn negated(self) -> Self {
        match self {
            Value::Int(number) => Value::Int(number.wrapping_neg()),
            Value::Long(number) => Value::Long(number.wrapping_neg()),
            Value::Double(number) => Value::Double(-number),
            _ => Value::Null,
        }
    }
}
