//! A load with sends beside it, over links behind its own.

use anyhow::Result;

use super::answer::Answer;
use super::driver::{Bench, Load};
use super::send::Send;

/// Both; it is over when the first is.
pub struct Beside<'a> {
    /// What it is about.
    pub load: &'a mut dyn Load,
    /// How many links that has.
    pub links: usize,
    /// What goes on meanwhile.
    pub sends: Send,
}

impl Load for Beside<'_> {
    fn pump(&mut self, bench: &mut Bench) -> Option<u64> {
        let due = [self.load.pump(bench), self.sends.pump(bench)];
        due.into_iter().flatten().min()
    }

    fn answered(&mut self, link: usize, answer: &Answer<'_>, bench: &mut Bench) -> Result<()> {
        if link < self.links {
            self.load.answered(link, answer, bench)
        } else {
            self.sends.answered(link, answer, bench)
        }
    }

    fn done(&self) -> bool {
        self.load.done()
    }
}
