//! Java's system properties, from where its start scripts take them.

use std::env;

/// Options of the Java process, those that win last: `runbroker.sh` appends the second variable to
/// the third.
const VARIABLES: [&str; 3] = ["JAVA_TOOL_OPTIONS", "JAVA_OPT", "JAVA_OPT_EXT"];

/// Value of `-Dname=value` in the options a Java broker would be started with.
#[must_use]
pub fn system_property(name: &str) -> Option<String> {
    VARIABLES.iter().rev().find_map(|variable| find(&env::var(variable).ok()?, name))
}

/// The last one counts, as in Java.
fn find(options: &str, name: &str) -> Option<String> {
    let properties = options.split_ascii_whitespace().filter_map(|part| part.strip_prefix("-D"));
    let mut pairs = properties.filter_map(|property| property.split_once('='));
    pairs.rfind(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn the_last_one_of_a_name_counts() {
        let options = "-server -Xms8g -Da.b=1 -Da.bc=2 -Da.b=0.5 -Dflag";
        assert_eq!(find(options, "a.b").as_deref(), Some("0.5"));
        assert_eq!(find(options, "flag"), None);
        assert_eq!(find("", "a.b"), None);
    }
}
