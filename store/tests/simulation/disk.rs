//! A disk in memory: what has been written, what of it is durable, and what a crash may leave.
//!
//! A sync of a file makes its content and length durable, not its name; a sync of a directory the
//! names in it. Of everything else any part may be there after a crash: a sector (512 bytes, the
//! unit that is never torn) as it was at any moment since the last sync, changes of lengths up to
//! any one of them, names as far as an earlier change of the same name is there too.

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use store::faults::{Action, Operation};

use crate::random::Random;

const SECTOR: u64 = 512;
/// What a page cache writes at a time; a crash may tear it.
const PAGE_SECTORS: u64 = 8;
const ROOT: usize = 0;

type Sector = [u8; SECTOR as usize];

/// What a file holds. A sector that is not there is zeros.
#[derive(Clone, Debug, Default)]
pub struct Content {
    len: u64,
    sectors: BTreeMap<u64, Arc<Sector>>,
}

/// A change of a file that is not durable.
#[derive(Clone, Debug)]
enum Change {
    /// A sector's new content. It can be on disk only if the changes of the length before it are.
    Sector { number: u64, bytes: Arc<Sector>, lengths_before: usize },
    /// Another length.
    Length(u64),
    /// A range becomes zeros.
    Zero(Range<u64>),
}

#[derive(Clone, Debug, Default)]
struct File {
    durable: Content,
    now: Content,
    changes: Vec<Change>,
    /// Those of them that are no sectors.
    lengths: usize,
}

#[derive(Clone, Debug)]
enum Node {
    File(File),
    Directory { durable: BTreeMap<String, usize>, now: BTreeMap<String, usize> },
}

/// A change of names that is not durable: all of it is on disk or nothing.
#[derive(Clone, Debug)]
struct Naming(Vec<(usize, String, Option<usize>)>);

/// The disk.
#[derive(Clone, Debug)]
pub struct Disk {
    nodes: Vec<Node>,
    namings: Vec<Naming>,
}

/// What a crash has left, all of it durable.
#[derive(Clone, Debug, Default)]
pub struct Image {
    directories: Vec<PathBuf>,
    files: Vec<(PathBuf, Content)>,
}

/// A call to the disk, by a path below the root of the disk.
#[derive(Clone, Debug)]
pub struct Call {
    path: PathBuf,
    to: PathBuf,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Open { create: bool, truncate: bool },
    Write { at: u64, bytes: Vec<u8> },
    Length(u64),
    Allocate(u64),
    Zero(Range<u64>),
    Sync,
    Rename,
    Remove,
    CreateDirectory,
    SyncDirectory,
    SyncAll,
}

impl Call {
    /// The call, if it changes or syncs anything.
    pub fn of(operation: &Operation<'_>, root: &Path) -> Option<Call> {
        let below = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_owned();
        let mut to = PathBuf::new();
        let what = match operation.action {
            Action::Open { create: false, truncate: false } | Action::Map => return None,
            Action::Open { create, truncate } => What::Open { create, truncate },
            Action::Write { at, bytes } => What::Write { at, bytes: bytes.to_vec() },
            Action::SetLen(len) => What::Length(len),
            Action::Allocate { at, len } => What::Allocate(at + len),
            Action::PunchHole { at, len } => What::Zero(at..at + len),
            Action::Sync => What::Sync,
            Action::Rename { to: new } => {
                to = below(new);
                What::Rename
            }
            Action::Remove | Action::RemoveDirectory => What::Remove,
            Action::CreateDirectory => What::CreateDirectory,
            Action::SyncDirectory => What::SyncDirectory,
            Action::SyncFileSystem => What::SyncAll,
        };
        Some(Call { path: below(operation.path), to, what })
    }

    /// Whether it makes anything durable: then a crash right before it differs most.
    pub fn syncs(&self) -> bool {
        matches!(self.what, What::Sync | What::SyncDirectory | What::SyncAll)
    }
}

impl Content {
    fn resize(&mut self, len: u64) {
        if len < self.len {
            self.zero(len..self.len);
        }
        self.len = len;
    }

    fn zero(&mut self, range: Range<u64>) {
        let touched = range.start / SECTOR..range.end.div_ceil(SECTOR);
        let numbers: Vec<u64> = self.sectors.range(touched).map(|(number, _)| *number).collect();
        for number in numbers {
            let at = number * SECTOR;
            let from = range.start.max(at) - at;
            let to = range.end.min(at + SECTOR) - at;
            if from == 0 && to == SECTOR {
                self.sectors.remove(&number);
            } else if let Some(sector) = self.sectors.get_mut(&number) {
                Arc::make_mut(sector)[from as usize..to as usize].fill(0);
            }
        }
    }

    fn sector(&self, number: u64) -> Sector {
        self.sectors.get(&number).map_or([0; SECTOR as usize], |sector| **sector)
    }

    fn put(&mut self, number: u64, bytes: &Arc<Sector>) {
        if number * SECTOR < self.len {
            self.sectors.insert(number, Arc::clone(bytes));
        }
    }

    fn write_to(&self, path: &Path) -> std::io::Result<()> {
        let file = std::fs::File::create(path)?;
        file.set_len(self.len)?;
        let mut sectors = self.sectors.iter().peekable();
        let mut run = Vec::new();
        while let Some((&first, sector)) = sectors.next() {
            run.extend_from_slice(&**sector);
            let mut last = first;
            while let Some((_, sector)) = sectors.next_if(|(number, _)| **number == last + 1) {
                run.extend_from_slice(&**sector);
                last += 1;
            }
            let at = first * SECTOR;
            let len = (self.len.saturating_sub(at) as usize).min(run.len());
            file.write_all_at(&run[..len], at)?;
            run.clear();
        }
        Ok(())
    }
}

impl File {
    fn length(&mut self, len: u64) {
        if len != self.now.len {
            self.now.resize(len);
            self.changes.push(Change::Length(len));
            self.lengths += 1;
        }
    }

    fn zero(&mut self, range: Range<u64>) {
        self.now.zero(range.clone());
        self.changes.push(Change::Zero(range));
        self.lengths += 1;
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        let end = at + bytes.len() as u64;
        self.length(self.now.len.max(end));
        let mut position = at;
        while position < end {
            let number = position / SECTOR;
            let start = number * SECTOR;
            let stop = end.min(start + SECTOR);
            let mut sector = self.now.sector(number);
            sector[(position - start) as usize..(stop - start) as usize]
                .copy_from_slice(&bytes[(position - at) as usize..(stop - at) as usize]);
            let bytes = Arc::new(sector);
            self.now.put(number, &bytes);
            let lengths_before = self.lengths;
            self.changes.push(Change::Sector { number, bytes, lengths_before });
            position = stop;
        }
    }

    fn sync(&mut self) {
        self.durable = self.now.clone();
        self.changes.clear();
        self.lengths = 0;
    }

    /// What a crash leaves of it.
    fn crash(&self, random: &mut Random) -> Content {
        let mut left = self.durable.clone();
        if self.changes.is_empty() {
            return left;
        }
        let how = random.below(8);
        match how {
            0 => return left,
            1 => return self.now.clone(),
            _ => {}
        }
        let lengths = random.below(self.lengths as u64 + 1) as usize;
        let lengths = if random.chance(2) { self.lengths } else { lengths };
        let block = if random.chance(2) { PAGE_SECTORS } else { 1 };
        // Up to which change a block is on disk.
        let mut reach: BTreeMap<u64, usize> = BTreeMap::new();
        let all = self.changes.len();
        let mut seen = 0;
        for (at, change) in self.changes.iter().enumerate() {
            match change {
                Change::Sector { number, bytes, lengths_before } => {
                    let reach = *reach.entry(number / block).or_insert_with(|| match how {
                        2 | 3 => random.below(2) as usize * all,
                        4 => usize::from(!random.chance(6)) * all,
                        5 => usize::from(random.chance(6)) * all,
                        _ => random.below(all as u64 + 1) as usize,
                    });
                    if at < reach && *lengths_before <= lengths {
                        left.put(*number, bytes);
                    }
                }
                other => {
                    seen += 1;
                    match other {
                        _ if seen > lengths => {}
                        Change::Length(len) => left.resize(*len),
                        Change::Zero(range) => left.zero(range.clone()),
                        Change::Sector { .. } => {}
                    }
                }
            }
        }
        left
    }
}

impl Disk {
    /// A disk that holds an image.
    pub fn of(image: &Image) -> Disk {
        let mut disk = Disk { nodes: vec![directory()], namings: Vec::new() };
        for path in &image.directories {
            disk.link(path, directory());
        }
        for (path, content) in &image.files {
            let file = File { durable: content.clone(), now: content.clone(), ..File::default() };
            disk.link(path, Node::File(file));
        }
        disk.sync_all();
        disk
    }

    /// Does what a call has done.
    pub fn apply(&mut self, call: &Call) {
        match &call.what {
            What::Open { create, truncate } => {
                if *create && self.find(&call.path).is_none() {
                    self.link(&call.path, Node::File(File::default()));
                } else if *truncate {
                    self.file(&call.path).length(0);
                }
            }
            What::Write { at, bytes } => self.file(&call.path).write(*at, bytes),
            What::Length(len) => self.file(&call.path).length(*len),
            What::Allocate(end) => {
                let file = self.file(&call.path);
                file.length(file.now.len.max(*end));
            }
            What::Zero(range) => self.file(&call.path).zero(range.clone()),
            What::Sync => self.file(&call.path).sync(),
            What::Rename => {
                let node = self.find(&call.path);
                let from = self.place(&call.path);
                let to = self.place(&call.to);
                self.name(vec![(from.0, from.1, None), (to.0, to.1, node)]);
            }
            What::Remove => {
                let (parent, name) = self.place(&call.path);
                self.name(vec![(parent, name, None)]);
            }
            What::CreateDirectory => self.link(&call.path, directory()),
            What::SyncDirectory => {
                // The directory the disk is mounted at holds nothing of ours.
                if let Some(node) = self.find(&call.path) {
                    self.sync_names(node);
                }
            }
            What::SyncAll => self.sync_all(),
        }
    }

    /// What a crash leaves.
    pub fn crash(&self, random: &mut Random) -> Image {
        let mut names: Vec<BTreeMap<String, usize>> = self
            .nodes
            .iter()
            .map(|node| match node {
                Node::Directory { durable, .. } => durable.clone(),
                Node::File(_) => BTreeMap::new(),
            })
            .collect();
        let how = random.below(5);
        let prefix = random.below(self.namings.len() as u64 + 1) as usize;
        let mut lost: Vec<(usize, &str)> = Vec::new();
        for (at, Naming(changes)) in self.namings.iter().enumerate() {
            let there = match how {
                0 => false,
                1 => true,
                2 => at < prefix,
                3 => !random.chance(5),
                _ => random.chance(2),
            };
            let after_lost =
                changes.iter().any(|(node, name, _)| lost.contains(&(*node, name.as_str())));
            for (node, name, to) in changes {
                match to {
                    _ if !there || after_lost => lost.push((*node, name)),
                    Some(to) => _ = names[*node].insert(name.clone(), *to),
                    None => _ = names[*node].remove(name),
                }
            }
        }
        let mut image = Image::default();
        self.collect(ROOT, Path::new(""), &names, random, &mut image);
        image
    }

    fn collect(
        &self,
        node: usize,
        path: &Path,
        names: &[BTreeMap<String, usize>],
        random: &mut Random,
        image: &mut Image,
    ) {
        for (name, child) in &names[node] {
            let path = path.join(name);
            match &self.nodes[*child] {
                Node::File(file) => image.files.push((path, file.crash(random))),
                Node::Directory { .. } => {
                    image.directories.push(path.clone());
                    self.collect(*child, &path, names, random, image);
                }
            }
        }
    }

    fn find(&self, path: &Path) -> Option<usize> {
        let mut node = ROOT;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            let Node::Directory { now, .. } = &self.nodes[node] else { return None };
            node = *now.get(name.to_str()?)?;
        }
        Some(node)
    }

    fn file(&mut self, path: &Path) -> &mut File {
        let node = self.find(path).unwrap_or_else(|| panic!("no file {}", path.display()));
        match &mut self.nodes[node] {
            Node::File(file) => file,
            Node::Directory { .. } => panic!("a directory {}", path.display()),
        }
    }

    fn place(&self, path: &Path) -> (usize, String) {
        let parent = self.find(path.parent().unwrap()).expect("a directory");
        (parent, path.file_name().unwrap().to_str().unwrap().to_owned())
    }

    fn link(&mut self, path: &Path, node: Node) {
        let (parent, name) = self.place(path);
        self.nodes.push(node);
        let number = self.nodes.len() - 1;
        self.name(vec![(parent, name, Some(number))]);
    }

    fn name(&mut self, changes: Vec<(usize, String, Option<usize>)>) {
        set_names(&mut self.nodes, &changes, |node| match node {
            Node::Directory { now, .. } => Some(now),
            Node::File(_) => None,
        });
        self.namings.push(Naming(changes));
    }

    /// Makes the names in a directory durable, with the changes they follow upon.
    fn sync_names(&mut self, directory: usize) {
        let mut needed: Vec<(usize, String)> = Vec::new();
        let mut synced = Vec::new();
        for at in (0..self.namings.len()).rev() {
            let Naming(changes) = &self.namings[at];
            let is_needed = |node: usize, name: &str| {
                needed.iter().any(|(known, known_name)| *known == node && known_name == name)
            };
            if changes.iter().any(|(node, name, _)| *node == directory || is_needed(*node, name)) {
                needed.extend(changes.iter().map(|(node, name, _)| (*node, name.clone())));
                synced.push(self.namings.remove(at));
            }
        }
        for Naming(changes) in synced.into_iter().rev() {
            set_names(&mut self.nodes, &changes, durable_names);
        }
    }

    fn sync_all(&mut self) {
        for Naming(changes) in std::mem::take(&mut self.namings) {
            set_names(&mut self.nodes, &changes, durable_names);
        }
        for node in &mut self.nodes {
            if let Node::File(file) = node {
                file.sync();
            }
        }
    }
}

fn directory() -> Node {
    Node::Directory { durable: BTreeMap::new(), now: BTreeMap::new() }
}

fn durable_names(node: &mut Node) -> Option<&mut BTreeMap<String, usize>> {
    match node {
        Node::Directory { durable, .. } => Some(durable),
        Node::File(_) => None,
    }
}

fn set_names(
    nodes: &mut [Node],
    changes: &[(usize, String, Option<usize>)],
    names: impl Fn(&mut Node) -> Option<&mut BTreeMap<String, usize>>,
) {
    for (node, name, to) in changes {
        let names = names(&mut nodes[*node]).expect("a directory");
        match to {
            Some(to) => _ = names.insert(name.clone(), *to),
            None => _ = names.remove(name),
        }
    }
}

impl Image {
    /// Makes the directories and files below an empty directory.
    pub fn write_to(&self, root: &Path) -> std::io::Result<()> {
        for path in &self.directories {
            std::fs::create_dir(root.join(path))?;
        }
        self.files.iter().try_for_each(|(path, content)| content.write_to(&root.join(path)))
    }
}
