//! How often, and after how long, something is tried again.

use std::time::Duration;

use crate::error::Error;

/// Attempts after the first one, with delays that double.
///
/// An attempt counts until the server has answered a message: connections that break again and
/// again before that use up the attempts.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// How many. 6 by default.
    pub attempts: u32,
    /// The delay before the first of them. Half a second by default.
    pub first: Duration,
    /// The longest delay, 30 s by default. A server that asks for a longer one is not asked again.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 6,
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
        }
    }
}

impl Retry {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.first.is_zero() || self.first > self.longest {
            return Err(Error::InvalidArgument(
                "the first delay must be more than 0, and at most the longest".to_owned(),
            ));
        }
        Ok(())
    }

    /// How long to wait before attempt 1, 2, ...; none if it must not be made.
    pub(crate) fn delay(&self, attempt: u32, wanted: Option<Duration>) -> Option<Duration> {
        let wanted = wanted.unwrap_or_default();
        if attempt > self.attempts || wanted > self.longest {
            return None;
        }
        let doubled = self
            .first
            .saturating_mul(1 << attempt.saturating_sub(1).min(30));
        // Clients that a server has disconnected together must not return together.
        let spread = doubled
            .min(self.longest)
            .mul_f64(0.5 + 0.5 * fastrand::f64());
        Some(spread.max(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_limit() {
        let retry = Retry {
            attempts: 40,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(10),
        };
        for (attempt, most) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (40, 10)] {
            let delay = retry.delay(attempt, None).unwrap();
            let most = Duration::from_secs(most);
            assert!(most / 2 <= delay && delay <= most, "{attempt}: {delay:?}");
        }
        assert!(retry.delay(41, None).is_none());
    }

    #[test]
    fn the_server_may_ask_for_more_but_not_for_too_much() {
        let retry = Retry::default();
        retry.check().unwrap();
        let asked = Duration::from_secs(20);
        assert_eq!(retry.delay(1, Some(asked)), Some(asked));
        assert!(retry.delay(1, Some(Duration::from_secs(31))).is_none());
    }
}
