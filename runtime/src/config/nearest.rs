//! Finds the key someone meant when a key is not known.

/// The candidate that takes the fewest edits, if it is near enough to be meant.
///
/// Letter case counts nothing; one edit is allowed per four letters, and two always.
#[must_use]
pub fn nearest<'a>(key: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<u8> = key.bytes().map(|byte| byte.to_ascii_lowercase()).collect();
    let mut limit = (wanted.len() / 4).max(2) + 1;
    let mut best = None;
    for candidate in candidates {
        if candidate.len().abs_diff(wanted.len()) >= limit {
            continue;
        }
        let edits = distance(&wanted, candidate.as_bytes());
        if edits < limit {
            limit = edits;
            best = Some(candidate);
        }
    }
    best
}

/// Edits between the two: insertions, deletions, replacements and swaps of neighbours.
fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (row, &left) in from.iter().enumerate() {
        let mut line = Vec::with_capacity(to.len() + 1);
        line.push(row + 1);
        for (column, &right) in to.iter().enumerate() {
            let right = right.to_ascii_lowercase();
            let replaced = above[column] + usize::from(left != right);
            let mut edits = replaced.min(above[column + 1] + 1).min(line[column] + 1);
            if row > 0
                && column > 0
                && left == to[column - 1].to_ascii_lowercase()
                && from[row - 1] == right
            {
                edits = edits.min(before[column - 1] + 1);
            }
            line.push(edits);
        }
        before = std::mem::replace(&mut above, line);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn counts_edits() {
        assert_eq!(distance(b"", b"abc"), 3);
        assert_eq!(distance(b"abc", b"abc"), 0);
        assert_eq!(distance(b"abc", b"ABC"), 0);
        assert_eq!(distance(b"abc", b"acb"), 1);
        assert_eq!(distance(b"kitten", b"sitting"), 3);
    }

    #[test]
    fn finds_what_was_meant() {
        let keys = ["listenPort", "brokerName", "flushDiskType"];
        assert_eq!(nearest("listenport", keys), Some("listenPort"));
        assert_eq!(nearest("brokerNmae", keys), Some("brokerName"));
        assert_eq!(nearest("flushDiskTyp", keys), Some("flushDiskType"));
        assert_eq!(nearest("somethingElse", keys), None);
        assert_eq!(nearest("", keys), None);
    }
}
