//! A resource: a path, and a handler for each method that it has.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pointstream_actors::ErrorCode;
use warp::filters::BoxedFilter;
use warp::http::Method;
use warp::http::header::HeaderMap;
use warp::path::FullPath;
use warp::reply::{Reply, Response};
use warp::{Filter, Rejection};

use super::templates::template_of;
use crate::api::{ApiError, Query, Request};
use crate::app::App;
use crate::auth::{self, Caller, Needs};
use crate::entrance::Arrival;

/// A filter that answers requests for one resource and rejects all others.
pub type Route = BoxedFilter<(Response,)>;

type Handler<P> = Arc<dyn Fn(Request<P>) -> BoxFuture<'static, Response> + Send + Sync>;

/// A resource. Methods without a handler are answered with 405.
pub struct Resource<P> {
    app: App,
    needs: Needs,
    target: BoxedFilter<(P,)>,
    handlers: Vec<(Method, Needs, Handler<P>)>,
}

/// A resource whose path, or another part of the request, gives its handlers a value.
pub fn resource<P: Send + 'static>(app: &App, needs: Needs, target: impl Target<P>) -> Resource<P> {
    Resource {
        app: app.clone(),
        needs,
        target: target.boxed(),
        handlers: Vec::new(),
    }
}

/// The path of a resource that needs nothing else of the request.
pub fn fixed(
    path: impl Filter<Extract = (), Error = Rejection> + Clone + Send + Sync + 'static,
) -> impl Target<()> {
    path.map(|| ())
}

/// A resource that has `GET`.
pub fn get<P: Send + 'static, F: Answer>(
    app: &App,
    needs: Needs,
    target: impl Target<P>,
    handler: impl HandlerFn<P, F>,
) -> Route {
    resource(app, needs, target)
        .on(&[Method::GET], handler)
        .route()
}

/// A resource that has `GET` and `HEAD`.
pub fn get_and_head<P: Send + 'static, F: Answer>(
    app: &App,
    needs: Needs,
    target: impl Target<P>,
    handler: impl HandlerFn<P, F>,
) -> Route {
    resource(app, needs, target)
        .on(&[Method::GET, Method::HEAD], handler)
        .route()
}

/// A resource that has `POST`.
pub fn post<P: Send + 'static, F: Answer>(
    app: &App,
    needs: Needs,
    target: impl Target<P>,
    handler: impl HandlerFn<P, F>,
) -> Route {
    resource(app, needs, target)
        .on(&[Method::POST], handler)
        .route()
}

impl<P: Send + 'static> Resource<P> {
    /// Answers requests of these methods with a handler.
    pub fn on<F: Answer>(self, methods: &[Method], handler: impl HandlerFn<P, F>) -> Self {
        let needs = self.needs;
        self.on_with(needs, methods, handler)
    }

    /// The same for methods that need something else of callers than the resource.
    pub fn on_with<F: Answer>(
        mut self,
        needs: Needs,
        methods: &[Method],
        handler: impl HandlerFn<P, F>,
    ) -> Self {
        let handler: Handler<P> =
            Arc::new(move |request| handler(request).map(Reply::into_response).boxed());
        for method in methods {
            self.handlers.push((method.clone(), needs, handler.clone()));
        }
        self
    }

    /// The finished route.
    pub fn route(self) -> Route {
        let Self {
            app,
            target,
            handlers,
            ..
        } = self;
        let handlers = Arc::new(handlers);
        target
            .and(warp::method())
            .and(warp::query::<Vec<(String, String)>>())
            .and(warp::header::headers_cloned())
            .and(warp::ext::get::<Arrival>())
            .and(warp::path::full())
            .then(
                move |target: P,
                      method: Method,
                      query: Vec<(String, String)>,
                      headers: HeaderMap,
                      arrival: Arrival,
                      path: FullPath| {
                    let found = handlers.iter().find(|(known, ..)| *known == method);
                    let Some((_, needs, handler)) = found else {
                        let known = handlers.iter().map(|(method, ..)| method.as_str());
                        let refusal = ApiError::method_not_allowed(known);
                        return futures_util::future::ready(refusal.into_response()).boxed();
                    };
                    let (app, needs, handler) = (app.clone(), *needs, handler.clone());
                    async move {
                        let admitted = app.auth.admit(auth::presented(&headers), needs).await;
                        let (caller, refused) = match admitted {
                            Ok(caller) => (caller, None),
                            Err(refused) if needs.are_left_to_the_handler() => {
                                (Caller::nobody(), Some(refused))
                            }
                            Err(refused) => {
                                let route = template_of(path.as_str());
                                app.audit.refused(&refused, arrival.client, route);
                                return ApiError::from(&refused.refusal).into_response();
                            }
                        };
                        let from = arrival.client;
                        let audit = app.asked_audit().map(|audit| (audit, caller.clone()));
                        let answer = handler(Request {
                            app,
                            target,
                            method,
                            query: Query::from(query),
                            headers: auth::without_secrets(headers),
                            arrival,
                            caller,
                            refused,
                        })
                        .await;
                        // Who tries identifiers of others leaves a trace.
                        if let Some((audit, who)) = audit
                            && answer.extensions().get() == Some(&ErrorCode::SessionNotFound)
                        {
                            let route = template_of(path.as_str());
                            let word = ErrorCode::SessionNotFound.into();
                            audit.turned_away(word, Some(&who), from, route);
                        }
                        answer
                    }
                    .boxed()
                },
            )
            .boxed()
    }
}

/// What a resource takes from a request; rejects requests for other resources.
pub trait Target<P>:
    Filter<Extract = (P,), Error = Rejection> + Clone + Send + Sync + 'static
{
}

impl<P, F> Target<P> for F where
    F: Filter<Extract = (P,), Error = Rejection> + Clone + Send + Sync + 'static
{
}

/// The future that a handler returns.
pub trait Answer: Future<Output: Reply> + Send + 'static {}

impl<F: Future<Output: Reply> + Send + 'static> Answer for F {}

/// What handlers are: asynchronous functions of a request.
pub trait HandlerFn<P, F>: Fn(Request<P>) -> F + Send + Sync + 'static {}

impl<P, F, H: Fn(Request<P>) -> F + Send + Sync + 'static> HandlerFn<P, F> for H {}
