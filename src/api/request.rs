//! The request type that handlers receive.

use warp::http::Method;
use warp::http::header::HeaderMap;

use super::query::Query;
use crate::app::App;

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
}
