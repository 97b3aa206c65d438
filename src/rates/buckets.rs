//! The buckets of one client.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use thiserror::Error;

use super::Limits;
use crate::metrics::RateMetrics;

/// A bucket is taken in at least so many parts.
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
        let bucket = |rate: Option<f64>, seconds: f64| rate.map(|rate| Bucket::new(rate, seconds));
        Self {
            requests: bucket(limits.requests_per_second, 20.0),
            sessions: bucket(limits.sessions_per_minute.map(|rate| rate / 60.0), 60.0),
            messages: bucket(limits.messages_per_second, 10.0),
            kibibytes: bucket(limits.mib_per_second.map(|rate| rate * 1024.0), 10.0),
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
        self.take(self.requests.as_ref(), "requests")
    }

    /// Takes one new session.
    ///
    /// # Errors
    /// [`TooFast`] if there is none left.
    pub fn session(&self) -> Result<(), TooFast> {
        self.take(self.sessions.as_ref(), "new sessions")
    }

    fn take(&self, bucket: Option<&Bucket>, what: &'static str) -> Result<(), TooFast> {
        self.touch();
        let Some(wait) = bucket.and_then(|bucket| bucket.take(NonZeroU32::MIN)) else {
            return Ok(());
        };
        self.metrics.refused(what);
        let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
        Err(TooFast {
            what,
            whose: self.whose,
            seconds,
        })
    }

    /// Waits after a message of a socket until the next one may be read.
    pub async fn after_message(&self, bytes: usize) {
        self.wait(self.messages.as_ref(), "messages", 1).await;
        self.after_bytes(bytes).await;
    }

    /// Waits after bytes of a body until the next ones may be read.
    pub async fn after_bytes(&self, bytes: usize) {
        let kibibytes = bytes.div_ceil(1024).max(1);
        self.wait(self.kibibytes.as_ref(), "bytes", kibibytes).await;
    }

    async fn wait(&self, bucket: Option<&Bucket>, what: &'static str, count: usize) {
        self.touch();
        let Some(bucket) = bucket else {
            return;
        };
        let mut left = u32::try_from(count).unwrap_or(u32::MAX);
        // In parts: who needs a whole bucket would wait as long as others take a little of it.
        let most = (bucket.size.get() / PARTS).max(1);
        while let Some(part) = NonZeroU32::new(left.min(most)) {
            match bucket.take(part) {
                None => left -= part.get(),
                Some(wait) => {
                    self.metrics.paused(what);
                    tokio::time::sleep(wait).await;
                    self.touch();
                }
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
        let times = all.into_iter().flatten().map(|bucket| bucket.fill_time);
        times.max().unwrap_or_default()
    }

    /// The time since something was taken.
    pub fn unused_for(&self) -> Duration {
        let used = Duration::from_millis(self.used.load(Ordering::Relaxed));
        self.since.elapsed().saturating_sub(used)
    }
}

/// A bucket that is filled at a steady rate.
#[derive(Debug)]
struct Bucket {
    limiter: DefaultDirectRateLimiter,
    size: NonZeroU32,
    /// From empty to full.
    fill_time: Duration,
}

impl Bucket {
    /// A full bucket of what comes in so many seconds.
    fn new(per_second: f64, seconds: f64) -> Self {
        // The library counts in nanoseconds.
        let period = Duration::from_secs_f64((1.0 / per_second).clamp(1e-9, 1e9));
        let size = (per_second * seconds).clamp(1.0, f64::from(u32::MAX)) as u32;
        let size = NonZeroU32::new(size).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(period)
            .unwrap_or(Quota::per_second(NonZeroU32::MAX))
            .allow_burst(size);
        Self {
            limiter: RateLimiter::direct(quota),
            size,
            fill_time: period.saturating_mul(size.get()),
        }
    }

    /// Takes some, or says how long to wait for them.
    fn take(&self, count: NonZeroU32) -> Option<Duration> {
        match self.limiter.check_n(count) {
            Ok(Err(early)) => Some(early.wait_time_from(DefaultClock::default().now())),
            // The bucket is never asked for more than it holds.
            Ok(Ok(())) | Err(_) => None,
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

    #[tokio::test]
    async fn more_than_a_bucket_holds_is_waited_for_in_parts() {
        let exempt = buckets(|_| (), true);
        exempt.after_message(usize::MAX).await;
        let limited = buckets(
            |options| options.max_upload_mb_per_second = Some(100.0),
            true,
        );
        limited.after_bytes(900 << 20).await;
        assert_eq!(exempt.metrics.pauses("bytes"), 0);
        assert_eq!(
            limited.metrics.pauses("bytes"),
            0,
            "a bucket holds 1000 MiB"
        );
        limited.after_bytes(120 << 20).await;
        assert!(limited.metrics.pauses("bytes") > 0);
    }
}
