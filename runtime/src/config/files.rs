//! The files that the settings of a start came from, and what another look at them brings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use super::{Change, Properties};

/// The files of a start; later ones count more.
#[derive(Clone, Debug, Default)]
pub struct Files {
    paths: Vec<PathBuf>,
    /// What they said when they were read last.
    read: BTreeMap<String, String>,
    /// What the keys were before the first of them was applied.
    before: BTreeMap<String, String>,
}

/// What another look at the files has brought.
#[derive(Debug, PartialEq, Eq)]
pub struct Reread {
    /// Keys that count now, with their values: what a file says, or what it was before the files
    /// where none says it any more.
    pub live: Vec<(String, String)>,
    /// Keys without effect that no file has any more.
    pub forgotten: Vec<String>,
    /// Keys that are other ones and count after a restart.
    pub later: Vec<String>,
}

impl Files {
    /// Notes a file that is about to be applied to the structs of the settings.
    pub fn add(&mut self, path: &Path, pairs: &[(String, String)], parts: &[&dyn Properties]) {
        if self.paths.is_empty() {
            let values = parts.iter().flat_map(|part| part.entries());
            self.before = values.map(|(key, value)| (key.to_owned(), value)).collect();
        }
        self.paths.push(path.to_owned());
        self.note(pairs);
    }

    /// The file that changes are written to.
    #[must_use]
    pub fn last(&self) -> Option<&Path> {
        self.paths.last().map(PathBuf::as_path)
    }

    /// Notes what one of them says now.
    pub fn note(&mut self, pairs: &[(String, String)]) {
        self.read.extend(pairs.iter().cloned());
    }

    /// Reads all of them again and tells what has changed in them since they were read last.
    ///
    /// # Errors
    /// Returns that of `read`; what they said before is then still what is known of them.
    pub fn look<E>(
        &mut self,
        read: impl Fn(&Path) -> Result<Vec<(String, String)>, E>,
        change: impl Fn(&str) -> Option<Change>,
    ) -> Result<Reread, E> {
        let mut now = BTreeMap::new();
        for path in &self.paths {
            now.extend(read(path)?);
        }
        let news = now.iter().filter(|(key, value)| self.read.get(*key) != Some(*value));
        let news = news.map(|(key, value)| (key.clone(), value.clone()));
        let (mut live, later): (Vec<_>, Vec<_>) =
            news.partition(|(key, _)| change(key) == Some(Change::Running));
        let mut later: Vec<String> = later.into_iter().map(|(key, _)| key).collect();
        let mut forgotten = Vec::new();
        for key in self.read.keys().filter(|key| !now.contains_key(*key)) {
            match (change(key), self.before.get(key)) {
                (Some(Change::Restart | Change::Fixed), _) => later.push(key.clone()),
                (Some(Change::Running), Some(value)) => live.push((key.clone(), value.clone())),
                (Some(Change::Running), None) | (None, _) => forgotten.push(key.clone()),
            }
        }
        self.read = now;
        Ok(Reread { live, forgotten, later })
    }
}

impl Reread {
    /// Whether something counts now that did not before.
    #[must_use]
    pub fn changes(&self) -> bool {
        !self.live.is_empty() || !self.forgotten.is_empty()
    }

    /// Says in the log which keys of a server have changed.
    pub fn tell(&self, server: &str) {
        let keys = self.live.iter().map(|(key, _)| key).chain(&self.forgotten);
        let keys: Vec<&str> = keys.map(String::as_str).collect();
        info!(server, changed = keys.join(", "), "settings read again");
        if !self.later.is_empty() {
            let keys = self.later.join(", ");
            warn!(server, keys, "changed in the file, counts after a restart");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::{Change, Files, Path, Properties, Reread};

    /// A few settings.
    #[derive(Properties, Debug)]
    struct Sample {
        /// Counts at once.
        #[property(default = 7)]
        live: i32,
        /// Counts later.
        #[property(default = "a", restart)]
        later: String,
    }

    fn change(key: &str) -> Option<Change> {
        let own = Sample::PROPERTIES.iter().find(|own| own.key == key);
        own.map(|own| own.change).or((key == "unused").then_some(Change::Running))
    }

    fn pairs(text: &str) -> Vec<(String, String)> {
        super::super::parse(text).expect("text")
    }

    fn look(files: &mut Files, texts: [&str; 2]) -> Reread {
        let read =
            |path: &Path| Ok::<_, Infallible>(pairs(texts[usize::from(path.ends_with("b"))]));
        files.look(read, change).expect("never fails")
    }

    fn files(sample: &mut Sample, texts: [&str; 2]) -> Files {
        let mut files = Files::default();
        for (path, text) in ["a", "b"].into_iter().zip(texts) {
            files.add(Path::new(path), &pairs(text), &[&*sample]);
            for (key, value) in pairs(text) {
                sample.apply(&key, &value);
            }
        }
        files
    }

    fn owned(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|&key| key.to_owned()).collect()
    }

    #[test]
    fn a_key_that_no_file_has_any_more_is_as_before_the_files() {
        let mut sample = Sample { live: 8, later: String::new() };
        let start = ["live=1\nlater=b\nunused=1\nnobody=1", "live=2"];
        let mut files = files(&mut sample, start);
        assert!(!look(&mut files, start).changes());
        // The first file still says it.
        let first = look(&mut files, [start[0], ""]);
        assert_eq!(first.live, pairs("live=1"));
        let none = look(&mut files, ["", ""]);
        assert_eq!(none.live, pairs("live=8"));
        assert_eq!(none.forgotten, owned(&["nobody", "unused"]));
        assert_eq!(none.later, owned(&["later"]));
        assert!(!look(&mut files, ["", ""]).changes());
    }

    #[test]
    fn what_a_request_wrote_is_no_news_and_can_be_taken_out() {
        let mut sample = Sample::default();
        let mut files = files(&mut sample, ["", ""]);
        files.note(&pairs("live=3"));
        assert!(!look(&mut files, ["", "live=3"]).changes());
        assert_eq!(look(&mut files, ["", ""]).live, pairs("live=7"));
    }
}
