//! Room on the disks of the store.
