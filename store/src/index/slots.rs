//! The slots of the file being written, cached by pages.
//!
//! Keys hash all over the table. Written one by one they would cost two system calls each; a page
//! that is read once and written once a second costs next to nothing per key.

use std::io;

use super::format::{SLOT_LEN, Shape};
use crate::disk_file::DiskFile;

/// Slots of a page.
const PAGE_SLOTS: usize = 1024;

type Page = [i32; PAGE_SLOTS];

/// The cached slots of one file.
#[derive(Debug)]
pub(super) struct Slots {
    shape: Shape,
    pages: Vec<Option<Box<Page>>>,
    dirty: Vec<usize>,
    is_dirty: Vec<bool>,
}

impl Slots {
    pub(super) fn new(shape: Shape) -> Slots {
        let count = (shape.slots as usize).div_ceil(PAGE_SLOTS);
        Slots { shape, pages: vec![None; count], dirty: Vec::new(), is_dirty: vec![false; count] }
    }

    /// Slots of a table whose every slot is 0 and has to be written.
    pub(super) fn zeroed(shape: Shape) -> Slots {
        let mut slots = Slots::new(shape);
        for page in 0..slots.pages.len() {
            slots.pages[page] = Some(Box::new([0; PAGE_SLOTS]));
            slots.mark(page);
        }
        slots
    }

    /// Reads a slot and keeps its page.
    pub(super) fn load(&mut self, file: &DiskFile, slot: u32) -> io::Result<i32> {
        let (page, at) = place(slot);
        if self.pages[page].is_none() {
            self.pages[page] = Some(self.read_page(file, page)?);
        }
        Ok(self.cached(page, at).unwrap_or(0))
    }

    /// Reads a slot.
    pub(super) fn peek(&self, file: &DiskFile, slot: u32) -> io::Result<i32> {
        let (page, at) = place(slot);
        match self.cached(page, at) {
            Some(value) => Ok(value),
            None => read_slot(file, self.shape, slot),
        }
    }

    /// Sets a slot that has been loaded.
    pub(super) fn set(&mut self, slot: u32, value: i32) {
        let (page, at) = place(slot);
        if let Some(slots) = &mut self.pages[page] {
            slots[at] = value;
            self.mark(page);
        }
    }

    /// Writes the changed pages.
    pub(super) fn write(&mut self, file: &DiskFile) -> io::Result<()> {
        let mut bytes = [0; PAGE_SLOTS * SLOT_LEN];
        while let Some(&page) = self.dirty.last() {
            let Some(slots) = &self.pages[page] else { break };
            let first = (page * PAGE_SLOTS) as u32;
            for (bytes, slot) in bytes.chunks_exact_mut(SLOT_LEN).zip(slots.iter()) {
                bytes.copy_from_slice(&slot.to_be_bytes());
            }
            file.write_at(&bytes[..self.page_len(page)], self.shape.slot_at(first))?;
            self.is_dirty[page] = false;
            self.dirty.pop();
        }
        Ok(())
    }

    /// Frees the pages. Only after a write.
    pub(super) fn free(&mut self) {
        if self.dirty.is_empty() {
            self.pages.fill_with(|| None);
            self.dirty = Vec::new();
        }
    }

    fn cached(&self, page: usize, at: usize) -> Option<i32> {
        self.pages[page].as_ref().map(|slots| slots[at])
    }

    fn mark(&mut self, page: usize) {
        if !std::mem::replace(&mut self.is_dirty[page], true) {
            self.dirty.push(page);
        }
    }

    /// The last page is as long as there are slots left.
    fn page_len(&self, page: usize) -> usize {
        PAGE_SLOTS.min(self.shape.slots as usize - page * PAGE_SLOTS) * SLOT_LEN
    }

    fn read_page(&self, file: &DiskFile, page: usize) -> io::Result<Box<Page>> {
        let mut bytes = [0; PAGE_SLOTS * SLOT_LEN];
        let first = (page * PAGE_SLOTS) as u32;
        file.read_at(&mut bytes[..self.page_len(page)], self.shape.slot_at(first))?;
        let mut slots = Box::new([0; PAGE_SLOTS]);
        for (slot, bytes) in slots.iter_mut().zip(bytes.chunks_exact(SLOT_LEN)) {
            *slot = bytes.first_chunk().copied().map(i32::from_be_bytes).unwrap_or_default();
        }
        Ok(slots)
    }
}

/// Reads a slot from the file.
pub(super) fn read_slot(file: &DiskFile, shape: Shape, slot: u32) -> io::Result<i32> {
    let mut bytes = [0; SLOT_LEN];
    file.read_at(&mut bytes, shape.slot_at(slot))?;
    Ok(i32::from_be_bytes(bytes))
}

fn place(slot: u32) -> (usize, usize) {
    (slot as usize / PAGE_SLOTS, slot as usize % PAGE_SLOTS)
}
