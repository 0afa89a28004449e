//! How property text becomes a value: Java's rules, which are not Rust's.

use std::ops::RangeInclusive;

/// What one key did to a settings struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The field has the new value.
    Applied,
    /// No field has this key.
    Unknown,
    /// The text does not stand for a value of this kind; the field is as before.
    Unparsable {
        /// The kind the field has.
        kind: &'static str,
    },
    /// The value is none the field can have; the field is as before.
    Outside {
        /// What it can have.
        expected: String,
    },
}

/// Why a text is no value of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadText {
    /// It stands for no value of the type; Java leaves the default, too.
    NoValue,
    /// It stands for one that cannot be worked with; what can.
    Outside(String),
}

/// A type a property can have.
pub trait PropertyValue: Sized {
    /// Java's name of the type, for documentation and messages.
    const KIND: &'static str;

    /// Reads the text, or says why it cannot be had.
    fn parse(text: &str) -> Result<Self, BadText>;

    /// Writes the value so that `parse` reads it back.
    fn show(&self) -> String;
}

/// Parses `text` into `field`, leaving it alone when that fails.
pub fn set<T: PropertyValue>(field: &mut T, text: &str) -> Applied {
    set_if(field, text, |_| None)
}

/// Parses `text` into `field` if it lies in a range, leaving it alone otherwise.
pub fn set_within<T: PropertyValue + PartialOrd>(
    field: &mut T,
    text: &str,
    range: RangeInclusive<T>,
) -> Applied {
    set_if(field, text, |value| (!range.contains(value)).then(|| range_text(&range)))
}

/// A range in words.
#[must_use]
pub fn range_text<T: PropertyValue>(range: &RangeInclusive<T>) -> String {
    format!("from {} to {}", range.start().show(), range.end().show())
}

/// Parses `text` into `field` unless `problem` names what is expected instead.
fn set_if<T: PropertyValue>(
    field: &mut T,
    text: &str,
    problem: impl FnOnce(&T) -> Option<String>,
) -> Applied {
    let value = T::parse(text).and_then(|value| match problem(&value) {
        Some(expected) => Err(BadText::Outside(expected)),
        None => Ok(value),
    });
    match value {
        Ok(value) => {
            *field = value;
            Applied::Applied
        }
        Err(BadText::NoValue) => Applied::Unparsable { kind: T::KIND },
        Err(BadText::Outside(expected)) => Applied::Outside { expected },
    }
}

macro_rules! numbers {
    ($($type:ty: $java:ty, $kind:literal),* $(,)?) => {$(
        // Java quirk: integers are never trimmed, so "8 " is no number and the default stays.
        impl PropertyValue for $type {
            const KIND: &'static str = $kind;

            fn parse(text: &str) -> Result<Self, BadText> {
                let number: $java = text.parse().map_err(|_| BadText::NoValue)?;
                number.try_into().map_err(|_| {
                    BadText::Outside(format!("from {} to {}", <$type>::MIN, <$type>::MAX))
                })
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

numbers!(
    i32: i32, "int", i64: i64, "long", u16: i32, "int", u32: i32, "int", u64: i64, "long",
);

impl PropertyValue for bool {
    const KIND: &'static str = "boolean";

    // Java quirk: everything but "true" is false, "yes" and " true" too; no text is an error.
    fn parse(text: &str) -> Result<Self, BadText> {
        Ok(text.eq_ignore_ascii_case("true"))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl PropertyValue for f64 {
    const KIND: &'static str = "double";

    // Java quirk: doubles are trimmed, unlike integers, and may end in a type letter.
    fn parse(text: &str) -> Result<Self, BadText> {
        let text = text.trim();
        let text = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
        text.parse().map_err(|_| BadText::NoValue)
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }
}

impl PropertyValue for String {
    const KIND: &'static str = "String";

    fn parse(text: &str) -> Result<Self, BadText> {
        Ok(text.trim().to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

/// Absent until a key sets it; shown as an empty text.
impl<T: PropertyValue> PropertyValue for Option<T> {
    const KIND: &'static str = T::KIND;

    fn parse(text: &str) -> Result<Self, BadText> {
        T::parse(text).map(Some)
    }

    fn show(&self) -> String {
        self.as_ref().map(T::show).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Applied, BadText, PropertyValue, set, set_within};

    #[test]
    fn numbers_are_not_trimmed() {
        let mut port = 10911_u16;
        assert_eq!(set(&mut port, "8 "), Applied::Unparsable { kind: "int" });
        assert_eq!(set(&mut port, " 8"), Applied::Unparsable { kind: "int" });
        assert_eq!(port, 10911);
        assert_eq!(set(&mut port, "8"), Applied::Applied);
        assert_eq!(port, 8);
        assert_eq!(i32::parse("+7"), Ok(7));
        assert_eq!(i32::parse("2147483648"), Err(BadText::NoValue));
        assert_eq!(i64::parse("0x10"), Err(BadText::NoValue));
        assert_eq!(i64::parse(""), Err(BadText::NoValue));
    }

    #[test]
    fn only_true_is_true() {
        for (text, value) in [("true", true), ("TRUE", true), ("yes", false), ("true ", false)] {
            assert_eq!(bool::parse(text), Ok(value), "{text:?}");
        }
    }

    #[test]
    fn doubles_and_strings_are_trimmed() {
        assert_eq!(f64::parse(" 0.9d "), Ok(0.9));
        assert_eq!(String::parse(" a b "), Ok("a b".to_owned()));
        assert_eq!(f64::parse("much"), Err(BadText::NoValue));
        assert_eq!(0.5_f64.show(), "0.5");
        assert_eq!(1.0_f64.show(), "1.0");
    }

    #[test]
    fn an_option_is_what_it_holds() {
        assert_eq!(Option::<i32>::parse("5"), Ok(Some(5)));
        assert_eq!(Option::<i32>::parse("x"), Err(BadText::NoValue));
        assert_eq!(None::<String>.show(), "");
    }

    #[test]
    fn what_java_takes_and_a_field_cannot_hold_is_named() {
        let mut port = 10911_u16;
        let expected = "from 0 to 65535".to_owned();
        assert_eq!(set(&mut port, "70000"), Applied::Outside { expected });
        assert_eq!(set(&mut port, "3000000000"), Applied::Unparsable { kind: "int" });
        let mut hours = 72;
        let expected = "from 0 to 100".to_owned();
        assert_eq!(set_within(&mut hours, "101", 0..=100), Applied::Outside { expected });
        assert_eq!((port, hours), (10911, 72));
        assert_eq!(set_within(&mut hours, "100", 0..=100), Applied::Applied);
        assert_eq!(hours, 100);
    }
}
