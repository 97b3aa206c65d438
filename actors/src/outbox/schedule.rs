//! When a message is tried again.
//!
//! The delays are those that Standard Webhooks recommends
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

const SECOND: u64 = 1;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Seconds before each further attempt.
const DELAYS: [u64; 9] = [
    5 * SECOND,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
];
/// The longest wait that a receiver may ask for.
const LONGEST: Duration = Duration::from_secs(24 * HOUR);
/// Delays differ by up to this part, so that receivers are not asked by all at once.
const JITTER: f64 = 0.1;

/// The delay after so many attempts; `None` if there are no more.
pub(super) fn delay(attempts: u32, retry_after: Option<Duration>) -> Option<Duration> {
    let delay = DELAYS.get(usize::try_from(attempts.checked_sub(1)?).ok()?)?;
    let delay = Duration::from_secs(*delay).mul_f64(1.0 + JITTER * fraction());
    let wanted = retry_after.unwrap_or_default().min(LONGEST);
    Some(delay.max(wanted))
}

/// A number from 0 to 1. The standard library gives each of these states random keys.
fn fraction() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    f64::from((random >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_attempts_take_three_days() {
        let mut total = Duration::ZERO;
        for attempts in 1..10 {
            total += delay(attempts, None).expect("one more");
        }
        assert_eq!(delay(10, None), None);
        assert_eq!(delay(0, None), None);
        let days = total.as_secs_f64() / 86400.0;
        assert!((3.1..3.5).contains(&days), "{days}");
    }

    #[test]
    fn delays_differ() {
        let delays: Vec<_> = (0..20).map(|_| delay(3, None).expect("one more")).collect();
        let (least, most) = (delays.iter().min(), delays.iter().max());
        assert_ne!(least, most);
        let range = Duration::from_secs(30 * MINUTE)..=Duration::from_secs(33 * MINUTE);
        assert!(delays.iter().all(|delay| range.contains(delay)));
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_but_not_for_ever() {
        let hour = Duration::from_secs(HOUR);
        assert_eq!(delay(1, Some(hour)), Some(hour));
        assert_eq!(delay(1, Some(1000 * hour)), Some(LONGEST));
        assert!(delay(4, Some(hour)).expect("one more") >= 2 * hour);
    }
}
