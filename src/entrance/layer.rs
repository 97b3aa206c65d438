//! The entrance as a layer around the routes.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either};
use pointstream_actors::ErrorCode;
use tower::util::{ServiceExt, ServiceFn, service_fn};
use tower::{Layer, Service};
use tower_http::cors::{Cors, CorsLayer};
use tracing::Instrument;
use tracing::instrument::Instrumented;
use warp::http::{Request, Response as HttpResponse};
use warp::reply::Response;

use super::{Arrival, Entrance, Turned};
use crate::app::App;

/// Puts the entrance before a service.
pub fn guard<S: Clone>(
    app: &App,
    entrance: Arc<Entrance>,
) -> impl Layer<S, Service = Guarded<S>> + Clone {
    let app = app.clone();
    let readable = Readable::new(&entrance.origins().cors());
    tower::layer::layer_fn(move |inner| Guarded {
        inner,
        entrance: entrance.clone(),
        readable: readable.clone(),
        app: app.clone(),
    })
}

/// A service behind the entrance.
#[derive(Clone)]
pub struct Guarded<S> {
    inner: S,
    entrance: Arc<Entrance>,
    readable: Readable,
    app: App,
}

type NoAnswer = fn(Request<()>) -> Ready<Result<HttpResponse<()>, Infallible>>;

/// Lets web pages that may use the server read why they were turned away.
#[derive(Clone)]
struct Readable(Cors<ServiceFn<NoAnswer>>);

impl Readable {
    fn new(cors: &CorsLayer) -> Self {
        let nothing: NoAnswer = |_| ready(Ok(HttpResponse::default()));
        Self(cors.layer(service_fn(nothing)))
    }

    /// The answer to a request, with the headers for its page.
    async fn answer<B>(self, request: Request<B>, mut answer: Response) -> Response {
        let request = request.map(|_| ());
        let Ok(with_headers) = self.0.oneshot(request).await;
        answer
            .headers_mut()
            .extend(with_headers.into_parts().0.headers);
        answer
    }
}

impl<S, B: Send + 'static> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<BoxFuture<'static, Result<Response, Infallible>>, Instrumented<S::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let begun = Instant::now();
        match self.entrance.admit(&mut request) {
            Ok(()) => {
                let client = request
                    .extensions()
                    .get()
                    .map(|arrival: &Arrival| arrival.client);
                let span =
                    tracing::info_span!("request", client = client.map(tracing::field::display));
                Either::Right(self.inner.call(request).instrument(span))
            }
            Err(Turned { answer, code }) => {
                let (method, status) = (request.method(), answer.status().as_u16());
                let route = crate::http::template_of(request.uri().path());
                let metrics = &self.app.metrics.http;
                metrics.answered(method.as_str(), route, status, begun.elapsed());
                tracing::debug!(%method, path = request.uri().path(), status, "turned away");
                let noted = [
                    ErrorCode::HostNotAllowed,
                    ErrorCode::OriginNotAllowed,
                    ErrorCode::TooManyRequests,
                ];
                if let Some(code) = code.filter(|code| noted.contains(code))
                    && let Some(client) = self.entrance.client(&request)
                {
                    let audit = &self.app.audit;
                    audit.turned_away(code.into(), None, client, route);
                }
                let readable = self.readable.clone().answer(request, *answer);
                Either::Left(readable.map(Ok).boxed())
            }
        }
    }
}
