//! Reading ahead of those who read old parts of the log in their order.
//!
//! Readers near each other are one stream, whatever queues they read: together they read a part of
//! the log in about its order. A stream begins where somebody found that the disk must be waited
//! for. The more of it has been read without leaving much out, the further a thread of its own
//! fetches what follows, so that the next readers find it in memory. Who jumps around begins
//! streams that nobody follows, and nothing is fetched ahead of those.
//!
//! ```text
//! begin .......... front .......... ahead .......... front + min(front - begin, AHEAD_MAX)
//!        read             fetched          to be fetched, part by part
//! ```

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runtime::services::Stop;
use tracing::warn;

use super::CommitLog;
use super::loaded::CHUNK;
use crate::segment::Block;
use crate::watermark::Signal;

/// Streams at a time; the one that was read longest ago makes room for another.
const STREAMS_MAX: usize = 8;
/// Bytes that are fetched at a time.
const STEP: i64 = Block::PART_LEN as i64;
/// Bytes fetched ahead of the readers of a stream at most.
const AHEAD_MAX: i64 = 8 << 20;
/// A reader so far behind the first of a stream still belongs to it.
const BEHIND_MAX: i64 = 16 << 20;
/// Of a stream, at least one of so many bytes is read.
const SPARSE: i64 = 2;
/// So much that was in memory already ends a stream: what is there needs nobody who fetches it.
const IN_MEMORY_MAX: i64 = 32 << 20;
/// After so long with nothing to fetch the memory of the blocks is given back.
const IDLE: Duration = Duration::from_secs(10);
/// Stands for no end.
const FOREVER: Duration = Duration::from_secs(86_400);

/// The streams, and what wakes the thread that serves them.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    streams: Mutex<Streams>,
    signal: Signal,
}

/// What is read where.
#[derive(Debug, Default)]
struct Streams {
    streams: [Stream; STREAMS_MAX],
    clock: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    /// Where it began, or later: long ago does not count.
    begin: i64,
    /// End of what the first of its readers has read.
    front: i64,
    /// Bytes read since `begin`.
    read: i64,
    /// End of what was fetched.
    ahead: i64,
    /// Bytes before that which were in memory already.
    in_memory: i64,
    used: u64,
}

impl ReadAhead {
    /// Notes that a range of old data is read, `cold` if it is not in memory; true where what
    /// follows is fetched ahead. Nobody knows, and nothing is noted, if that would have to wait
    /// for others `at_once`.
    pub(super) fn note(&self, range: Range<i64>, cold: bool, at_once: bool) -> bool {
        let streams = match at_once {
            true => self.streams.try_lock().ok(),
            false => Some(self.streams()),
        };
        let Some(mut streams) = streams else { return false };
        let (followed, wanted) = streams.note(range, cold);
        drop(streams);
        if wanted {
            self.signal.give();
        }
        followed
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        // A panic leaves numbers that lead to no worse than useless reads.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CommitLog {
    /// Fetches what readers will want, until told to stop: on this thread, and on one more.
    pub fn read_ahead_until(self: &Arc<Self>, stop: &Stop) {
        let log = Arc::clone(self);
        stop.on_trigger(move || log.read_ahead.signal.give());
        std::thread::scope(|scope| {
            let helper = std::thread::Builder::new().name("read-ahead-2".to_owned());
            if let Err(error) = helper.spawn_scoped(scope, || self.fetch_until(stop)) {
                warn!(%error, "the log is read ahead by one thread");
            }
            self.fetch_until(stop);
        });
    }

    fn fetch_until(&self, stop: &Stop) {
        while !stop.stopped() {
            let step = self.read_ahead.streams().step(self.end(), |at| self.part_end(at));
            let read = self.blocks.count();
            match step {
                Some(range) => {
                    let fetched = self.fetch(&range);
                    self.read_ahead.streams().fetched(&range, fetched);
                }
                None if self.read_ahead.signal.take(IDLE) || self.blocks.count() != read => {}
                None => {
                    self.blocks.give_back();
                    self.read_ahead.signal.take(FOREVER);
                }
            }
        }
        // A signal wakes one of the two.
        self.read_ahead.signal.give();
    }

    /// Brings a range of one part into memory; false if it was there.
    fn fetch(&self, range: &Range<i64>) -> bool {
        let Some(segment) = self.segment_at(range.start) else { return false };
        if segment.is_resident(range) {
            return false;
        }
        if self.read_block(&segment, range.start).is_some() {
            return true;
        }
        let mut at = range.start;
        while at < range.end && !self.is_recent(&segment, at) {
            let end = range.end.min((at / CHUNK + 1) * CHUNK);
            // Not by advice to read it all: the system takes its smallest pages then. Where it
            // cannot be read, whoever needs it says what that means.
            if segment.fetch(&(at..end), true) {
                self.lately_read.note((at + CHUNK - 1) / CHUNK..end / CHUNK);
            }
            at = end;
            // Who has a core to itself else runs on for milliseconds, while requests wait.
            std::thread::yield_now();
        }
        true
    }
}

impl Streams {
    /// Notes what is read: whether what follows is fetched ahead, and whether some is to be.
    fn note(&mut self, range: Range<i64>, cold: bool) -> (bool, bool) {
        self.clock += 1;
        let clock = self.clock;
        let of = |stream: &&mut Stream| stream.used > 0 && stream.holds(range.start);
        if let Some(stream) = self.streams.iter_mut().find(of) {
            stream.used = clock;
            stream.go_on(&range);
            return (stream.followed(), stream.wants());
        }
        // What is in memory needs nobody who fetches it.
        if cold && let Some(oldest) = self.streams.iter_mut().min_by_key(|stream| stream.used) {
            let (begin, front) = (range.start, range.end);
            let read = front - begin;
            *oldest = Stream { begin, front, read, ahead: front, in_memory: 0, used: clock };
        }
        (false, false)
    }

    /// Takes the next range to fetch, to the end of its part: of the stream whose readers come
    /// nearest to the end of what was fetched.
    fn step(&mut self, log_end: i64, part_end: impl Fn(i64) -> i64) -> Option<Range<i64>> {
        let wanting = |stream: &&mut Stream| stream.wants() && part_end(stream.ahead) <= log_end;
        let streams = self.streams.iter_mut().filter(wanting);
        let stream = streams.min_by_key(|stream| stream.ahead - stream.front)?;
        let range = stream.ahead..part_end(stream.ahead);
        stream.ahead = range.end;
        Some(range)
    }

    /// Notes whether a range that was taken had to be fetched.
    fn fetched(&mut self, range: &Range<i64>, fetched: bool) {
        let of = |stream: &&mut Stream| stream.used > 0 && stream.holds(range.start);
        let Some(stream) = self.streams.iter_mut().find(of) else { return };
        stream.in_memory = if fetched { 0 } else { stream.in_memory + (range.end - range.start) };
        if stream.in_memory >= IN_MEMORY_MAX {
            *stream = Stream::default();
        }
    }
}

impl Stream {
    fn holds(&self, position: i64) -> bool {
        (self.front - BEHIND_MAX..self.ahead + STEP).contains(&position)
    }

    fn go_on(&mut self, range: &Range<i64>) {
        self.read += range.end - range.start;
        self.front = self.front.max(range.end);
        self.ahead = self.ahead.max(self.front);
        if self.front - self.begin > 2 * AHEAD_MAX {
            self.begin = self.front - AHEAD_MAX;
            self.read /= 2;
        }
    }

    /// Whether its readers leave little out, and have gone on for long enough to tell.
    fn followed(&self) -> bool {
        let passed = self.front - self.begin;
        passed >= STEP && self.read.saturating_mul(SPARSE) >= passed
    }

    /// Whether more is to be fetched.
    fn wants(&self) -> bool {
        let most = self.front + (self.front - self.begin).min(AHEAD_MAX);
        self.followed() && self.ahead + STEP <= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreConfig;
    use crate::commit_log::tests::{config, forget, fresh};

    const LOG_END: i64 = 1 << 40;

    /// Parts as of one very long file.
    fn part_end(position: i64) -> i64 {
        (position / STEP + 1) * STEP
    }

    /// Reads chunks, of which those behind what was fetched are cold; returns what was fetched.
    fn read(streams: &mut Streams, positions: impl IntoIterator<Item = i64>) -> Vec<Range<i64>> {
        let mut fetched: Vec<Range<i64>> = Vec::new();
        for position in positions {
            let range = position..position + CHUNK;
            let cold = !fetched.iter().any(|it| it.start <= range.start && range.end <= it.end);
            if streams.note(range, cold).1 {
                fetched.extend(std::iter::from_fn(|| streams.step(LOG_END, part_end)));
            }
        }
        fetched
    }

    #[test]
    fn what_is_fetched_is_known_chunk_by_chunk_wherever_it_begins() {
        let directory = tempfile::tempdir().unwrap();
        let log = fresh(&StoreConfig {
            mapped_file_size_commit_log: 1 << 20,
            ..config(directory.path())
        });
        let mut append = log.lock().unwrap();
        append.place(10 * CHUNK as usize).unwrap();
        append.write(&vec![1; 10 * CHUNK as usize], 0).unwrap();
        drop(append);
        // As another run finds it, of which no memory holds anything.
        let file = log.segments()[0].clone();
        file.publish(file.size());
        file.sync().unwrap();
        let old = CommitLog::view(&[directory.path().join("commitlog")]).unwrap();
        drop((file, log));
        let file = old.segments()[0].clone();
        forget(&old);
        // The page cache has it the second time only.
        file.passes(0);
        assert!(old.fetch(&(100..9 * CHUNK + 100)));
        assert!(old.lately_read.all(1..9));
        assert!(!old.lately_read.all(0..1) && !old.lately_read.all(9..10), "in part only");
    }

    #[test]
    fn both_threads_end_when_told_to() {
        let directory = tempfile::tempdir().unwrap();
        let log = Arc::new(fresh(&config(directory.path())));
        let stop = Stop::new();
        let reader = std::thread::spawn({
            let (log, stop) = (Arc::clone(&log), stop.clone());
            move || log.read_ahead_until(&stop)
        });
        std::thread::sleep(Duration::from_millis(20));
        stop.trigger();
        reader.join().unwrap();
    }

    #[test]
    fn who_reads_on_finds_what_follows_fetched() {
        let begin = 1000 * STEP;
        let fetched = read(&mut Streams::default(), (0..1024).map(|at| begin + at * CHUNK));
        let front = begin + 1024 * CHUNK;
        let first = begin + STEP..begin + 2 * STEP;
        assert_eq!(fetched[0], first, "as much must have been read before");
        assert!(fetched.windows(2).all(|pair| pair[0].end == pair[1].start), "nothing twice");
        let ahead = fetched.last().unwrap().end - front;
        assert!((AHEAD_MAX - STEP..=AHEAD_MAX).contains(&ahead), "{ahead}");
    }

    #[test]
    fn readers_of_several_queues_are_one_stream() {
        // Each passes over what the others read; one is behind.
        let behind = 200 * CHUNK;
        let positions = (0..1024).flat_map(|at| [at * CHUNK * 2, at * CHUNK * 2 + CHUNK]);
        let positions = positions.flat_map(|at| [at, (at - behind).max(0)]);
        let fetched = read(&mut Streams::default(), positions);
        assert!(fetched.windows(2).all(|pair| pair[0].end == pair[1].start), "nothing twice");
        assert!(fetched.last().unwrap().end > 2048 * CHUNK);
    }

    #[test]
    fn nothing_is_fetched_ahead_of_who_jumps_around() {
        let mut place = 1_u64;
        let positions = std::iter::repeat_with(|| {
            place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (place >> 26).cast_signed()
        });
        assert_eq!(read(&mut Streams::default(), positions.take(10_000)), []);
    }

    #[test]
    fn nor_of_who_reads_little_of_the_log() {
        let positions = (0..1000).map(|at| at * 4 * CHUNK);
        assert_eq!(read(&mut Streams::default(), positions), []);
    }

    #[test]
    fn nor_of_who_reads_what_is_in_memory() {
        let mut streams = Streams::default();
        for at in 0..1000 {
            assert_eq!(streams.note(at * CHUNK..(at + 1) * CHUNK, false), (false, false));
        }
        assert_eq!(streams.step(LOG_END, part_end), None);
    }

    #[test]
    fn a_stream_ends_where_everything_is_in_memory() {
        let mut streams = Streams::default();
        let positions: Vec<i64> = (0..2048).map(|at| at * CHUNK).collect();
        let mut fetched = 0;
        for (nth, position) in positions.into_iter().enumerate() {
            streams.note(position..position + CHUNK, nth == 0);
            while let Some(range) = streams.step(LOG_END, part_end) {
                // Up to 20 MiB the disk has it.
                let cold = range.start < 20 << 20;
                streams.fetched(&range, cold);
                fetched = range.end;
            }
        }
        assert!((50 << 20..60 << 20).contains(&fetched), "{fetched}");
        assert_eq!(streams.note(0..CHUNK, false), (false, false), "forgotten");
    }

    #[test]
    fn streams_are_as_few_as_said_and_the_log_ends() {
        let mut streams = Streams::default();
        let begin_of = |stream: i64| stream << 32;
        let many = STREAMS_MAX as i64;
        for at in 0..1024 {
            for stream in 0..many {
                let begin = begin_of(stream) + at * CHUNK;
                streams.note(begin..begin + CHUNK, true);
            }
        }
        let mut bytes = 0;
        while let Some(range) = streams.step(LOG_END, part_end) {
            bytes += range.end - range.start;
        }
        assert!(bytes <= many * AHEAD_MAX, "{bytes}");
        assert!(bytes >= many * (AHEAD_MAX - STEP), "{bytes}");
        let front = begin_of(0) + 1024 * CHUNK;
        streams.note(front..front + STEP, false);
        assert_eq!(
            streams.step(front + AHEAD_MAX / 2, part_end),
            None,
            "nothing behind the end of the log"
        );
        streams.note(begin_of(many)..begin_of(many) + CHUNK, true);
        let begins = streams.streams.map(|stream| stream.begin >> 32);
        assert!(!begins.contains(&1) && begins.contains(&many), "the oldest made room: {begins:?}");
    }
}
