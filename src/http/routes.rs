//! Which request goes to which handler.

use std::convert::Infallible;
use std::sync::LazyLock;

use bytes::Buf;
use futures_util::{Stream, StreamExt, TryStreamExt};
use hyper::upgrade::OnUpgrade;
use pointstream_actors::ErrorKind;
use warp::filters::BoxedFilter;
use warp::http::header::HeaderMap;
use warp::http::{Method, StatusCode};
use warp::path::FullPath;
use warp::reply::{Reply, Response};
use warp::{Filter, Rejection};

use super::multipart::Body;
use super::pages::Page;
use super::{
    ApiError, App, Connection, Query, docs, errors, images, openapi, operators, pages, reconstruct,
    results, sessions, stats, templates,
};
use crate::ws;

/// The whole service as one filter. It never rejects.
pub fn routes(
    app: &App,
) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone + Send + Sync + 'static {
    let resources = page()
        .or(create(app))
        .unify()
        .or(session(app))
        .unify()
        .or(result(app))
        .unify()
        .or(images(app))
        .unify()
        .or(thumbnail(app))
        .unify()
        .or(reconstruct(app))
        .unify()
        .or(list(app))
        .unify()
        .or(socket(app))
        .unify()
        .or(operators(app))
        .unify()
        .or(restart_worker(app))
        .unify()
        .or(docs())
        .unify();
    let app_of_log = app.clone();
    allowed_page(app)
        .and(resources)
        .recover(errors::recover)
        .with(warp::log::custom(move |request| {
            note(&app_of_log, &request);
            tracing::debug!(
                method = %request.method(),
                path = request.path(),
                status = request.status().as_u16(),
                elapsed = ?request.elapsed(),
                "request"
            );
        }))
}

/// Counts an answered request.
fn note(app: &App, request: &warp::log::Info<'_>) {
    let (method, status) = (request.method(), request.status());
    let route = templates::template_of(request.path());
    app.metrics
        .http
        .answered(method.as_str(), route, status.as_u16(), request.elapsed());
    // That the service is full or ends is no error of the server.
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        let message = format!("{method} {route} was answered with {status}");
        app.system.metrics().error(ErrorKind::Http, None, &message);
    }
}

/// Lets a request pass unless it comes from a page that may not make it.
fn allowed_page(app: &App) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    let options = app.options.clone();
    warp::method()
        .and(warp::header::headers_cloned())
        .and_then(move |method: Method, headers: HeaderMap| {
            let checked = options.cors_origins.check(&method, &headers);
            async move { checked.map_err(warp::reject::custom) }
        })
        .untuple_one()
}

fn query() -> impl Filter<Extract = (Query,), Error = Rejection> + Copy {
    warp::query::<Vec<(String, String)>>().map(Query::from)
}

fn page() -> BoxedFilter<(Response,)> {
    let client = warp::path::end().map(|| &pages::CLIENT);
    let dashboard = warp::path!("dashboard").map(|| &pages::DASHBOARD);
    client
        .or(dashboard)
        .unify()
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .map(
            |page: &'static LazyLock<Page>, method: Method, headers: HeaderMap| {
                if method == Method::GET || method == Method::HEAD {
                    page.answer(&headers)
                } else {
                    ApiError::method_not_allowed("GET").into_response()
                }
            },
        )
        .boxed()
}

fn create(app: &App) -> BoxedFilter<(Response,)> {
    let app = app.clone();
    warp::path!("ws" / "session" / "create")
        .and(warp::method())
        .and(query())
        .then(move |method: Method, query: Query| {
            let app = app.clone();
            async move {
                match method {
                    Method::POST => sessions::create(app, query).await.into_response(),
                    _ => ApiError::method_not_allowed("POST").into_response(),
                }
            }
        })
        .boxed()
}

fn session(app: &App) -> BoxedFilter<(Response,)> {
    let app = app.clone();
    warp::path!("ws" / "session" / String)
        .and(warp::method())
        .then(move |id: String, method: Method| {
            let app = app.clone();
            async move {
                match method {
                    Method::GET => sessions::show(app, id).await.into_response(),
                    Method::DELETE => sessions::delete(app, id).await.into_response(),
                    _ => ApiError::method_not_allowed("GET, DELETE").into_response(),
                }
            }
        })
        .boxed()
}

fn result(app: &App) -> BoxedFilter<(Response,)> {
    let app = app.clone();
    warp::path!("ws" / "session" / String / "result")
        .and(warp::method())
        .and(query())
        .and(warp::header::headers_cloned())
        .then(
            move |id: String, method: Method, query: Query, headers: HeaderMap| {
                let app = app.clone();
                async move {
                    match method {
                        Method::GET | Method::HEAD => {
                            let fetched = results::fetch(app, id, query, method, headers);
                            fetched.await.into_response()
                        }
                        _ => ApiError::method_not_allowed("GET, HEAD").into_response(),
                    }
                }
            },
        )
        .boxed()
}

fn images(app: &App) -> BoxedFilter<(Response,)> {
    let app = app.clone();
    warp::path!("ws" / "session" / String / "images")
        .and(warp::method())
        .then(move |id: String, method: Method| {
            let app = app.clone();
            async move {
                match method {
                    Method::GET => images::list_images(app, id).await.into_response(),
                    _ => ApiError::method_not_allowed("GET").into_response(),
                }
            }
        })
        .boxed()
}

fn thumbnail(app: &App) -> BoxedFilter<(Response,)> {
    let app = app.clone();
    warp::path!("ws" / "session" / String / "images" / String / "thumbnail")
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .then(
            move |id: String, index: String, method: Method, headers: HeaderMap| {
                let app = app.clone();
                async move {
                    match method {
                        Method::GET | Method::HEAD => {
                            let made = images::thumbnail(app, id, index, method, headers);
                            made.await.into_response()
                        }
                        _ => ApiError::method_not_allowed("GET, HEAD").into_response(),
                    }
                }
            },
        )
        .boxed()
}

fn reconstruct(app: &App) -> BoxedFilter<(Response,)> {
    let app = app.clone();
    warp::path!("reconstruct")
        .and(warp::method())
        .and(query())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method: Method, query: Query, headers, body| {
            let app = app.clone();
            async move {
                match method {
                    Method::POST => reconstruct::reconstruct(app, query, headers, whole(body))
                        .await
                        .into_response(),
                    _ => ApiError::method_not_allowed("POST").into_response(),
                }
            }
        })
        .boxed()
}

/// A body's pieces in one type.
fn whole<B: Buf>(body: impl Stream<Item = Result<B, warp::Error>> + Send + 'static) -> Body {
    body.map_ok(|mut piece| piece.copy_to_bytes(piece.remaining()))
        .boxed()
}

fn list(app: &App) -> BoxedFilter<(Response,)> {
    let app = app.clone();
    warp::path!("ws" / "sessions")
        .and(warp::method())
        .then(move |method: Method| {
            let app = app.clone();
            async move {
                match method {
                    Method::GET => sessions::list(app).await.into_response(),
                    _ => ApiError::method_not_allowed("GET").into_response(),
                }
            }
        })
        .boxed()
}

fn socket(app: &App) -> BoxedFilter<(Response,)> {
    let app = app.clone();
    warp::path!("ws" / "reconstruct" / String)
        .and(warp::method())
        .and(query())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<OnUpgrade>())
        .and(warp::ext::optional::<Connection>())
        .map(
            move |session_id: String,
                  method: Method,
                  query: Query,
                  headers: HeaderMap,
                  on_upgrade: Option<OnUpgrade>,
                  connection: Option<Connection>| {
                match method {
                    Method::GET => ws::accept(
                        &app,
                        ws::Handshake {
                            session_id,
                            query,
                            headers,
                            on_upgrade,
                            connection,
                        },
                    )
                    .into_response(),
                    _ => ApiError::method_not_allowed("GET").into_response(),
                }
            },
        )
        .boxed()
}

/// Pages for operators and programs that are read and have no parameters.
const PAGES: [&str; 8] = [
    "healthz",
    "readyz",
    "info",
    "actors",
    "stats",
    "metrics",
    "openapi.json",
    "asyncapi.json",
];

fn operators(app: &App) -> BoxedFilter<(Response,)> {
    let app = app.clone();
    warp::path!(String)
        .and(warp::method())
        .and_then(move |page: String, method: Method| {
            let app = app.clone();
            async move {
                Ok(match page.as_str() {
                    other if !PAGES.contains(&other) => return Err(warp::reject::not_found()),
                    _ if method != Method::GET => {
                        ApiError::method_not_allowed("GET").into_response()
                    }
                    "healthz" => operators::healthz().into_response(),
                    "readyz" => operators::readyz(&app),
                    "info" => operators::info(&app).into_response(),
                    "stats" => stats::stats(app).await.into_response(),
                    "metrics" => operators::metrics(app).await.into_response(),
                    "openapi.json" => openapi::openapi(&app).into_response(),
                    "asyncapi.json" => openapi::asyncapi().into_response(),
                    _ => operators::actors(app).await.into_response(),
                })
            }
        })
        .boxed()
}

fn docs() -> BoxedFilter<(Response,)> {
    let page = warp::path!("docs")
        .and(warp::path::full())
        .map(|path: FullPath| match path.as_str() {
            "/docs" => docs::page(),
            _ => docs::page_file("").into_response(),
        });
    let file =
        warp::path!("docs" / String).map(|file: String| docs::page_file(&file).into_response());
    page.or(file)
        .unify()
        .and(warp::method())
        .map(|response: Response, method: Method| match method {
            Method::GET => response,
            _ => ApiError::method_not_allowed("GET").into_response(),
        })
        .boxed()
}

fn restart_worker(app: &App) -> BoxedFilter<(Response,)> {
    let app = app.clone();
    warp::path!("actors" / "workers" / usize / "restart")
        .and(warp::method())
        .then(move |index: usize, method: Method| {
            let app = app.clone();
            async move {
                match method {
                    Method::POST => operators::restart_worker(app, index).await.into_response(),
                    _ => ApiError::method_not_allowed("POST").into_response(),
                }
            }
        })
        .boxed()
}
