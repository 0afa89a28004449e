//! Deleting what is too old or does not fit.
