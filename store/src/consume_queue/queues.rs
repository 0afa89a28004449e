//! All queues by topic and id.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tracing::{error, warn};

use super::at_once;
use super::handles::Handles;
use super::pending::Pending;
use super::place::Disk;
use super::queue::{Identity, Queue};
use super::{QueueKind, Unit, load};
use crate::disk_file::{create_directories, sync_directory};
use crate::dispatch::{Dispatch, DispatchRequest, ViewError};
use crate::light::is_light;
use crate::lookup::Lookup;
use crate::{OpenError, QueueKinds, StoreConfig};

/// Directory of the extensions of queues, which are not read: the log has what they say.
pub(super) const EXT_DIR: &str = "consumequeue_ext";

/// What the queues need to know of the settings.
#[derive(Clone, Debug)]
pub struct QueuesConfig {
    /// Directory of the store.
    pub root: PathBuf,
    /// Size of a file of a simple queue; rounded up to whole units.
    pub simple_file_size: i64,
    /// Size of a file of a batch queue, a multiple of the unit length.
    pub batch_file_size: i64,
    /// At most so many open files.
    pub open_files_max: usize,
    /// More queues than this are loaded one by one when they are used first, and written and
    /// synced in rounds of so many.
    pub many: usize,
    /// Whether records stand in the light queues they name.
    pub light: bool,
}

impl QueuesConfig {
    /// The part of the store's settings.
    pub fn of(config: &StoreConfig) -> QueuesConfig {
        QueuesConfig {
            root: PathBuf::from(&config.store_path_root_dir),
            simple_file_size: i64::from(config.mapped_file_size_consume_queue),
            batch_file_size: i64::from(config.mapper_file_size_batch_consume_queue),
            open_files_max: 256,
            many: config.many_queues.max(1) as usize,
            light: config.light_queues(),
        }
    }
}

/// The queues of a store.
pub struct Queues {
    /// The queues of a topic, by id.
    pub(super) topics: Lookup<Arc<str>, Vec<Arc<Queue>>>,
    kinds: QueueKinds,
    pub(super) root: PathBuf,
    pub(super) simple: Arc<Disk>,
    pub(super) batch: Arc<Disk>,
    pub(super) pending: Arc<Pending>,
    pub(super) many: usize,
    /// Held while the pending queues are written or synced: whoever finds none pending may rely
    /// on all of it being done.
    pub(super) writing: Mutex<()>,
    numbers: AtomicU64,
    light: bool,
    pub(super) light_count: AtomicUsize,
}

impl Queues {
    /// Finds what is on disk, and loads it unless there are very many queues. After an unclean exit
    /// (`clean` false) the load comes later in any case, when it is known how much of the log there
    /// is; the last files are looked through unit by unit then. After a clean one the end of a
    /// queue is searched for.
    pub fn open(config: QueuesConfig, kinds: QueueKinds, clean: bool) -> Result<Queues, OpenError> {
        let queues = Queues::new(config, kinds, false)?;
        queues.list(&queues.simple, clean)?;
        queues.list(&queues.batch, clean)?;
        if clean && !queues.too_many() {
            queues.load_all().map_err(load::opening)?;
        }
        Ok(queues)
    }

    /// Loads what is on disk for reading only.
    pub fn view(config: QueuesConfig, kinds: QueueKinds) -> Result<Queues, OpenError> {
        let queues = Queues::new(config, kinds, true)?;
        queues.list(&queues.simple, true)?;
        queues.list(&queues.batch, true)?;
        queues.load_all().map_err(load::opening)?;
        Ok(queues)
    }

    fn new(config: QueuesConfig, kinds: QueueKinds, view: bool) -> Result<Queues, OpenError> {
        let handles = Arc::new(Handles::new(config.open_files_max));
        let deleting = Arc::new(Mutex::new(()));
        let disk = |kind: QueueKind, key: &'static str, size: i64| {
            let unit_len = kind.unit_len() as i64;
            let file_size = match kind {
                QueueKind::Simple => size.saturating_add(unit_len - 1) / unit_len * unit_len,
                QueueKind::Batch => size,
            };
            if file_size < unit_len || file_size % unit_len != 0 {
                let reason = "the size of a queue file must be a multiple of the unit length";
                return Err(OpenError::Unsupported { key, value: size.to_string(), reason });
            }
            let root = config.root.join(kind.dir_name());
            let (handles, deleting) = (handles.clone(), deleting.clone());
            Ok(Arc::new(Disk { kind, root, file_size, handles, deleting, view }))
        };
        let simple = "mappedFileSizeConsumeQueue";
        let batch = "mapperFileSizeBatchConsumeQueue";
        Ok(Queues {
            topics: Lookup::default(),
            kinds,
            simple: disk(QueueKind::Simple, simple, config.simple_file_size)?,
            batch: disk(QueueKind::Batch, batch, config.batch_file_size)?,
            root: config.root,
            pending: Arc::default(),
            many: config.many,
            writing: Mutex::default(),
            numbers: AtomicU64::new(0),
            light: config.light,
            light_count: AtomicUsize::new(0),
        })
    }

    fn list(&self, disk: &Arc<Disk>, clean: bool) -> Result<(), OpenError> {
        let topic_dirs = sub_directories(&disk.root)?;
        at_once::for_each(&topic_dirs, |topic_dir| self.list_topic(disk, topic_dir, clean))
    }

    fn list_topic(&self, disk: &Arc<Disk>, dir: &Path, clean: bool) -> Result<(), OpenError> {
        let Some(topic) = dir.file_name().and_then(|name| name.to_str()) else {
            return Err(damaged(dir, "a topic name in UTF-8", "other bytes"));
        };
        let topic: Arc<str> = Arc::from(topic);
        let mut queues = Vec::new();
        for dir in sub_directories(dir)? {
            let name = dir.file_name().and_then(|name| name.to_str());
            // Java skips whatever is no number; `007` would be another queue's directory.
            let id = name.and_then(|name| name.parse::<i32>().ok());
            let Some(id) = id.filter(|id| Some(id.to_string().as_str()) == name) else {
                continue;
            };
            queues.push(Arc::new(Queue::on_disk(self.identity(&topic, id, disk), clean)));
        }
        if queues.is_empty() {
            return Ok(());
        }
        self.check_kind(&topic, disk.kind, dir)?;
        queues.sort_unstable_by_key(|queue| queue.id());
        self.count_light(&topic, queues.len());
        self.topics.insert(topic, queues);
        Ok(())
    }

    fn check_kind(&self, topic: &str, kind: QueueKind, dir: &Path) -> Result<(), OpenError> {
        let expected = (self.kinds)(topic);
        if expected == kind && !self.topics.contains_key(topic) {
            return Ok(());
        }
        Err(damaged(
            dir,
            &format!("queues in {}, as the queue.type of the topic says", expected.dir_name()),
            &format!("queues in {}", kind.dir_name()),
        ))
    }

    fn identity(&self, topic: &Arc<str>, id: i32, disk: &Arc<Disk>) -> Identity {
        Identity {
            topic: topic.clone(),
            id,
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            disk: disk.clone(),
            pending: self.pending.clone(),
        }
    }

    /// Whether there are so many queues that each is loaded when it is used first.
    pub fn too_many(&self) -> bool {
        self.len() > self.many
    }

    /// Loads every queue that is not.
    pub fn load_all(&self) -> Result<(), ViewError> {
        at_once::for_each(&self.known_all(), Queue::load)
    }

    /// The queue, made if it is not there; its directory comes with its first units.
    pub fn queue(&self, topic: &str, id: i32) -> Result<Arc<Queue>, ViewError> {
        if let Some(queue) = self.look_up(topic, id)? {
            return Ok(queue);
        }
        check_topic(topic)?;
        let mut queues = self.topics.entry(Arc::from(topic)).or_default();
        let at = match queues.binary_search_by_key(&id, |queue| queue.id()) {
            Ok(at) => return Ok(queues[at].clone()),
            Err(at) => at,
        };
        let kind = queues.first().map_or_else(|| (self.kinds)(topic), |queue| queue.kind());
        let disk = match kind {
            QueueKind::Simple => &self.simple,
            QueueKind::Batch => &self.batch,
        };
        let queue = Arc::new(Queue::new(self.identity(queues.key(), id, disk)));
        queues.insert(at, queue.clone());
        self.count_light(topic, 1);
        Ok(queue)
    }

    fn count_light(&self, topic: &str, more: usize) {
        if is_light(topic) {
            self.light_count.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Number of light queues.
    pub fn light_count(&self) -> usize {
        self.light_count.load(Ordering::Relaxed)
    }

    /// The queue, if it is there; one that cannot be loaded counts as missing.
    pub fn find(&self, topic: &str, id: i32) -> Option<Arc<Queue>> {
        self.known(topic, id).filter(can_load)
    }

    /// The queue, if it is there.
    pub fn look_up(&self, topic: &str, id: i32) -> Result<Option<Arc<Queue>>, ViewError> {
        let queue = self.known(topic, id);
        queue.map(|queue| queue.load().map(|()| queue)).transpose()
    }

    /// The same, loaded or not.
    fn known(&self, topic: &str, id: i32) -> Option<Arc<Queue>> {
        let queues = self.topics.get(topic)?;
        let at = queues.binary_search_by_key(&id, |queue| queue.id()).ok()?;
        Some(queues[at].clone())
    }

    /// The queues of a topic, by id; those that cannot be loaded are left out.
    pub fn of(&self, topic: &str) -> Vec<Arc<Queue>> {
        self.known_of(topic).into_iter().filter(can_load).collect()
    }

    fn known_of(&self, topic: &str) -> Vec<Arc<Queue>> {
        self.topics.get(topic).map(|queues| queues.clone()).unwrap_or_default()
    }

    /// Every queue, in no order; those that cannot be loaded are left out.
    pub fn all(&self) -> Vec<Arc<Queue>> {
        self.known_all().into_iter().filter(can_load).collect()
    }

    /// Every queue, loaded or not, in no order.
    pub(super) fn known_all(&self) -> Vec<Arc<Queue>> {
        let mut all = Vec::new();
        for queues in &self.topics {
            all.extend_from_slice(queues.value());
        }
        all
    }

    /// Whether the directory of the queues is not there: the store is new, or somebody wants them
    /// built again. That there are no queues in it says neither: topics can be deleted.
    pub fn gone(&self) -> bool {
        !self.simple.root.exists()
    }

    /// Makes the directory of the queues: from now on it is missed when it is gone.
    pub fn make_directory(&self) -> Result<(), ViewError> {
        let root = &self.simple.root;
        let made = create_directories(root).and_then(|()| sync_directory(&self.root));
        made.map_err(|source| ViewError::io(root, "create", source))
    }

    /// Number of queues.
    pub fn len(&self) -> usize {
        self.topics.iter().map(|queues| queues.len()).sum()
    }

    /// Whether there is no queue.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The largest log position any loaded queue knows the end of a record at; -1 when none does.
    pub fn max_physical_offset(&self) -> i64 {
        let ends = self.topics.iter();
        let ends = ends.flat_map(|queues| queues.iter().map(|q| q.max_physical_offset()).max());
        ends.max().unwrap_or(-1)
    }

    /// Cuts units at the end of queues whose records are not theirs (`belongs` is asked topic, id
    /// and unit from the last unit backwards until it says yes). Java leaves such units behind a
    /// truncation. Returns the number cut.
    ///
    /// [`Unit::describes`] is what `belongs` should rest on.
    pub fn cut_foreign(
        &self,
        belongs: &dyn Fn(&str, i32, &Unit) -> bool,
    ) -> Result<usize, ViewError> {
        let mut units = 0;
        self.load_all()?;
        for queue in self.known_all() {
            let foreign =
                |unit: &Unit| !unit.is_filler() && !belongs(queue.topic(), queue.id(), unit);
            units += queue.cut_while(foreign)? as usize;
        }
        Ok(units)
    }

    /// Finds the end of the batch queues whose last units do not follow one another: `behind` reads
    /// from the log which offset follows upon the record of a unit.
    pub fn settle_ends(
        &self,
        behind: &dyn Fn(&str, i32, &Unit) -> Option<i64>,
    ) -> Result<(), ViewError> {
        self.known_all()
            .iter()
            .filter(|queue| queue.is_loaded())
            .try_for_each(|queue| queue.settle_end(behind))
    }

    /// Moves the first offset of every queue past records before `min_physical_offset`.
    pub fn correct_min_offsets(&self, min_physical_offset: i64) -> Result<(), ViewError> {
        if min_physical_offset <= 0 {
            return Ok(());
        }
        let correct = |queue: &Arc<Queue>| match queue.correct_min_later(min_physical_offset) {
            true => Ok(()),
            false => queue.correct_min(min_physical_offset),
        };
        self.known_all().iter().try_for_each(correct)
    }

    /// Gives the full files of records at `from` and behind, which a recovery has written again,
    /// the times that Java 4.x looks for. `time_of` reads the store time of the record at a
    /// position.
    pub fn date_files(
        &self,
        from: i64,
        time_of: &dyn Fn(i64) -> Option<i64>,
    ) -> Result<(), ViewError> {
        // What is not loaded has not been written again yet.
        let mut loaded = self.known_all().into_iter().filter(|queue| queue.is_loaded());
        loaded.try_for_each(|queue| queue.date_files(from, time_of))
    }

    /// Deletes files whose records are all before `min_physical_offset`, never the last one, and
    /// corrects the first offsets. Returns the number of files. Flush before records are deleted
    /// from the log: their units could not be built again, and a queue must have no gap.
    pub fn delete_expired(&self, min_physical_offset: i64) -> Result<usize, ViewError> {
        let mut files = 0;
        if min_physical_offset <= 0 {
            return Ok(files);
        }
        for queue in self.known_all() {
            queue.load()?;
            files += queue.delete_expired(min_physical_offset)?;
        }
        Ok(files)
    }

    /// Whether a record beyond the end of its queue is taken, with fillers before it. Not by
    /// default: it means that units are lost which the log may still have the records of. Java
    /// shifts the queue instead, so a log it wrote may have gaps that nothing can fill.
    pub fn fill_gaps(&self, fill: bool) {
        self.pending.set_fill_gaps(fill);
    }
}

impl Queues {
    /// Gives a record to its own queue, if it has one, and to no light queue.
    pub(crate) fn append(&self, request: &DispatchRequest<'_>) -> Result<(), ViewError> {
        if !request.has_unit() {
            return Ok(());
        }
        match self.known(request.topic, request.queue_id) {
            Some(queue) if queue.hold(request) => Ok(()),
            Some(queue) => queue.append(request),
            None => self.queue(request.topic, request.queue_id)?.append(request),
        }
    }

    /// Cuts the units of records that end behind a log position, in the queues of one topic.
    pub(crate) fn truncate_topic(
        &self,
        topic: &str,
        physical_offset: i64,
    ) -> Result<(), ViewError> {
        self.known_of(topic).iter().try_for_each(|queue| match queue.load() {
            // What it lacks is cut as well.
            Ok(()) | Err(ViewError::Gap { .. }) => queue.truncate_to(physical_offset),
            Err(error) => Err(error),
        })
    }
}

impl Dispatch for Queues {
    fn dispatch(&self, request: &DispatchRequest<'_>) -> Result<(), ViewError> {
        self.append(request)?;
        if self.light && request.has_unit() {
            for (name, offset) in request.light_places() {
                self.dispatch_light(&request.in_light_queue(name, offset))?;
            }
        }
        Ok(())
    }

    fn position(&self) -> i64 {
        self.max_physical_offset()
    }

    fn truncate_to(&self, physical_offset: i64) -> Result<(), ViewError> {
        at_once::for_each(&self.known_all(), |queue| match queue.cut_later(physical_offset) {
            true => Ok(()),
            false => queue.load().and_then(|()| queue.truncate_to(physical_offset)),
        })
    }
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queues").field("root", &self.root).field("len", &self.len()).finish()
    }
}

impl Drop for Queues {
    fn drop(&mut self) {
        // The lists and the queues hold each other.
        self.pending.take_active(usize::MAX);
        self.pending.take_unsynced();
    }
}

impl Queues {
    /// Gives a record to a light queue. What the record says of its offset is text from somewhere:
    /// a gap is closed up, as Java does, and what cannot be stays out.
    fn dispatch_light(&self, request: &DispatchRequest<'_>) -> Result<(), ViewError> {
        let queue = self.queue(request.topic, request.queue_id)?;
        let next = queue.next_offset();
        let queue_offset =
            if next > 0 { request.queue_offset.min(next) } else { request.queue_offset };
        match queue.append(&DispatchRequest { queue_offset, ..*request }) {
            Err(ViewError::Gap { topic, got, .. }) => {
                warn!(%topic, got, "no such offset in a light queue: passing over it");
                Ok(())
            }
            done => done,
        }
    }
}

fn can_load(queue: &Arc<Queue>) -> bool {
    let loaded = queue.load();
    if let Err(error) = &loaded {
        error!(topic = %queue.topic(), id = queue.id(), %error, "cannot load a queue");
    }
    loaded.is_ok()
}

/// A topic is the name of a directory: nothing may lead out of it.
pub(super) fn check_topic(topic: &str) -> Result<(), ViewError> {
    let illegal = topic.is_empty()
        || topic == "."
        || topic == ".."
        || topic.len() > 255
        || topic.bytes().any(|byte| byte == b'/' || byte == 0);
    if illegal { Err(ViewError::IllegalTopic { topic: topic.to_owned() }) } else { Ok(()) }
}

/// The directories in a directory, which holds nothing else; none if it is not there.
fn sub_directories(dir: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let list = |source| OpenError::io(dir, "list", source);
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(list)?,
    };
    let mut dirs = Vec::new();
    for entry in entries {
        let entry = entry.map_err(list)?;
        if !entry.file_type().map_err(list)?.is_dir() {
            return Err(damaged(&entry.path(), "a directory", "a file"));
        }
        dirs.push(entry.path());
    }
    Ok(dirs)
}

fn damaged(path: &Path, expected: &str, got: &str) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        offset: 0,
        expected: expected.to_owned(),
        got: got.to_owned(),
    }
}
