//! Declared in the workspace; filled next.
