//! From a record to its views: the request every view understands.

/// What a view needs to know of a record.
#[derive(Clone, Copy, Debug)]
pub struct DispatchRequest<'a> {
    /// Topic of the record.
    pub topic: &'a str,
    /// Queue of the topic.
    pub queue_id: i32,
    /// Where the record starts in the log.
    pub physical_offset: i64,
    /// Its length.
    pub size: i32,
    /// Tags code of its unit.
    pub tags_code: i64,
    /// Its store time.
    pub store_timestamp: i64,
    /// Its offset in the queue.
    pub queue_offset: i64,
    /// System flag.
    pub sys_flag: i32,
    /// Raw properties.
    pub properties: &'a str,
    /// Messages in an inner batch, else 1.
    pub batch_size: i16,
}

/// A view of the log.
pub trait Dispatch {
    /// Adds a record to the view.
    fn dispatch(&self, request: &DispatchRequest<'_>) -> std::io::Result<()>;
    /// Log position up to which the view is complete.
    fn position(&self) -> i64;
    /// Forgets everything at and behind a log position.
    fn truncate_to(&self, physical_offset: i64) -> std::io::Result<()>;
}
