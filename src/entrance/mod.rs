//! What every request passes before its route: whether the server answers under the request's host, who
//! the client behind proxies is, whether a web page may make the request, and the path below a prefix.

mod arrival;
mod authority;
mod forwarded;
#[cfg(test)]
mod fuzz;
mod hosts;
mod layer;
mod prefix;
mod proxies;
mod public_url;

use std::net::IpAddr;
use std::sync::Arc;

use pointstream_actors::ErrorCode;
use warp::http::header::{self, HeaderMap, HeaderValue, LOCATION};
use warp::http::{Request, StatusCode, Version};
use warp::reply::{Reply, Response};

pub use self::arrival::{Arrival, Peer};
use self::authority::InvalidAuthority;
pub use self::authority::{Authority, Host, Scheme, parse_origin};
use self::hosts::ForbiddenHost;
pub use self::hosts::HostList;
pub use self::layer::guard;
pub use self::prefix::PathPrefix;
pub use self::proxies::{FOR, HOST, PREFIX, PROTO, TrustedProxies, networks};
use self::proxies::{Forwarded, ForwardedError};
pub use self::public_url::PublicUrl;
use crate::api::{ApiError, ClientSlot};
use crate::app::App;
use crate::gateways::Gateways;
use crate::origins::{ForbiddenOrigin, OriginPolicy};
use crate::rates::{Buckets, Rates, TooFast};

/// The rules for all requests.
#[derive(Debug)]
pub struct Entrance {
    hosts: HostList,
    origins: OriginPolicy,
    proxies: TrustedProxies,
    prefix: PathPrefix,
    rates: Arc<Rates>,
    gateways: Option<Arc<Gateways>>,
}

/// A request goes no further.
#[derive(Debug)]
struct Turned {
    answer: Box<Response>,
    /// What is wrong with it; none if it is only sent elsewhere.
    code: Option<ErrorCode>,
}

impl Entrance {
    pub fn new(app: &App) -> Self {
        let options = &app.options;
        let mut hosts = options.allowed_hosts.clone();
        let mut origins = options.cors_origins.clone();
        if let Some(url) = &options.public_url {
            origins.allow(url.scheme, &url.authority);
        }
        match origins.hosts() {
            // Every page may do everything: there is nothing that a foreign name could gain.
            None => hosts.allow_any(),
            Some(known) => known.for_each(|host| hosts.allow(host)),
        }
        let operators = options.operator_listen.as_deref().unwrap_or_default();
        let operators = operators.rsplit_once(':').map_or("", |(host, _)| host);
        for listened in [&options.host, operators] {
            let bare = listened.trim_start_matches('[').trim_end_matches(']');
            hosts.allow_if_valid(bare);
        }
        let public = options.public_url.as_ref().map(|url| url.prefix.clone());
        Self {
            hosts,
            origins,
            proxies: options.trusted_proxies.clone(),
            prefix: options.path_prefix.clone().or(public).unwrap_or_default(),
            rates: app.rates.clone(),
            gateways: app.gateways.clone(),
        }
    }

    pub fn origins(&self) -> &OriginPolicy {
        &self.origins
    }

    /// Where a request comes from; behind a proxy that sent headers that cannot be used, the proxy.
    fn client<B>(&self, request: &Request<B>) -> Option<IpAddr> {
        let peer = request.extensions().get::<ClientSlot>()?.peer();
        let forwarded = self.forwarded(&peer, request.headers());
        Some(forwarded.map_or(peer.address, |forwarded| forwarded.client))
    }

    /// Whether connections from this address come from a trusted proxy.
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.contain(address)
    }

    /// What proxies, or another gateway, say of a request.
    fn forwarded(&self, peer: &Peer, headers: &HeaderMap) -> Result<Forwarded, ForwardedError> {
        match self.is_from_gateway(headers) {
            true => self.proxies.read_trusted(peer.address, headers),
            false => self.proxies.read(peer.address, headers),
        }
    }

    fn is_from_gateway(&self, headers: &HeaderMap) -> bool {
        let gateways = self.gateways.as_ref();
        gateways.is_some_and(|gateways| gateways.recognize(headers))
    }

    /// Lets a request pass, with its [`Arrival`] as an extension and its path without the prefix, or
    /// answers it. A request that is turned away has its arrival too, if the server answers under its host.
    fn admit<B>(&self, request: &mut Request<B>) -> Result<(), Turned> {
        let slot = request.extensions().get::<ClientSlot>().cloned();
        let slot =
            slot.ok_or_else(|| turned(ApiError::internal(&"a request has no connection")))?;
        let peer = slot.peer();
        let forwarded = self.forwarded(&peer, request.headers());
        let from_gateway = self.is_from_gateway(request.headers());
        let client = forwarded.as_ref().ok().map(|forwarded| forwarded.client);
        let rates = self.rates.of(client.unwrap_or(peer.address));
        let arrival = forwarded
            .map_err(ApiError::from)
            .and_then(|forwarded| self.arrival(&peer, forwarded, rates.clone(), request));
        if let Ok(arrival) = &arrival {
            request.extensions_mut().insert(arrival.clone());
        }
        // First, so that no refusal is free. Another gateway has counted the request already.
        if !from_gateway {
            rates.request().map_err(|error| turned(error.into()))?;
        }
        if !from_gateway && client.is_some_and(|client| slot.place().count_for(client).is_err()) {
            return Err(turned(ApiError::busy(
                ErrorCode::TooManyClients,
                TOO_MANY_CONNECTIONS,
            )));
        }
        let arrival = arrival.map_err(turned)?;
        let checked = self
            .origins
            .check(request.method(), request.headers(), &arrival);
        checked.map_err(|error| turned(error.into()))?;
        slot.place().heard();
        match self.prefix.place(request.uri()) {
            prefix::Place::Below(address) => *request.uri_mut() = address,
            prefix::Place::Itself => {
                let query = request.uri().query();
                let query = query.map_or(String::new(), |query| format!("?{query}"));
                return Err(redirect(&format!("{}/{query}", self.prefix)));
            }
            prefix::Place::Elsewhere => {}
        }
        Ok(())
    }

    fn arrival<B>(
        &self,
        peer: &Peer,
        forwarded: Forwarded,
        rates: Arc<Buckets>,
        request: &Request<B>,
    ) -> Result<Arrival, ApiError> {
        let asked = asked_for(request)?;
        for authority in [&asked, &forwarded.authority].into_iter().flatten() {
            self.hosts.check(authority)?;
        }
        let from_gateway = self.is_from_gateway(request.headers());
        let scheme = match from_gateway || self.is_proxy(peer.address) {
            true => forwarded.scheme,
            // Without TLS an unknown proxy with TLS may be in front.
            false => peer.tls.then_some(Scheme::Https),
        };
        Ok(Arrival {
            client: forwarded.client,
            rates,
            scheme,
            authority: forwarded.authority.or(asked),
            prefix: forwarded.prefix.unwrap_or_else(|| self.prefix.clone()),
        })
    }
}

/// An address has all connections that it may have: a text for the one that is refused.
pub const TOO_MANY_CONNECTIONS: &str = "too many connections from this address; close some of them";

/// The host that a request is for. Clients of HTTP 1.0, which are no browsers, may leave it out.
fn asked_for<B>(request: &Request<B>) -> Result<Option<Authority>, ApiError> {
    let in_address = request.uri().authority();
    let in_address = in_address.map(|authority| authority.as_str().parse());
    let mut headers = request.headers().get_all(header::HOST).iter();
    let header = headers.next().filter(|value| !value.is_empty());
    let in_header = header.map(|value| value.to_str().unwrap_or_default().parse());
    if headers.next().is_some() {
        return Err(bad_host("the request has several Host headers"));
    }
    let (in_address, in_header) = (in_address.transpose()?, in_header.transpose()?);
    match (in_address, in_header) {
        (Some(one), Some(other)) if one != other => Err(bad_host(
            "the request's address and its Host header name different hosts",
        )),
        (None, None) if request.version() > Version::HTTP_10 => {
            Err(bad_host("the request has no Host header"))
        }
        (one, other) => Ok(one.or(other)),
    }
}

fn bad_host(detail: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidHeader, detail)
}

fn turned(error: ApiError) -> Turned {
    Turned {
        code: Some(error.code()),
        answer: Box::new(error.into_response()),
    }
}

fn redirect(to: &str) -> Turned {
    let mut response = StatusCode::TEMPORARY_REDIRECT.into_response();
    if let Ok(to) = HeaderValue::try_from(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    Turned {
        answer: Box::new(response),
        code: None,
    }
}

impl From<InvalidAuthority> for ApiError {
    fn from(error: InvalidAuthority) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::InvalidHeader,
            error.to_string(),
        )
    }
}

impl From<ForbiddenHost> for ApiError {
    fn from(error: ForbiddenHost) -> Self {
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            ErrorCode::HostNotAllowed,
            error.to_string(),
        )
    }
}

impl From<ForwardedError> for ApiError {
    fn from(error: ForwardedError) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::InvalidHeader,
            error.to_string(),
        )
    }
}

impl From<TooFast> for ApiError {
    fn from(error: TooFast) -> Self {
        Self::too_many(ErrorCode::TooManyRequests, error.to_string(), error.seconds)
    }
}

impl From<ForbiddenOrigin> for ApiError {
    fn from(error: ForbiddenOrigin) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            ErrorCode::OriginNotAllowed,
            error.to_string(),
        )
    }
}
