//! What the store tells about itself, under the names of Java's runtime information.

use super::MessageStore;
use crate::disk::DiskSpace;

impl MessageStore {
    /// Lines of the broker's runtime information that the store knows: key and value.
    pub fn runtime(&self) -> Vec<(&'static str, String)> {
        let log = self.log();
        let mut lines = vec![
            ("commitLogMinOffset", log.min().to_string()),
            ("commitLogMaxOffset", log.end().to_string()),
            ("dispatchBehindBytes", self.dispatch_behind_bytes().to_string()),
            ("earliestMessageTimeStamp", self.earliest_log_time().to_string()),
            ("remainHowManyDataToFlush", (log.end() - self.flushed_offset()).to_string()),
            // Java's answers when there are no buffers ahead of the page cache.
            ("remainHowManyDataToCommit", "0".to_owned()),
            ("remainTransientStoreBufferNumbs", i32::MAX.to_string()),
            ("pageCacheLockTimeMills", "0".to_owned()),
            ("dispatchMaxBuffer", "0".to_owned()),
        ];
        let ratio = |space: &DiskSpace| format!("{:?}", space.used_ratio());
        let spaces = log.directories().iter().filter_map(|path| DiskSpace::of(path).ok());
        // As retention does: the emptiest directory counts.
        if let Some(space) = spaces.min_by_key(DiskSpace::used_percent) {
            lines.push(("commitLogDiskRatio", ratio(&space)));
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
        lines
    }
}
