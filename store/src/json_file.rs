//! JSON files of config/: load and save with .bak.
