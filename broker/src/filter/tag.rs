//! Tag filters: which units of a consume queue a subscription wants.
//!
//! A filter compares hashes of tags and may let a foreign tag with the same hash through; clients
//! compare the text again. A heartbeat brings its own hashes, since Go hashes bytes where Java
//! hashes UTF-16 units; an expression inside a request is hashed here as Java does.

use remoting::protocol::message::hash::java_string_hash;
use smallvec::SmallVec;

/// The tags a subscription asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TagFilter {
    /// Every message.
    All,
    /// Messages whose tag hash is listed; an empty list matches nothing.
    Hashes(SmallVec<[i32; 8]>),
}

/// A tag expression made of bars only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoTags;

impl TagFilter {
    /// Parses `a || b`; nothing, `""` and `*` stand for every message.
    pub(crate) fn parse(expression: Option<&str>) -> Result<TagFilter, NoTags> {
        let text = match expression {
            None | Some("" | "*") => return Ok(TagFilter::All),
            Some(text) => text,
        };
        let tags = text.split("||").map(str::trim).filter(|tag| !tag.is_empty());
        let hashes: SmallVec<[i32; 8]> = tags.map(java_string_hash).collect();
        // Java quirk: bars alone are an error, blanks between them a filter that matches nothing
        // (`bars_alone_are_an_error_and_blanks_match_nothing`).
        if hashes.is_empty() && text.split("||").all(str::is_empty) {
            return Err(NoTags);
        }
        Ok(TagFilter::Hashes(hashes))
    }

    /// Tells whether a unit with this tags code passes.
    pub(crate) fn matches(&self, tags_code: i64) -> bool {
        match self {
            TagFilter::All => true,
            TagFilter::Hashes(hashes) => store::has_tag(hashes, tags_code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(tag: &str) -> i64 {
        i64::from(java_string_hash(tag))
    }

    #[test]
    fn nothing_and_star_match_everything() {
        for expression in [None, Some(""), Some("*")] {
            let filter = TagFilter::parse(expression).unwrap();
            assert!(filter.matches(0) && filter.matches(code("a")), "{expression:?}");
        }
    }

    #[test]
    fn listed_tags_match_and_others_do_not() {
        let filter = TagFilter::parse(Some(" a ||bb|| ")).unwrap();
        assert!(filter.matches(code("a")) && filter.matches(code("bb")));
        assert!(!filter.matches(code("c")) && !filter.matches(0));
    }

    #[test]
    fn a_negative_hash_matches_its_sign_extension() {
        let tag = "polygenelubricants";
        assert!(java_string_hash(tag) < 0, "choose another tag");
        assert!(TagFilter::parse(Some(tag)).unwrap().matches(code(tag)));
    }

    #[test]
    fn bars_alone_are_an_error_and_blanks_match_nothing() {
        assert_eq!(TagFilter::parse(Some("||")), Err(NoTags));
        assert_eq!(TagFilter::parse(Some("||||")), Err(NoTags));
        assert!(!TagFilter::parse(Some(" || ")).unwrap().matches(0));
        assert!(!TagFilter::parse(Some("  ")).unwrap().matches(0));
    }
}
