//! How often a client may do something.
//!
//! Each client has a bucket for each kind of thing. A bucket holds what may happen at once, and is filled
//! at a steady rate. Requests above it are refused. A socket, or a body, is read more slowly, and refused if
//! it would have to wait for more than 10 s. A client is an address, and, where callers are asked who they
//! are, also the owner of a token.

mod buckets;
mod clients;
mod pace;
mod table;

use std::time::Duration;

use clap::Args;

pub use self::buckets::{Buckets, TooFast};
pub use self::clients::Rates;
pub use self::pace::Pace;
use crate::values::above_zero;

/// The longest pause before more is read. Shorter than the 20 s after which widespread clients give up a
/// socket that does not answer their pings.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The rates that one client may reach. Without a choice, this machine has no limit: a proxy may be
/// there.
#[derive(Debug, Clone, Default, Args)]
pub struct RateOptions {
    /// HTTP requests of one address per second; 20 seconds' worth may come at once. More are refused.
    /// Default: 100, and no limit for this machine, where a proxy may be. This holds for the other rates,
    /// too.
    #[arg(long, env = "POINTSTREAM_MAX_REQUESTS_PER_SECOND", value_name = "COUNT",
          value_parser = above_zero)]
    pub max_requests_per_second: Option<f64>,

    /// Sessions that one address may create per minute; a minute's worth may come at once. More are
    /// refused. Default: 60.
    #[arg(long, env = "POINTSTREAM_MAX_NEW_SESSIONS_PER_MINUTE", value_name = "COUNT",
          value_parser = above_zero)]
    pub max_new_sessions_per_minute: Option<f64>,

    /// Messages that one address may send on all its sockets per second; 10 seconds' worth may come at
    /// once. More are read later, and a socket that would wait for more than 10 s is closed. Default: 200.
    #[arg(long, env = "POINTSTREAM_MAX_MESSAGES_PER_SECOND", value_name = "COUNT",
          value_parser = above_zero)]
    pub max_messages_per_second: Option<f64>,

    /// MiB that one address may send in messages and photos per second; 10 seconds' worth may come at
    /// once. More are read later, and what would wait for more than 10 s is refused. Default: 128.
    #[arg(long, env = "POINTSTREAM_MAX_UPLOAD_MB_PER_SECOND", value_name = "MIB",
          value_parser = above_zero)]
    pub max_upload_mb_per_second: Option<f64>,

    /// Sessions that the owner of a token may create per minute, from all addresses; a minute's worth may
    /// come at once. More are refused. Default: no limit, since a service may have one token for many
    /// users. This holds for the other rates of a token, too.
    #[arg(long, env = "POINTSTREAM_MAX_NEW_SESSIONS_PER_MINUTE_PER_TOKEN", value_name = "COUNT",
          value_parser = above_zero)]
    pub max_new_sessions_per_minute_per_token: Option<f64>,

    /// Messages that the owner of a token may send on all sockets per second; 10 seconds' worth may come
    /// at once. More are read later. Default: no limit.
    #[arg(long, env = "POINTSTREAM_MAX_MESSAGES_PER_SECOND_PER_TOKEN", value_name = "COUNT",
          value_parser = above_zero)]
    pub max_messages_per_second_per_token: Option<f64>,

    /// MiB that the owner of a token may send in messages and photos per second; 10 seconds' worth may
    /// come at once. More are read later. Default: no limit.
    #[arg(long, env = "POINTSTREAM_MAX_UPLOAD_MB_PER_SECOND_PER_TOKEN", value_name = "MIB",
          value_parser = above_zero)]
    pub max_upload_mb_per_second_per_token: Option<f64>,
}

/// A rate at which the largest message alone takes longer than a socket may wait.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LowRate {
    pub option: &'static str,
    /// MiB per second.
    pub rate: f64,
    /// The largest message that never has to wait for too long, in MiB.
    pub fitting: f64,
}

/// How much of each kind may happen; no limit of those that are missing.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Limits {
    requests_per_second: Option<f64>,
    sessions_per_minute: Option<f64>,
    messages_per_second: Option<f64>,
    mib_per_second: Option<f64>,
}

impl RateOptions {
    /// Of an address of another machine.
    fn of_address(&self) -> Limits {
        Limits {
            requests_per_second: self.max_requests_per_second.or(Some(100.0)),
            sessions_per_minute: self.max_new_sessions_per_minute.or(Some(60.0)),
            messages_per_second: self.max_messages_per_second.or(Some(200.0)),
            mib_per_second: self.max_upload_mb_per_second.or(Some(128.0)),
        }
    }

    /// Of an address of this machine: only what the operator chose.
    fn of_this_machine(&self) -> Limits {
        Limits {
            requests_per_second: self.max_requests_per_second,
            sessions_per_minute: self.max_new_sessions_per_minute,
            messages_per_second: self.max_messages_per_second,
            mib_per_second: self.max_upload_mb_per_second,
        }
    }

    /// Rates that are too low for messages of so many bytes. A socket that sends one after another is
    /// closed now and then, and has to wait before it goes on.
    pub fn too_low_for(&self, message: usize) -> impl Iterator<Item = LowRate> {
        let rates = [
            (
                "--max-upload-mb-per-second",
                self.of_address().mib_per_second,
            ),
            (
                "--max-upload-mb-per-second-per-token",
                self.of_owner().mib_per_second,
            ),
        ];
        let message = message as f64 / f64::from(1 << 20);
        rates.into_iter().filter_map(move |(option, rate)| {
            let rate = rate?;
            let fitting = rate * LONGEST_PAUSE.as_secs_f64();
            (fitting < message).then_some(LowRate {
                option,
                rate,
                fitting,
            })
        })
    }

    /// Of the owner of a token. Its requests are counted only by address.
    fn of_owner(&self) -> Limits {
        Limits {
            requests_per_second: None,
            sessions_per_minute: self.max_new_sessions_per_minute_per_token,
            messages_per_second: self.max_messages_per_second_per_token,
            mib_per_second: self.max_upload_mb_per_second_per_token,
        }
    }
}

impl Limits {
    const NONE: Self = Self {
        requests_per_second: None,
        sessions_per_minute: None,
        messages_per_second: None,
        mib_per_second: None,
    };
}
