//! Routes requests to handlers.

use std::convert::Infallible;

use bytes::Buf;
use futures_util::{Stream, StreamExt, TryStreamExt};
use hyper::upgrade::OnUpgrade;
use pointstream_actors::ErrorKind;
use warp::http::header::HeaderMap;
use warp::http::{Method, StatusCode};
use warp::reply::Reply;
use warp::{Filter, Rejection};

use super::multipart::Body;
use super::resource::{Route, fixed, get, get_and_head, post, resource};
use super::{
    docs, images, openapi, operators, pages, reconstruct, results, sessions, stats, templates,
};
use crate::api::{ApiError, ClientSlot};
use crate::app::App;
use crate::ws;

/// The whole service as one filter. It never rejects.
pub fn routes(
    app: &App,
) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone + Send + Sync + 'static {
    let app_of_log = app.clone();
    allowed_page(app)
        .and(resources(app))
        .recover(recover)
        .with(warp::log::custom(move |request| {
            count(&app_of_log, &request);
            tracing::debug!(
                method = %request.method(),
                path = request.path(),
                status = request.status().as_u16(),
                elapsed = ?request.elapsed(),
                "request"
            );
        }))
}

fn resources(app: &App) -> Route {
    let create = warp::path!("ws" / "session" / "create");
    let session = warp::path!("ws" / "session" / String);
    let result = warp::path!("ws" / "session" / String / "result");
    let images = warp::path!("ws" / "session" / String / "images");
    let thumbnail = warp::path!("ws" / "session" / String / "images" / String / "thumbnail")
        .map(|session, index| (session, index));
    let socket = warp::path!("ws" / "reconstruct" / String)
        .and(warp::ext::optional::<OnUpgrade>())
        .and(warp::ext::optional::<ClientSlot>())
        .map(ws::SocketRequest::new);
    let photos = warp::path!("reconstruct").and(warp::body::stream().map(in_one_type));
    let worker = warp::path!("actors" / "workers" / usize / "restart");
    let docs_page = warp::path!("docs").and(warp::path::full());

    let session_methods = resource(app, session)
        .on(&[Method::GET], sessions::show)
        .on(&[Method::DELETE], sessions::delete);

    let mut all = get_and_head(app, fixed(warp::path::end()), pages::client);
    for next in [
        get_and_head(app, fixed(warp::path!("dashboard")), pages::dashboard),
        // Before the route of a session, which would take it for an identifier.
        post(app, fixed(create), sessions::create),
        session_methods.route(),
        get_and_head(app, result, results::fetch),
        get(app, images, images::list_images),
        get_and_head(app, thumbnail, images::thumbnail),
        post(app, photos, reconstruct::reconstruct),
        get(app, fixed(warp::path!("ws" / "sessions")), sessions::list),
        get(app, socket, ws::accept),
        get(app, fixed(warp::path!("healthz")), operators::healthz),
        get(app, fixed(warp::path!("readyz")), operators::readyz),
        get(app, fixed(warp::path!("info")), operators::info),
        get(app, fixed(warp::path!("actors")), operators::actors),
        get(app, fixed(warp::path!("stats")), stats::stats),
        get(app, fixed(warp::path!("metrics")), operators::metrics),
        post(app, worker, operators::restart_worker),
        get(app, fixed(warp::path!("openapi.json")), openapi::openapi),
        get(app, fixed(warp::path!("asyncapi.json")), openapi::asyncapi),
        get(app, docs_page, docs::page),
        get(app, warp::path!("docs" / String), docs::file),
    ] {
        all = all.or(next).unify().boxed();
    }
    all
}

/// A body whose pieces have one type.
fn in_one_type<B: Buf>(body: impl Stream<Item = Result<B, warp::Error>> + Send + 'static) -> Body {
    body.map_ok(|mut piece| piece.copy_to_bytes(piece.remaining()))
        .boxed()
}

/// Counts an answered request.
fn count(app: &App, request: &warp::log::Info<'_>) {
    let (method, status) = (request.method(), request.status());
    let route = templates::template_of(request.path());
    app.metrics
        .http
        .answered(method.as_str(), route, status.as_u16(), request.elapsed());
    // 503 is not a defect: the service is full or shuts down.
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        let message = format!("{method} {route} was answered with {status}");
        app.system.metrics().error(ErrorKind::Http, None, &message);
    }
}

/// Lets a request pass unless it comes from a web page that may not make it.
fn allowed_page(app: &App) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    let options = app.options.clone();
    warp::method()
        .and(warp::header::headers_cloned())
        .and_then(move |method: Method, headers: HeaderMap| {
            let checked = options.cors_origins.check(&method, &headers);
            let checked = checked.map_err(|error| {
                let refusal = ApiError::new(StatusCode::FORBIDDEN, error.to_string());
                warp::reject::custom(refusal)
            });
            async move { checked }
        })
        .untuple_one()
}

/// Answers requests that no route matched.
async fn recover(rejection: Rejection) -> Result<ApiError, Infallible> {
    Ok(if let Some(error) = rejection.find::<ApiError>() {
        error.clone()
    } else if rejection.is_not_found() {
        ApiError::not_found("Not found")
    } else {
        ApiError::internal(&format!("unexpected rejection {rejection:?}"))
    })
}
