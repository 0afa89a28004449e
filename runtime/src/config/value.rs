//! How property text becomes a value: Java's rules, which are not Rust's.

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
}

/// A type a property can have.
pub trait PropertyValue: Sized {
    /// Java's name of the type, for documentation and messages.
    const KIND: &'static str;

    /// Reads the text, or says that it stands for no value.
    fn parse(text: &str) -> Option<Self>;

    /// Writes the value so that `parse` reads it back.
    fn show(&self) -> String;
}

/// Parses `text` into `field`, leaving it alone when that fails.
pub fn set<T: PropertyValue>(field: &mut T, text: &str) -> Applied {
    match T::parse(text) {
        Some(value) => {
            *field = value;
            Applied::Applied
        }
        None => Applied::Unparsable { kind: T::KIND },
    }
}

macro_rules! numbers {
    ($($type:ty: $kind:literal),* $(,)?) => {$(
        // Java quirk: integers are never trimmed, so "8 " is no number and the default stays.
        impl PropertyValue for $type {
            const KIND: &'static str = $kind;

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

numbers!(
    i32: "int", i64: "long", u16: "int", u32: "int", u64: "long", usize: "long",
);

impl PropertyValue for bool {
    const KIND: &'static str = "boolean";

    // Java quirk: everything but "true" is false, "yes" and " true" too; no text is an error.
    fn parse(text: &str) -> Option<Self> {
        Some(text.eq_ignore_ascii_case("true"))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl PropertyValue for f64 {
    const KIND: &'static str = "double";

    // Java quirk: doubles are trimmed, unlike integers, and may end in a type letter.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
        text.parse().ok()
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }
}

impl PropertyValue for String {
    const KIND: &'static str = "String";

    fn parse(text: &str) -> Option<Self> {
        Some(text.trim().to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

/// Absent until a key sets it; shown as an empty text.
impl<T: PropertyValue> PropertyValue for Option<T> {
    const KIND: &'static str = T::KIND;

    fn parse(text: &str) -> Option<Self> {
        T::parse(text).map(Some)
    }

    fn show(&self) -> String {
        self.as_ref().map(T::show).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Applied, PropertyValue, set};

    #[test]
    fn numbers_are_not_trimmed() {
        let mut port = 10911_u16;
        assert_eq!(set(&mut port, "8 "), Applied::Unparsable { kind: "int" });
        assert_eq!(set(&mut port, " 8"), Applied::Unparsable { kind: "int" });
        assert_eq!(port, 10911);
        assert_eq!(set(&mut port, "8"), Applied::Applied);
        assert_eq!(port, 8);
        assert_eq!(i32::parse("+7"), Some(7));
        assert_eq!(i32::parse("2147483648"), None);
        assert_eq!(i64::parse("0x10"), None);
        assert_eq!(i64::parse(""), None);
    }

    #[test]
    fn only_true_is_true() {
        for (text, value) in [("true", true), ("TRUE", true), ("yes", false), ("true ", false)] {
            assert_eq!(bool::parse(text), Some(value), "{text:?}");
        }
    }

    #[test]
    fn doubles_and_strings_are_trimmed() {
        assert_eq!(f64::parse(" 0.9d "), Some(0.9));
        assert_eq!(String::parse(" a b "), Some("a b".to_owned()));
        assert_eq!(f64::parse("much"), None);
        assert_eq!(0.5_f64.show(), "0.5");
        assert_eq!(1.0_f64.show(), "1.0");
    }

    #[test]
    fn an_option_is_what_it_holds() {
        assert_eq!(Option::<i32>::parse("5"), Some(Some(5)));
        assert_eq!(Option::<i32>::parse("x"), None);
        assert_eq!(None::<String>.show(), "");
    }
}
