//! The Index: key to log position.
