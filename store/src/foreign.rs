//! Refuses a directory where another kind of store keeps messages or their state: RocksDB or
//! DLedger, which the configuration of this start need not name.
//!
//! `rocksdbstore/` is not among them: Java 5.5.0 makes it whatever its settings are.

use std::fs;
use std::io;
use std::path::Path;

use crate::OpenError;

/// Directories of RocksDB, and the setting that has a Java broker keep its state there. Each such
/// database has a file `CURRENT`.
const ROCKS_DBS: [(&str, &str); 7] = [
    ("consumequeue", "storeType=defaultRocksDB or rocksdbCQDoubleWriteEnable=true"),
    ("consumequeue_rocksdb", "useSeparateStorePathForRocksdbCQ=true"),
    ("config/topics", "storeType=defaultRocksDB"),
    ("config/subscriptionGroups", "storeType=defaultRocksDB"),
    ("config/consumerOffsets", "storeType=defaultRocksDB"),
    ("config/rdb", "configManagerVersion=v2"),
    ("kvStore", "popConsumerKVServiceInit=true"),
];

/// Start of the names of DLedger's directories.
const DLEDGER: &str = "dledger-";

/// Fails if the store below `root` is not, or not only, made of files; changes nothing.
pub fn refuse(root: &Path) -> Result<(), OpenError> {
    for (directory, setting) in ROCKS_DBS {
        let path = root.join(directory).join("CURRENT");
        if path.try_exists().map_err(|error| OpenError::io(&path, "look for", error))? {
            let (expected, got) = ("no RocksDB here".to_owned(), format!("one, of {setting}"));
            return Err(OpenError::Damaged { path, offset: 0, expected, got });
        }
    }
    let list = |error| OpenError::io(root, "list", error);
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(list)?,
    };
    for entry in entries {
        let entry = entry.map_err(list)?;
        if entry.file_name().to_string_lossy().starts_with(DLEDGER) {
            let (expected, got) =
                ("no DLedger log here", "one, of enableDLegerCommitLog=true; it is not read");
            let (expected, got) = (expected.to_owned(), got.to_owned());
            return Err(OpenError::Damaged { path: entry.path(), offset: 0, expected, got });
        }
    }
    Ok(())
}
