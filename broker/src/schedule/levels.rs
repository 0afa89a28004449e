//! The delay levels: `messageDelayLevel` is a list of delays, level 1 first.

/// The delays by level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Levels {
    delays_ms: Vec<i64>,
}

/// Why a list of levels cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("messageDelayLevel: `{part}` is no delay; write a number and one of s, m, h, d")]
pub struct LevelsError {
    part: String,
}

impl Levels {
    /// Parses delays like `1s 5s 2m 1h`.
    pub(crate) fn parse(text: &str) -> Result<Levels, LevelsError> {
        let delays: Option<Vec<i64>> = text.split_whitespace().map(delay_ms).collect();
        match delays {
            Some(delays_ms) if !delays_ms.is_empty() => Ok(Levels { delays_ms }),
            _ => {
                let wrong = text.split_whitespace().find(|part| delay_ms(part).is_none());
                Err(LevelsError { part: wrong.unwrap_or_default().to_owned() })
            }
        }
    }

    /// Returns the highest level.
    pub(crate) fn max(&self) -> i32 {
        i32::try_from(self.delays_ms.len()).unwrap_or(i32::MAX)
    }

    /// Returns the delay of the level that waits in a queue.
    pub(crate) fn delay_of_queue(&self, queue_id: usize) -> i64 {
        self.delays_ms.get(queue_id).copied().unwrap_or(0)
    }
}

fn delay_ms(part: &str) -> Option<i64> {
    let unit = part.chars().last()?;
    let number = part.get(..part.len() - unit.len_utf8())?;
    let number: i64 = number.parse().ok()?;
    let unit_ms = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit_ms).filter(|delay| *delay >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_levels_parse() {
        let levels =
            Levels::parse("1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h").unwrap();
        assert_eq!(levels.max(), 18);
        assert_eq!(levels.delay_of_queue(0), 1_000);
        assert_eq!(levels.delay_of_queue(17), 7_200_000);
        assert_eq!(levels.delay_of_queue(18), 0);
        assert_eq!(Levels::parse("2d").unwrap().delay_of_queue(0), 172_800_000);
    }

    #[test]
    fn other_texts_name_the_wrong_part() {
        for (text, part) in [("1s 5x", "5x"), ("s", "s"), ("1s -1m", "-1m"), ("", ""), ("1é", "1é")]
        {
            assert_eq!(Levels::parse(text), Err(LevelsError { part: part.to_owned() }), "{text}");
        }
        assert!(Levels::parse("9223372036854775807d").is_err());
    }
}
