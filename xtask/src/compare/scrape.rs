//! Pages of metrics, and how two of them differ.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const PATIENCE: Duration = Duration::from_secs(20);

/// Labels that say who measures, or which library of Java's.
const IGNORED: [&str; 3] = ["node_id", "otel_scope_name", "otel_scope_version"];

/// Parts of names whose values are times, or of the machine: they must be there.
const PRESENT: [&str; 8] =
    ["latency", "_time_", "storage_size", "behind", "watermark", "_lag", "_ready_", "_inflight_"];

/// The samples of a page, by name and sorted labels, and the types of families.
#[derive(Debug, Default)]
pub struct Page {
    samples: BTreeMap<String, f64>,
    types: BTreeMap<String, String>,
}

impl Page {
    /// Fetches the page of an address.
    pub fn fetch(address: SocketAddr) -> Result<Page> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = format!("GET /metrics HTTP/1.0\r\nhost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8(answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        ensure!(head.contains(" 200 "), "{head}");
        Page::parse(body)
    }

    /// Reads a page.
    pub fn parse(text: &str) -> Result<Page> {
        let mut page = Page::default();
        for line in text.lines() {
            if let Some(words) = line.strip_prefix("# TYPE ") {
                let (name, kind) = words.split_once(' ').context("a type without a name")?;
                page.types.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') && !line.trim().is_empty() {
                let (key, value) = sample(line).with_context(|| format!("sample {line:?}"))?;
                page.samples.insert(key, value);
            }
        }
        Ok(page)
    }

    /// Whether there is a sample of a name with a label.
    pub fn has(&self, name_and_label: &str) -> bool {
        let (name, label) = name_and_label.split_once(' ').unwrap_or((name_and_label, ""));
        self.samples.keys().any(|key| {
            let mut words = key.split(' ');
            words.next() == Some(name) && (label.is_empty() || words.any(|word| word == label))
        })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// What differs, as short texts.
    pub fn differences(&self, java: &Page) -> Vec<String> {
        let mut all = Vec::new();
        for (name, kind) in &java.types {
            match self.types.get(name) {
                Some(own) if own != kind => all.push(format!("type of {name} [{kind} → {own}]")),
                _ => {}
            }
        }
        for (key, value) in &java.samples {
            match self.samples.get(key) {
                None => all.push(format!("{key}: only Java")),
                Some(own) if own != value && is_exact(key) => {
                    all.push(format!("{key}: value [{value} → {own}]"));
                }
                Some(_) => {}
            }
        }
        let more = self.samples.keys().filter(|key| !java.samples.contains_key(*key));
        all.extend(more.map(|key| format!("{key}: only ours")));
        all
    }
}

/// Whether both must have the same value: not of times, but of how often they were measured.
fn is_exact(key: &str) -> bool {
    let name = key.split(' ').next().unwrap_or_default();
    let is_present = PRESENT.iter().any(|part| format!("{name}_").contains(part));
    !is_present || (name.ends_with("_count") && !name.contains("scan_time"))
}

/// Name with sorted labels, and value; a time stamp behind it is left out.
fn sample(line: &str) -> Option<(String, f64)> {
    let (name, rest) = match line.split_once('{') {
        Some((name, rest)) => (name, rest),
        None => {
            let (name, value) = line.split_once(' ')?;
            return Some((name.to_owned(), value.split(' ').next()?.parse().ok()?));
        }
    };
    // A value may hold a brace, but no sample ends behind one in quotes.
    let (labels, value) = rest.rsplit_once("} ")?;
    let mut labels: Vec<String> = split_labels(labels);
    labels.retain(|label| !IGNORED.iter().any(|name| label.split('=').next() == Some(name)));
    labels.sort();
    let key = std::iter::once(name.to_owned()).chain(labels).collect::<Vec<_>>().join(" ");
    Some((key, value.split(' ').next()?.parse().ok()?))
}

/// `a="x",b="y"` as `a=x` and `b=y`.
fn split_labels(text: &str) -> Vec<String> {
    let (mut labels, mut label, mut quoted) = (Vec::new(), String::new(), false);
    for letter in text.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => labels.push(std::mem::take(&mut label)),
            letter => label.push(letter),
        }
    }
    labels.push(label);
    labels.retain(|label| !label.is_empty());
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    const JAVA: &str = "# HELP a_total x\n# TYPE a_total counter\n\
        a_total{node_id=\"j\",topic=\"T,1\",otel_scope_name=\"m\"} 3.0 1700000000000\n\
        # TYPE late gauge\nlate_latency{x=\"1\"} 7.0\nh_count 2.0\ngone 1.0\n";

    #[test]
    fn pages_differ_by_series_and_by_counted_values() {
        let java = Page::parse(JAVA).unwrap();
        let ours = Page::parse(
            "# TYPE a_total counter\na_total{topic=\"T,1\",node_id=\"o\"} 4\n\
             # TYPE late counter\nlate_latency{x=\"1\"} 9\nh_count 2\nmore{y=\"2\"} 1\n",
        );
        let differences = ours.unwrap().differences(&java);
        assert_eq!(
            differences,
            [
                "type of late [gauge → counter]",
                "a_total topic=T,1: value [3 → 4]",
                "gone: only Java",
                "more y=2: only ours",
            ]
        );
        assert_eq!(java.differences(&java), [] as [&str; 0]);
        assert!(java.has("a_total topic=T,1") && !java.has("a_total topic=T"));
    }
}
