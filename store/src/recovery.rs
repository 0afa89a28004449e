//! Finding the end of the log at start.
