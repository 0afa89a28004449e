//! Additions, what a kill or a power cut leaves of them, and damage.

use std::fs;
use std::sync::{Arc, Mutex};

use serde::Deserialize;

use super::*;
use crate::faults::{Action, Faults};

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    version: i64,
    table: BTreeMap<String, BTreeMap<String, String>>,
}

impl File {
    fn with(names: &[&str]) -> File {
        let mut file = File::default();
        file.set(names);
        file
    }

    fn set(&mut self, names: &[&str]) {
        self.version += 1;
        for name in names {
            self.table.insert((*name).to_owned(), BTreeMap::from([value(name)]));
        }
    }

    fn head(&self) -> serde_json::Value {
        serde_json::json!({ "table": self.table })
    }

    fn tail(&self) -> serde_json::Value {
        serde_json::json!({ "version": self.version })
    }

    fn save(&self, growing: &mut GrowingFile, room: bool) {
        growing.save(&self.head(), &self.tail(), room).unwrap();
    }

    fn add(&self, growing: &mut GrowingFile, names: &[&str]) -> Result<bool, JsonFileError> {
        growing.add(names.iter().map(|name| (*name, &self.table[*name])), &self.tail())
    }

    /// What another one has of it and does not have like this.
    fn lacks(&self, other: &File) -> bool {
        other.table.iter().any(|(name, value)| self.table.get(name) != Some(value))
    }
}

/// Names and values are long, so that a sector holds one entry or two.
fn value(name: &str) -> (String, String) {
    ("name".to_owned(), format!("{name}{}", "{}, \\\"".repeat(25)))
}

/// An entry as it stands in the file.
fn entry(name: &str) -> Vec<u8> {
    let (key, value) = value(name);
    let value = serde_json::json!({ name: { key: value } }).to_string();
    value.as_bytes()[1..value.len() - 1].to_vec()
}

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Dir {
        Dir(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("table.json")
    }

    fn bytes(&self, suffix: &str) -> Vec<u8> {
        fs::read(self.0.path().join(format!("table.json{suffix}"))).unwrap()
    }

    fn load(&self) -> File {
        GrowingFile::load(&self.path()).unwrap().unwrap()
    }

    /// The same file as another one of these bytes would be loaded, and what then stands there.
    fn load_from(bytes: &[u8], bak: Option<&[u8]>) -> Result<File, JsonFileError> {
        let dir = Dir::new();
        fs::write(dir.path(), bytes).unwrap();
        if let Some(bak) = bak {
            fs::write(dir.0.path().join("table.json.bak"), bak).unwrap();
        }
        let file: File = GrowingFile::load(&dir.path())?.unwrap();
        assert_eq!(dir.load(), file, "loaded once more");
        if let Some(bak) = bak {
            assert_eq!(dir.bytes(".bak"), bak);
        }
        Ok(file)
    }
}

/// A file with one entry in its head and room.
fn open(dir: &Dir) -> (GrowingFile, File) {
    let file = File::with(&["A"]);
    let mut growing = GrowingFile::new(&dir.path());
    file.save(&mut growing, true);
    (growing, file)
}

fn add(growing: &mut GrowingFile, file: &mut File, names: &[&str]) {
    file.set(names);
    assert!(file.add(growing, names).unwrap());
}

#[test]
fn what_was_added_is_read_and_nothing_else_is_written() {
    let dir = Dir::new();
    let (mut growing, mut file) = open(&dir);
    let former = dir.bytes("").len();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&calls);
    let _faults = Faults::observe(dir.0.path(), move |operation| {
        seen.lock().unwrap().push(match operation.action {
            Action::Write { bytes, .. } => bytes.len(),
            Action::Sync => 0,
            other => panic!("{other:?}"),
        });
    });
    add(&mut growing, &mut file, &["B"]);
    add(&mut growing, &mut file, &["C", "D", "E"]);
    add(&mut growing, &mut file, &[]);
    assert_eq!(dir.load(), file);
    assert_eq!(dir.bytes("").len(), former);
    let calls = calls.lock().unwrap();
    assert_eq!(calls.iter().filter(|len| **len == 0).count(), 3, "one sync each: {calls:?}");
    assert!(calls.iter().all(|len| *len < 3 * SECTOR), "{calls:?}");
}

#[test]
fn a_file_grows_by_half_before_it_is_written_as_a_whole() {
    let dir = Dir::new();
    let (mut growing, mut file) = open(&dir);
    let mut wholes = 0;
    for number in 0..2_000 {
        let name = format!("T{number}");
        file.set(&[name.as_str()]);
        if !file.add(&mut growing, &[&name]).unwrap() {
            assert!(!growing.has_room());
            file.save(&mut growing, true);
            wholes += 1;
        }
    }
    assert_eq!(dir.load(), file);
    assert!((3..10).contains(&wholes), "{wholes}");
    file.save(&mut growing, false);
    assert_eq!(dir.load(), file);
    assert!(!dir.bytes("").ends_with(b" ") && !growing.has_room());
}

#[test]
fn what_does_not_fit_is_not_added() {
    let dir = Dir::new();
    let (mut growing, mut file) = open(&dir);
    let before = dir.bytes("");
    let long = "x".repeat(SECTOR);
    file.set(&["B", &long]);
    assert!(!file.add(&mut growing, &["B", &long]).unwrap());
    assert!(!file.add(&mut growing, &["B"]).unwrap(), "a whole save is due");
    assert_eq!(dir.bytes(""), before);
    file.save(&mut growing, true);
    let tail = serde_json::json!({ "version": 1, "more": long });
    assert!(!growing.add([("C", &1)].into_iter(), &tail).unwrap());
    growing.save(&file.head(), &tail, true).unwrap();
    assert!(!growing.has_room());
    File::default().save(&mut growing, true);
    assert!(!growing.has_room(), "no entry before whose comma an addition could stand");
    assert_eq!(dir.load(), File::default());
}

#[test]
fn any_mix_of_old_and_new_sectors_is_a_whole_file_with_all_that_was_there() {
    let dir = Dir::new();
    let (mut growing, mut file) = open(&dir);
    for names in [&["B"][..], &["C", "D", "E", "F", "G"], &["H"], &["I", "J"]] {
        let (old, had) = (dir.bytes(""), file.clone());
        add(&mut growing, &mut file, names);
        let new = dir.bytes("");
        let differ: Vec<usize> = (0..new.len())
            .step_by(SECTOR)
            .filter(|at| old[*at..at + SECTOR] != new[*at..at + SECTOR])
            .collect();
        assert!(differ.len() >= 2 && differ.len() < 10, "{differ:?}");
        for mix in 0..1_u32 << differ.len() {
            let mut torn = old.clone();
            for (bit, at) in differ.iter().enumerate().filter(|(bit, _)| mix & (1 << bit) != 0) {
                let sector = *at..at + SECTOR;
                assert!(bit < 32);
                torn[sector.clone()].copy_from_slice(&new[sector]);
            }
            let read: File = serde_json::from_slice(&torn).unwrap();
            assert!(!read.lacks(&had), "{names:?} mix {mix:b}");
            assert!(!file.lacks(&read), "{names:?} mix {mix:b}: an entry that nobody made");
        }
    }
}

/// Bytes of a file with additions, and where the first one stands.
fn added() -> (Vec<u8>, usize, File) {
    let dir = Dir::new();
    let (mut growing, mut file) = open(&dir);
    add(&mut growing, &mut file, &["B", "C", "D"]);
    add(&mut growing, &mut file, &["E"]);
    let bytes = dir.bytes("");
    let first = memmem::find(&bytes, b"\n,\"B").unwrap();
    (bytes, first, file)
}

/// Positions that matter: all but those in the midst of the blank room.
fn positions(bytes: &[u8], from: usize) -> Vec<usize> {
    let blank = |at: &usize| bytes[at - 1..(at + 1).min(bytes.len())].iter().all(|b| *b == b' ');
    (from..=bytes.len()).filter(|at| !blank(at) || at.is_multiple_of(16 * SECTOR)).collect()
}

#[test]
fn a_file_cut_or_zeroed_behind_its_head_keeps_every_entry_before() {
    let (bytes, first, file) = added();
    let end_of = |name: &str| {
        let entry = entry(name);
        memmem::find(&bytes, &entry).unwrap() + entry.len()
    };
    let ends: Vec<(String, usize)> =
        ["B", "C", "D", "E"].map(|name| (name.to_owned(), end_of(name))).into();
    for cut in positions(&bytes, first) {
        let mut zeroed = bytes[..cut].to_vec();
        zeroed.resize(bytes.len(), 0);
        for torn in [&bytes[..cut], &zeroed] {
            let read: File = serde_json::from_slice(&mend(torn).unwrap()).unwrap();
            if cut.is_multiple_of(29) {
                let loaded = Dir::load_from(torn, Some(b"{\"table\":{}}")).unwrap();
                assert_eq!(loaded, read, "cut at {cut}");
            }
            let whole = ends.iter().filter(|(_, end)| *end <= cut).count();
            assert_eq!(read.table.len(), 1 + whole, "cut at {cut}");
            assert!(!file.lacks(&read), "cut at {cut}");
        }
    }
}

#[test]
fn a_damaged_sector_costs_only_what_is_in_it() {
    let (bytes, first, file) = added();
    let sector = first + SECTOR;
    let mut torn = bytes.clone();
    torn[sector..sector + SECTOR].fill(b'x');
    let read = Dir::load_from(&torn, None).unwrap();
    assert!(!file.lacks(&read));
    assert_eq!(read.version, file.version);
    let lost: Vec<_> = file.table.keys().filter(|name| !read.table.contains_key(*name)).collect();
    assert!(!lost.is_empty() && lost.len() <= 2, "{lost:?}");
}

#[test]
fn damage_in_the_head_is_no_short_file() {
    let (bytes, first, _) = added();
    let bak = b"{\"table\":{\"Bak\":{}}}";
    let head = blank_end(&bytes[..first]);
    for at in 1..head {
        let cut = Dir::load_from(&bytes[..at], Some(bak)).unwrap();
        assert!(cut.table.contains_key("Bak"), "cut at {at}");
        assert!(Dir::load_from(&bytes[..at], None).is_err(), "cut at {at}");
        let mut zero = bytes.clone();
        zero[at..first].fill(0);
        assert!(Dir::load_from(&zero, Some(bak)).unwrap().table.contains_key("Bak"), "at {at}");
    }
    // Behind the last entry of the head, whatever else is gone.
    let cut = Dir::load_from(&bytes[..=head], Some(bak)).unwrap();
    assert_eq!(cut.table.into_keys().collect::<Vec<_>>(), ["A"]);
}

#[test]
fn what_was_mended_is_kept_aside_and_then_whole() {
    let (bytes, first, _) = added();
    let dir = Dir::new();
    fs::write(dir.path(), &bytes[..first + 300]).unwrap();
    assert!(GrowingFile::loadable::<File>(&dir.path()).is_ok());
    assert_eq!(dir.bytes("").len(), first + 300, "only looked at");
    let read = dir.load();
    assert_eq!(dir.bytes(".damaged"), bytes[..first + 300]);
    assert_eq!(serde_json::from_slice::<File>(&dir.bytes("")).unwrap(), read);
}

#[test]
fn after_a_failed_addition_the_file_is_written_as_a_whole_and_makes_no_bak() {
    for fault in
        ["pwrite:1:EIO", "pwrite:2:ENOSPC", "pwrite:1:short,pwrite:2:EIO", "fdatasync:1:EIO"]
    {
        let dir = Dir::new();
        let (mut growing, mut file) = open(&dir);
        file.save(&mut growing, true);
        let bak = dir.bytes(".bak");
        let faults = Faults::on(dir.0.path());
        faults.set(fault).unwrap();
        let had = file.clone();
        file.set(&["B", "C", "D"]);
        let error = file.add(&mut growing, &["B", "C", "D"]).unwrap_err().to_string();
        assert!(error.contains("table.json: cannot add"), "{error}");
        faults.set("").unwrap();
        assert!(!dir.load().lacks(&had), "{fault}");
        assert!(!file.add(&mut growing, &["B", "C", "D"]).unwrap());
        file.save(&mut growing, true);
        assert_eq!((dir.load(), dir.bytes(".bak")), (file.clone(), bak), "{fault}");
        add(&mut growing, &mut file, &["E"]);
        file.save(&mut growing, true);
        assert!(memmem::find(&dir.bytes(".bak"), b"\n,\"E\"").is_some(), "a good one makes .bak");
    }
}
