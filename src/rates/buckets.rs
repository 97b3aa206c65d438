//! The buckets of one client.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use thiserror::Error;

use super::{LONGEST_PAUSE, Limits};
use crate::metrics::RateMetrics;

/// A body pays for its bytes in parts, of which so many fit the longest pause: that many bodies can wait
/// for each other.
const PARTS: u32 = 16;

/// The client does something too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too many {what} {whose}; wait {seconds} s")]
pub struct TooFast {
    what: &'static str,
    whose: &'static str,
    /// Until it may go on.
    pub seconds: u64,
}

/// What one client may do.
#[derive(Debug)]
pub struct Buckets {
    requests: Option<Bucket>,
    sessions: Option<Bucket>,
    messages: Option<Bucket>,
    kibibytes: Option<Bucket>,
    /// Who the client is, for a text: `from this address`.
    whose: &'static str,
    metrics: RateMetrics,
    since: Instant,
    /// Milliseconds since `since` of the last use.
    used: AtomicU64,
}

impl Buckets {
    /// Full buckets. A text about a refusal says `whose` they are.
    pub(super) fn new(limits: Limits, whose: &'static str, metrics: RateMetrics) -> Self {
        let bucket =
            |rate: Option<f64>, seconds, pause| rate.map(|rate| Bucket::new(rate, seconds, pause));
        let sessions_per_second = limits.sessions_per_minute.map(|rate| rate / 60.0);
        let kibibytes_per_second = limits.mib_per_second.map(|rate| rate * 1024.0);
        Self {
            requests: bucket(limits.requests_per_second, 20.0, Duration::ZERO),
            sessions: bucket(sessions_per_second, 60.0, Duration::ZERO),
            messages: bucket(limits.messages_per_second, 10.0, LONGEST_PAUSE),
            kibibytes: bucket(kibibytes_per_second, 10.0, LONGEST_PAUSE),
            whose,
            metrics,
            since: Instant::now(),
            used: AtomicU64::new(0),
        }
    }

    /// Buckets that are never empty.
    #[cfg(test)]
    pub fn unlimited() -> Self {
        let metrics = RateMetrics::new(&Default::default()).expect("the names are free");
        Self::new(Limits::NONE, "", metrics)
    }

    /// Takes one request.
    ///
    /// # Errors
    /// [`TooFast`] if there is none left.
    pub fn request(&self) -> Result<(), TooFast> {
        self.take(self.requests.as_ref(), "requests", 1).map(drop)
    }

    /// Takes one new session.
    ///
    /// # Errors
    /// [`TooFast`] if there is none left.
    pub fn session(&self) -> Result<(), TooFast> {
        self.take(self.sessions.as_ref(), "new sessions", 1)
            .map(drop)
    }

    /// Takes a message of a socket. Returns how long to wait before the next one is read.
    ///
    /// # Errors
    /// [`TooFast`] if that were too long. Nothing more is to be read from the socket then.
    pub fn message(&self, bytes: usize) -> Result<Duration, TooFast> {
        let pause = self.take(self.messages.as_ref(), "messages", 1)?;
        let bytes = self.take(self.kibibytes.as_ref(), "bytes", kibibytes(bytes))?;
        Ok(pause.max(bytes))
    }

    /// Waits after bytes of a body until the next ones may be read.
    ///
    /// # Errors
    /// [`TooFast`] if so many bodies are read at the same time that this one would wait for too long.
    pub async fn after_bytes(&self, bytes: usize) -> Result<(), TooFast> {
        let Some(bucket) = &self.kibibytes else {
            return Ok(());
        };
        let mut left = kibibytes(bytes);
        while left > 0 {
            let part = left.min((bucket.credit / PARTS).max(1));
            let pause = self.take(Some(bucket), "bytes", part)?;
            // Even the shortest sleep lasts until the next tick of the timer.
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            left -= part;
        }
        Ok(())
    }

    /// Takes some. Returns how long to wait before the next are taken.
    fn take(
        &self,
        bucket: Option<&Bucket>,
        what: &'static str,
        count: u32,
    ) -> Result<Duration, TooFast> {
        self.touch();
        let Some(bucket) = bucket else {
            return Ok(Duration::ZERO);
        };
        match bucket.take(count) {
            Ok(pause) => {
                if !pause.is_zero() {
                    self.metrics.paused(what);
                }
                Ok(pause)
            }
            Err(wait) => {
                self.metrics.refused(what);
                Err(TooFast {
                    what,
                    whose: self.whose,
                    seconds: wait.as_secs_f64().ceil().max(1.0) as u64,
                })
            }
        }
    }

    fn touch(&self) {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used.store(now, Ordering::Relaxed);
    }

    /// The time after which all buckets are full without use.
    pub fn fill_time(&self) -> Duration {
        let all = [
            &self.requests,
            &self.sessions,
            &self.messages,
            &self.kibibytes,
        ];
        let times = all.into_iter().flatten().map(Bucket::fill_time);
        times.max().unwrap_or_default()
    }

    /// The time since something was taken.
    pub fn unused_for(&self) -> Duration {
        let used = Duration::from_millis(self.used.load(Ordering::Relaxed));
        self.since.elapsed().saturating_sub(used)
    }
}

/// Each message and each piece of a body counts as one KiB at least.
fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX)
}

/// A bucket that is filled at a steady rate. Some may be taken before they are there: who takes them
/// pauses until they are.
#[derive(Debug)]
struct Bucket {
    limiter: RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>,
    /// What may be taken before it is there.
    credit: u32,
    /// The most that can be taken, with the credit.
    most: NonZeroU32,
    /// The time in which one more comes.
    period: Duration,
}

impl Bucket {
    /// A full bucket of what comes in so many seconds; its credit is what comes in the longest pause.
    fn new(per_second: f64, seconds: f64, pause: Duration) -> Self {
        // The library counts in nanoseconds.
        let period = Duration::from_secs_f64((1.0 / per_second).clamp(1e-9, 1e9));
        let half = f64::from(u32::MAX / 2);
        let size = (per_second * seconds).clamp(1.0, half) as u32;
        let credit = (per_second * pause.as_secs_f64()).min(half) as u32;
        let most = NonZeroU32::new(size + credit).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(period)
            .unwrap_or(Quota::per_second(NonZeroU32::MAX))
            .allow_burst(most);
        Self {
            limiter: RateLimiter::direct(quota).with_middleware(),
            credit,
            most,
            period,
        }
    }

    /// From empty to full.
    fn fill_time(&self) -> Duration {
        self.period.saturating_mul(self.most.get())
    }

    /// Takes some, or all that the bucket can hold if that is less. Returns how long to pause afterwards.
    ///
    /// # Errors
    /// If the pause were too long: the time until they can be taken.
    fn take(&self, count: u32) -> Result<Duration, Duration> {
        let count = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        match self.limiter.check_n(count.min(self.most)) {
            Ok(Ok(state)) => {
                let missing = self.credit.saturating_sub(state.remaining_burst_capacity());
                // The period is rounded.
                Ok(self.period.saturating_mul(missing).min(LONGEST_PAUSE))
            }
            Ok(Err(early)) => Err(early.wait_time_from(DefaultClock::default().now())),
            // The bucket is never asked for more than it holds.
            Err(_) => Ok(Duration::ZERO),
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::super::RateOptions;
    use super::*;

    fn buckets(change: impl FnOnce(&mut RateOptions), here: bool) -> Buckets {
        let mut options = RateOptions::default();
        change(&mut options);
        let metrics = RateMetrics::new(&Registry::new()).expect("names are free");
        let limits = match here {
            true => options.of_this_machine(),
            false => options.of_address(),
        };
        Buckets::new(limits, "from this address", metrics)
    }

    #[test]
    fn a_burst_is_allowed_and_more_is_not() {
        let buckets = buckets(
            |options| options.max_new_sessions_per_minute = Some(0.5),
            true,
        );
        assert_eq!(buckets.session(), Ok(()));
        let refused = buckets.session().expect_err("one every two minutes");
        assert!((60..=120).contains(&refused.seconds), "{refused}");
        let text = refused.to_string();
        assert!(
            text.starts_with("too many new sessions from this address"),
            "{text}"
        );
        assert_eq!(buckets.request(), Ok(()));
    }

    #[test]
    fn the_slowest_bucket_says_when_all_are_full() {
        let usual = buckets(|_| (), false);
        assert_eq!(usual.fill_time().as_secs(), 60);
        let slow = buckets(
            |options| options.max_new_sessions_per_minute = Some(0.5),
            false,
        );
        assert_eq!(slow.fill_time().as_secs(), 120);
        assert_eq!(buckets(|_| (), true).fill_time(), Duration::ZERO);
    }

    #[test]
    fn this_machine_has_only_the_limits_that_the_operator_chose() {
        let exempt = buckets(|_| (), true);
        let others = buckets(|_| (), false);
        let most = |buckets: &Buckets| (0..4000).filter(|_| buckets.request().is_ok()).count();
        assert_eq!(most(&exempt), 4000);
        assert!((2000..4000).contains(&most(&others)));
    }

    #[test]
    fn what_is_taken_on_credit_is_waited_for_and_no_more_can_be() {
        // 100 at once, and 100 on credit.
        let limited = buckets(|options| options.max_messages_per_second = Some(10.0), true);
        for _ in 0..100 {
            assert_eq!(limited.message(1), Ok(Duration::ZERO));
        }
        let mut longest = Duration::ZERO;
        let refused = loop {
            match limited.message(1) {
                Ok(pause) => longest = longest.max(pause),
                Err(refused) => break refused,
            }
        };
        assert!(longest > LONGEST_PAUSE / 2 && longest <= LONGEST_PAUSE);
        assert_eq!(
            refused.to_string(),
            "too many messages from this address; wait 1 s"
        );
        assert!(limited.metrics.pauses("messages") >= 90);
        // A limit that allows less than one in the longest pause has no credit.
        let slow = buckets(|options| options.max_messages_per_second = Some(0.05), true);
        assert_eq!(slow.message(1), Ok(Duration::ZERO));
        let refused = slow.message(1).expect_err("one in 20 s");
        assert!((10..=20).contains(&refused.seconds), "{refused}");
    }

    #[test]
    fn a_message_larger_than_the_bucket_needs_all_of_it() {
        // 1000 MiB at once, and 1000 on credit.
        let limited = buckets(
            |options| options.max_upload_mb_per_second = Some(100.0),
            true,
        );
        let pause = limited.message(usize::MAX).expect("it is full");
        assert!(pause > LONGEST_PAUSE * 9 / 10 && pause <= LONGEST_PAUSE);
        assert!(limited.message(1 << 30).is_err());
        let unlimited = buckets(|_| (), true);
        assert_eq!(unlimited.message(usize::MAX), Ok(Duration::ZERO));
    }

    #[tokio::test]
    async fn a_body_is_read_at_the_rate_however_large_it_is() {
        let limited = buckets(|options| options.max_upload_mb_per_second = Some(1e5), true);
        // Each time what comes in a second, until what may come at once is used up.
        while limited.metrics.pauses("bytes") == 0 {
            let read = limited.after_bytes(100_000 << 20).await;
            read.expect("it is alone");
        }
    }
}
