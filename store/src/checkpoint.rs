//! The checkpoint file: how far log, queues and index are on disk.
