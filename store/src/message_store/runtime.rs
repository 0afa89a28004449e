//! What the store tells about itself, under the names of Java's runtime information.

use std::path::PathBuf;

use super::MessageStore;
use crate::disk::DiskSpace;

impl MessageStore {
    /// Lines of the broker's runtime information that the store knows: key and value.
    pub fn runtime(&self) -> Vec<(String, String)> {
        let log = self.log();
        let mut lines = vec![
            ("commitLogMinOffset", log.min().to_string()),
            ("commitLogMaxOffset", log.end().to_string()),
            ("dispatchBehindBytes", self.dispatch_behind_bytes().to_string()),
            ("earliestMessageTimeStamp", self.earliest_log_time().to_string()),
            ("remainHowManyDataToFlush", (log.end() - self.flushed_offset()).to_string()),
            // Java's answers when there are no buffers ahead of the page cache.
            ("remainTransientStoreBufferNumbs", i32::MAX.to_string()),
            ("pageCacheLockTimeMills", "0".to_owned()),
            ("dispatchMaxBuffer", "0".to_owned()),
        ];
        let ratio = |space: &DiskSpace| format!("{:?}", space.used_ratio());
        let spaces = log.directories().iter();
        let spaces: Vec<_> =
            spaces.filter_map(|path| Some((path, DiskSpace::of(path).ok()?))).collect();
        // As retention does: the emptiest directory counts.
        if let Some((_, space)) = spaces.iter().min_by_key(|(_, space)| space.used_percent()) {
            lines.push(("commitLogDiskRatio", ratio(space)));
            let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
            let (total, free) = (gib(space.used + space.usable), gib(space.usable));
            let capacity = format!("Total : {total:.1} GiB, Free : {free:.1} GiB.");
            lines.push(("commitLogDirCapacity", capacity));
        }
        if let Ok(space) = DiskSpace::of(self.config().root()) {
            lines.push(("consumeQueueDiskRatio", ratio(&space)));
        }
        lines.extend(match &self.timer {
            Some(timer) => timer.runtime(self),
            None => crate::timer::Figures::default().named(),
        });
        let by_path = |(path, space): &(&PathBuf, DiskSpace)| {
            (format!("commitLogDiskRatio_{}", path.display()), ratio(space))
        };
        let lines = lines.into_iter().map(|(key, value)| (key.to_owned(), value));
        lines.chain(spaces.iter().map(by_path)).collect()
    }
}
