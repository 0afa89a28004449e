//! The CommitLog: the only truth; everything else is derived from it.
