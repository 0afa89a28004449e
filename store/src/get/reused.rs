//! Lists that a thread fills again and again, so that they need no memory of their own each time.
//!
//! What a get finds is handed through many hands, and mostly is nothing: it must be small.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::thread::LocalKey;

use super::Run;
use crate::segment::LogSlice;

/// A list with room for more than this is given back.
const KEEP_MAX: usize = 1024;

/// What is kept in such lists.
pub trait Reuse: Sized + 'static {
    /// Where a thread keeps the list that it does not use.
    fn spare() -> &'static LocalKey<Cell<Vec<Self>>>;
}

/// A list that takes the thread's spare memory with its first entry, and leaves it behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reused<T: Reuse>(Vec<T>);

impl<T: Reuse> Reused<T> {
    /// Adds an entry.
    pub fn push(&mut self, entry: T) {
        if self.0.capacity() == 0 {
            self.0 = T::spare().try_with(Cell::take).unwrap_or_default();
        }
        self.0.push(entry);
    }
}

impl<T: Reuse> Default for Reused<T> {
    fn default() -> Self {
        Reused(Vec::new())
    }
}

impl<T: Reuse> Drop for Reused<T> {
    fn drop(&mut self) {
        if (1..=KEEP_MAX).contains(&self.0.capacity()) {
            self.0.clear();
            let list = std::mem::take(&mut self.0);
            // A thread that ends keeps nothing.
            let _ = T::spare().try_with(|spare| spare.set(list));
        }
    }
}

impl<T: Reuse> Deref for Reused<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T: Reuse> DerefMut for Reused<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.0
    }
}

impl<'a, T: Reuse> IntoIterator for &'a Reused<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

thread_local! {
    static RUNS: Cell<Vec<Run>> = const { Cell::new(Vec::new()) };
    static SLICES: Cell<Vec<LogSlice>> = const { Cell::new(Vec::new()) };
}

impl Reuse for Run {
    fn spare() -> &'static LocalKey<Cell<Vec<Run>>> {
        &RUNS
    }
}

impl Reuse for LogSlice {
    fn spare() -> &'static LocalKey<Cell<Vec<LogSlice>>> {
        &SLICES
    }
}
