//! Moments in the life of a store at which a kill is worth a test: each is named here, and passed
//! in one place of the code.

macro_rules! points {
    ($($point:ident $name:literal $when:literal;)*) => {
        /// A moment at which the process can be told to kill itself.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Point {
            $(#[doc = $when] $point,)*
        }

        impl Point {
            /// All of them, with the name of each and when it is passed.
            pub const ALL: &[(Point, &'static str, &'static str)] =
                &[$((Point::$point, $name, $when),)*];
        }
    };
}

points! {
    Appended "appended" "a record is in the log, its unit in no queue";
    UnitAppended "unit-appended" "a record is in its queue's buffer, not in the index";
    TailWritten "tail-written" "the buffer of a queue is in its file";
    EntriesWritten "entries-written" "the entries of the index are in its file, its header not";
    LogSynced "log-synced" "for the checkpoint, the log is on disk, the queues are not";
    QueuesSynced "queues-synced" "log and queues are on disk, the checkpoint does not say so";
    CheckpointWritten "checkpoint-written" "the checkpoint is written, not synced";
    SegmentCreated "segment-created" "the next log file is there and empty";
    SegmentSized "segment-sized" "the next log file has its length, its name is not on disk";
    SegmentAdded "segment-added" "the next log file is ready, the former one has no end";
    SegmentFilled "segment-filled" "the former log file has its end, the next one is unused";
    JsonWritten "json-written" "a file of config/ is written beside its place, not synced";
    JsonSynced "json-synced" "it is on disk there";
    JsonMoved "json-moved" "the former generation is .bak, the new one not in its place";
    JsonRenamed "json-renamed" "it is in its place, the names are not on disk";
    JsonAdded "json-added" "entries are added to a file of config/ where it stands, not synced";
    LogFileDeleted "log-file-deleted" "an expired log file is gone, its units are there";
    QueueFileDeleted "queue-file-deleted" "an expired file of a queue is gone";
    QueuesCut "queues-cut" "a start has cut the queues and built them again, the log is uncut";
    TailZeroed "tail-zeroed" "a start has zeroed the tail of the log, not synced";
    LogCut "log-cut" "a start has cut the log, the checkpoint does not say so";
    TimerLogSynced "timer-log-synced" "the units of the timer are on disk, its wheel is not";
    WheelWritten "wheel-written" "the wheel is written, not synced";
    WheelSynced "wheel-synced" "the wheel is on disk, the timer's check is not";
    TimerCheckWritten "timer-check-written" "the timer's check is written, not synced";
    TimerDelivered "timer-delivered" "a timer message is in its topic, its unit is not undone";
    HalfCommitted "half-committed" "a committed message is in its topic, no op message says so";
    OpWritten "op-written" "the op message is there, progress is not";
}
