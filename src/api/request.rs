//! The request type that handlers receive.

use std::net::IpAddr;
use std::num::NonZeroU64;

use pointstream_actors::{ConfigLimits, Creator};
use warp::http::Method;
use warp::http::header::HeaderMap;

use super::error::ApiError;
use super::query::Query;
use crate::app::App;
use crate::auth::{Action, Caller, Refused, Target};
use crate::entrance::Arrival;
use crate::places;
use crate::rates::Pace;

/// A request for a resource.
pub struct Request<P = ()> {
    pub app: App,
    /// What the resource takes from the request beyond the fields below: variables of its path,
    /// the body, the upgrade of the connection.
    pub target: P,
    /// One of the methods that the resource has.
    pub method: Method,
    pub query: Query,
    pub headers: HeaderMap,
    /// Where it comes from.
    pub arrival: Arrival,
    /// Who makes it.
    pub caller: Caller,
    /// Why it is refused, if the handler refuses callers itself.
    pub refused: Option<Refused>,
}

impl<P> Request<P> {
    /// The request without its target, and the target.
    pub fn take_target(self) -> (Request, P) {
        let Self {
            app,
            target,
            method,
            query,
            headers,
            arrival,
            caller,
            refused,
        } = self;
        let request = Request {
            app,
            target: (),
            method,
            query,
            headers,
            arrival,
            caller,
            refused,
        };
        (request, target)
    }

    /// The address that it comes from.
    pub fn from(&self) -> IpAddr {
        self.arrival.client
    }

    /// Refuses the caller, if the route has left that to the handler.
    ///
    /// # Errors
    /// 401 or 403.
    pub fn check(&self, route: &str) -> Result<(), ApiError> {
        let Some(refused) = &self.refused else {
            return Ok(());
        };
        self.app.audit.refused(refused, self.from(), route);
        Err(ApiError::from(&refused.refusal))
    }

    /// Notes in the audit log what this request did.
    pub fn did(&self, action: Action, target: Target) {
        let from = self.from();
        self.app.audit.done(action, &self.caller, from, target);
    }

    /// Notes in the audit log that a new session was refused, since its creator has too many or creates them
    /// too quickly.
    pub fn note_refused(&self, error: &ApiError, route: &str) {
        if error.is_too_many() {
            let (caller, from) = (Some(&self.caller), self.from());
            self.app
                .audit
                .turned_away(error.code().into(), caller, from, route);
        }
    }

    /// How quickly the caller may go.
    pub fn pace(&self) -> Pace {
        self.app.pace(self.arrival.rates.clone(), &self.caller)
    }

    /// What the parameters of a session that the caller creates may be.
    pub fn config_limits(&self) -> ConfigLimits {
        let limits = self.app.system.config_limits();
        let of_owner = self.caller.owner().and_then(|_| {
            let of_all = self.app.options.max_points_per_token;
            self.caller.allowance().max_points.or(of_all)
        });
        let of_caller = of_owner.map_or(u64::MAX, NonZeroU64::get);
        ConfigLimits {
            num_max_points: limits.num_max_points.min(of_caller),
            ..limits
        }
    }

    /// Who creates a session by this request: the owner of the token, or else the address.
    pub fn creator(&self) -> Option<Creator> {
        if let Some(owner) = self.caller.owner() {
            return Some(Creator {
                name: owner.clone(),
                max_sessions: self.caller.allowance().max_sessions.unwrap_or(usize::MAX),
            });
        }
        let address = places::network(self.arrival.client);
        let options = &self.app.options;
        if options.max_sessions_per_address.is_none() && address.is_loopback() {
            // A proxy on this machine has many clients.
            return None;
        }
        Some(Creator {
            name: address.to_string().into(),
            max_sessions: options.max_sessions_of_one(),
        })
    }
}
