//! Any text as an expression, and any properties for it: a result or an error, and the same twice.
#![no_main]

use broker::Sql;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (&str, &str)| {
    let (text, properties) = data;
    if let Ok(sql) = Sql::compile(text) {
        assert_eq!(sql.matches(properties), sql.matches(properties));
        if let Ok(not) = Sql::compile(&format!("NOT ({text}\n)")) {
            assert!(!(sql.matches(properties) && not.matches(properties)) || text.contains(')'));
        }
    }
});
