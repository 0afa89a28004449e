//! What a subscription wants of a topic: tags, or an SQL expression over the properties.
//!
//! A filter decides twice. By the tags code of a unit, without touching the record; then, only
//! for SQL, by the raw properties of the record. Both must agree. Whoever reads a queue for a
//! client goes through [`Broker::get`].

mod bloom;
mod registered;
mod sql;
mod tag;

use std::sync::Arc;

use remoting::protocol::message::Properties;
use remoting::protocol::message::properties::property;
use store::{GetRequest, Got, Wanted};

pub(crate) use registered::ConsumerFilters;
pub use sql::{Sql, SqlError};
pub(crate) use tag::TagFilter;

use crate::broker::Broker;
use crate::topics::group_of_retry_topic;

/// What a subscription wants.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    /// Messages with certain tags.
    Tags(TagFilter),
    /// Messages whose properties satisfy an expression.
    Sql(Arc<Sql>),
    /// Messages of a retry topic that satisfy what its group wants of their former topic.
    Retried(Arc<Retried>),
}

/// Filters retried messages by the expressions of their former topics.
#[derive(Debug)]
pub(crate) struct Retried {
    filters: Arc<ConsumerFilters>,
    group: String,
}

/// Why an expression is no filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FilterError {
    /// A tag expression made of bars only.
    #[error("a tag expression without tags")]
    NoTags,
    /// No SQL92.
    #[error("{0}")]
    Sql(#[from] SqlError),
    /// An expression of no known type.
    #[error("unknown expression type {0}")]
    Kind(String),
}

/// Whether an expression type stands for tags.
pub(crate) fn is_tag_type(kind: Option<&str>) -> bool {
    matches!(kind, None | Some("" | "TAG"))
}

impl Filter {
    /// Builds the filter of an expression and its type, as a request names them.
    pub(crate) fn parse(kind: Option<&str>, text: Option<&str>) -> Result<Filter, FilterError> {
        match kind {
            None | Some("" | "TAG") => {
                TagFilter::parse(text).map(Filter::Tags).map_err(|_| FilterError::NoTags)
            }
            Some("SQL92") => Ok(Filter::Sql(Sql::again(text.unwrap_or(""))?)),
            Some(other) => Err(FilterError::Kind(other.to_owned())),
        }
    }

    /// Wants every message.
    pub(crate) const ALL: Filter = Filter::Tags(TagFilter::All);

    /// Whether a message whose unit has this tags code may pass.
    pub(crate) fn matches_unit(&self, tags_code: i64) -> bool {
        match self {
            Filter::Tags(tags) => tags.matches(tags_code),
            Filter::Sql(_) | Filter::Retried(_) => true,
        }
    }

    /// Gets what the filter wants.
    fn want<T>(&self, get: impl FnOnce(Wanted<'_>) -> T) -> T {
        match self {
            Filter::Tags(TagFilter::All) => get(Wanted::Codes(&|_| true)),
            Filter::Tags(TagFilter::Hashes(hashes)) => get(Wanted::Tags(hashes)),
            Filter::Sql(sql) => get(Wanted::Records(&|properties| sql.matches(properties))),
            Filter::Retried(retried) => {
                get(Wanted::Records(&|properties| retried.matches(properties)))
            }
        }
    }

    /// Whether a message with these raw properties, which are UTF-8, passes.
    pub(crate) fn matches_properties(&self, properties: &[u8]) -> bool {
        match self {
            Filter::Tags(_) => true,
            Filter::Sql(sql) => sql.matches(properties),
            Filter::Retried(retried) => retried.matches(properties),
        }
    }
}

impl Retried {
    fn matches(&self, properties: &[u8]) -> bool {
        let text = str::from_utf8(properties).unwrap_or_default();
        let topic = Properties::new(text).get(property::RETRY_TOPIC);
        let registered = topic.and_then(|topic| self.filters.find(&self.group, topic));
        registered.is_none_or(|registered| registered.sql.matches(properties))
    }
}

impl Broker {
    /// Reads the messages of a queue that a filter wants.
    pub(crate) fn get(&self, request: &GetRequest<'_>, filter: &Filter) -> Got {
        filter.want(|wanted| self.store.get_wanted(request, wanted))
    }

    /// The same, without waiting for the log's disk: `None` if it would have to.
    pub(crate) fn get_at_once(&self, request: &GetRequest<'_>, filter: &Filter) -> Option<Got> {
        filter.want(|wanted| self.store.get_wanted_at_once(request, wanted))
    }

    /// The filter that stands for an expression when `topic` is read: with `filterSupportRetry`
    /// a retry topic is filtered by what its group wants of the former topics.
    pub(crate) fn sql_filter(&self, topic: &str, sql: Arc<Sql>) -> Filter {
        match group_of_retry_topic(topic) {
            Some(group) if self.live().filter_support_retry => {
                let filters = Arc::clone(&self.filters);
                Filter::Retried(Arc::new(Retried { filters, group: group.to_owned() }))
            }
            _ => Filter::Sql(sql),
        }
    }

    /// Lets the expressions of groups die that are gone; called every few seconds.
    pub(crate) fn tend_filters(&self, now_ms: i64) {
        let lives = |group: &str| self.consumers.with_group(group, |_| ()).is_some();
        self.filters.tend(now_ms, self.live().filter_data_clean_time_span, lives);
    }
}
