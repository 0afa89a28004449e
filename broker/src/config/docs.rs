//! `docs/configuration.md`, from the settings as they are declared and the table of Java's keys.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use namesrv::NamesrvConfig;
use runtime::config::{Change, JavaKey, Process, Properties, Property, State, VERSIONS};

use super::Settings;

const HEAD: &str = "\
# Configuration

Made by `cargo xtask docs`; a test fails when it is not current.

Files have Java's `.properties` form. `-c FILE` may be given several times, later files count more;
`-n` counts most. Values are read as Java reads them: integers are not trimmed, and a text that is
no number leaves the default, with a warning; only `true`, in any case, is true. Java drops the same
values without a word. A number out of its range, a name that does not exist where durability
depends on it, and what cannot be honoured and must not be ignored stop the start with one line.

`mqbroker check-config FILE...` says what would become of every key, which address would be
advertised and why, and whether ports and disks permit a start: exit code 0 as wanted, 1 it starts
but something should be looked at, 2 it does not start.

`change`: `running` counts at once when request 25 (318 at a name server) asks for it, `restart`
and `fixed` are refused there, `fixed` with Java's code 16. A change is written to the last `-c`
file, whose former text stays beside it as `.bak`.

`ROCKETMQ_HOME`, `NAMESRV_ADDR` and, from `-D` options in `JAVA_OPT_EXT`, `JAVA_OPT` or
`JAVA_TOOL_OPTIONS`, `rocketmq.home.dir`, `rocketmq.namesrv.addr`, `rocketmq.namesrv.domain`,
`rocketmq.namesrv.domain.subgroup` and `com.rocketmq.remoting.socket.backlog` are defaults.
";

/// Writes the page.
#[must_use]
pub fn configuration_page() -> String {
    let mut page = HEAD.to_owned();
    let settings = Settings::default();
    let parts: [(&str, &dyn Properties); 5] = [
        ("Broker", &settings.broker),
        ("Broker, while it runs", &settings.live),
        ("Network of the broker", &settings.network),
        ("Store", &settings.store),
        ("Name server", &NamesrvConfig::default()),
    ];
    for (title, part) in parts {
        let process = match title {
            "Name server" => Process::NameServer,
            _ => Process::Broker,
        };
        applied(&mut page, title, process, part);
    }
    unused(&mut page, "Keys of a broker without effect", Process::Broker);
    unused(&mut page, "Keys of a name server without effect", Process::NameServer);
    page
}

fn applied(page: &mut String, title: &str, process: Process, part: &dyn Properties) {
    let _ = writeln!(page, "\n## {title}\n");
    page.push_str("| key | type | default | change | meaning |\n| --- | --- | --- | --- | --- |\n");
    for (property, (_, value)) in part.properties().iter().zip(part.entries()) {
        let Property { key, kind, change, range, doc } = property;
        let change = match change {
            Change::Running => "running",
            Change::Restart => "restart",
            Change::Fixed => "fixed",
        };
        let known = process.key(key);
        // What a machine or a user has is not the same everywhere.
        let found = known.is_some_and(|known| known.defaults[3].starts_with("dynamic:"));
        let default = if found { "found".to_owned() } else { code(&value) };
        let mut meaning = doc.replace('|', "\\|");
        if let Some(range) = range {
            let _ = write!(meaning, " Must be {}.", range());
        }
        if let Some(others) = known.and_then(|known| other_defaults(&known, &value)) {
            let _ = write!(meaning, " Java: {others}.");
        }
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| `{key}` | {kind} | {default} | {change} | {meaning} |");
    }
}

fn code(value: &str) -> String {
    if value.is_empty() { String::new() } else { format!("`{}`", value.replace('|', "\\|")) }
}

/// The defaults of Java's versions where they are not ours.
fn other_defaults(known: &JavaKey, ours: &str) -> Option<String> {
    let same = |default: &str| {
        default == ours
            || ["-", "?", "null", "\"\""].contains(&default)
            || default.starts_with("dynamic:")
    };
    let others: Vec<String> = VERSIONS
        .iter()
        .zip(known.defaults)
        .filter(|(_, default)| !same(default))
        .map(|(version, default)| format!("`{default}` in {version}"))
        .collect();
    (!others.is_empty()).then(|| others.join(", "))
}

/// Keys with the same reason share a row.
fn unused(page: &mut String, title: &str, process: Process) {
    let mut refused: BTreeMap<&str, String> = BTreeMap::new();
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for known in process.keys() {
        match known.state {
            State::Applied => {}
            State::Refused(values, reason) => {
                refused.insert(known.key, format!("{values} | {reason}"));
            }
            State::Unused(reason) => {
                let keys = reasons.entry(reason).or_default();
                if !keys.contains(&known.key) {
                    keys.push(known.key);
                }
            }
        }
    }
    let _ = writeln!(page, "\n## {title}\n");
    if !refused.is_empty() {
        page.push_str("These stop the start where the value asks for more than there is.\n\n");
        page.push_str("| key | refused | because |\n| --- | --- | --- |\n");
        for (key, rest) in refused {
            let _ = writeln!(page, "| `{key}` | {rest} |");
        }
        page.push_str("\nThese are accepted, listed and kept.\n\n");
    }
    page.push_str("| because | keys |\n| --- | --- |\n");
    for (reason, keys) in reasons {
        let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
        let _ = writeln!(page, "| {reason} | {} |", keys.join(" "));
    }
}

#[cfg(test)]
mod tests {
    use super::configuration_page;

    #[test]
    fn the_page_is_current() {
        let page = include_str!("../../../docs/configuration.md");
        let hint = "run `cargo xtask docs`";
        for (ours, theirs) in configuration_page().lines().zip(page.lines()) {
            assert_eq!(ours, theirs, "{hint}");
        }
        assert_eq!(configuration_page().lines().count(), page.lines().count(), "{hint}");
    }
}
