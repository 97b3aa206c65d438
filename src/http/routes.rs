//! Routes requests to handlers.

use std::convert::Infallible;

use bytes::Buf;
use futures_util::{Stream, StreamExt, TryStreamExt};
use hyper::upgrade::OnUpgrade;
use pointstream_actors::ErrorKind;
use warp::http::{Method, StatusCode};
use warp::reply::Reply;
use warp::{Filter, Rejection};

use super::multipart::Body;
use super::operators::WorkerIndex;
use super::resource::{Route, Target, fixed, get, get_and_head, post, resource};
use super::webhooks::DeliveryNumber;
use super::{
    docs, images, openapi, operators, pages, reconstruct, results, sample, sessions, stats,
    templates, videos, webhooks,
};
use crate::api::{ApiError, ClientSlot};
use crate::app::App;
use crate::auth::{Needs, Scope};
use crate::ws;

/// Which part of the service an address gives access to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// All of it.
    All,
    /// What clients need.
    Clients,
    /// What operators need: health, metrics, actors and the dashboard.
    Operators,
}

/// The part of the service behind a door, as one filter. It never rejects.
pub fn routes(
    app: &App,
    door: Door,
) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone + Send + Sync + 'static {
    let app_of_log = app.clone();
    resources(app, door)
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

fn resources(app: &App, door: Door) -> Route {
    let for_all = for_all(app);
    match door {
        Door::All => either(for_all, either(for_clients(app), for_operators(app))),
        Door::Clients => either(for_all, for_clients(app)),
        Door::Operators => either(for_all, for_operators(app)),
    }
}

fn either(one: Route, other: Route) -> Route {
    one.or(other).unify().boxed()
}

/// The first of these that matches.
fn any(first: Route, others: impl IntoIterator<Item = Route>) -> Route {
    others.into_iter().fold(first, either)
}

/// Open to everyone.
const OPEN: Needs = Needs::NOTHING;
const CREATE: Needs = Needs::one_of(&[Scope::Create]);
/// The frames go to a new session, or to one of the caller.
const CREATE_OR_USE: Needs = Needs::one_of(&[Scope::Create, Scope::Use]);
const USE: Needs = Needs::one_of(&[Scope::Use]);
/// It changes nothing.
const SEE: Needs = Needs::one_of(&[Scope::Use, Scope::Watch]);
/// It reads the images of one session into another.
const CREATE_AND_USE: Needs = Needs::all_of(&[Scope::Create, Scope::Use]);
/// Users do it with their own sessions, operators with all.
const MANAGE: Needs = Needs::one_of(&[Scope::Use, Scope::Operate]);
/// Who watches may look, too.
const SHOW: Needs = Needs::one_of(&[Scope::Use, Scope::Watch, Scope::Operate]);
const OPERATE: Needs = Needs::one_of(&[Scope::Operate]);

fn for_all(app: &App) -> Route {
    let health = get(app, OPEN, fixed(warp::path!("healthz")), operators::healthz);
    let create =
        warp::path!("ws" / "session" / "create").and(warp::body::stream().map(in_one_type));
    let session = with_body(warp::path!("ws" / "session" / String));
    let session_methods = resource(app, SHOW, session)
        .on(&[Method::GET], sessions::show)
        .on_with(MANAGE, &[Method::DELETE], sessions::delete);
    let docs_page = warp::path!("docs").and(warp::path::full());
    any(
        health,
        [
            get(app, OPEN, fixed(warp::path!("readyz")), operators::readyz),
            // Before the route of a session, which would take it for an identifier.
            post(app, CREATE, create, sessions::create),
            session_methods.route(),
            get(
                app,
                MANAGE,
                fixed(warp::path!("ws" / "sessions")),
                sessions::list,
            ),
            get(app, OPEN, fixed(warp::path!("status")), operators::status),
            get(app, OPEN, fixed(warp::path!("info")), operators::info),
            get(
                app,
                OPEN,
                fixed(warp::path!("openapi.json")),
                openapi::openapi,
            ),
            get(
                app,
                OPEN,
                fixed(warp::path!("asyncapi.json")),
                openapi::asyncapi,
            ),
            get(app, OPEN, docs_page, docs::page),
            get(app, OPEN, warp::path!("docs" / String), docs::file),
        ],
    )
}

fn for_operators(app: &App) -> Route {
    let worker = with_body(warp::path!("actors" / "workers" / WorkerIndex / "restart"));
    let redeliver = with_body(warp::path!(
        "webhooks" / "deliveries" / DeliveryNumber / "redeliver"
    ));
    let dashboard = get_and_head(app, OPEN, fixed(warp::path!("dashboard")), pages::dashboard);
    any(
        dashboard,
        [
            get(
                app,
                OPERATE,
                fixed(warp::path!("actors")),
                operators::actors,
            ),
            get(app, OPERATE, fixed(warp::path!("stats")), stats::stats),
            get(
                app,
                OPERATE,
                fixed(warp::path!("metrics")),
                operators::metrics,
            ),
            post(app, OPERATE, worker, operators::restart_worker),
            get(
                app,
                OPERATE,
                fixed(warp::path!("webhooks" / "deliveries")),
                webhooks::list,
            ),
            post(app, OPERATE, redeliver, webhooks::redeliver),
        ],
    )
}

fn for_clients(app: &App) -> Route {
    let result = warp::path!("ws" / "session" / String / "result");
    let images = warp::path!("ws" / "session" / String / "images");
    let generation = resource(
        app,
        USE,
        with_body(warp::path!("ws" / "session" / String / "generation")),
    );
    let generation = generation.on(&[Method::DELETE], sessions::cancel);
    let rerun = with_body(warp::path!("ws" / "session" / String / "rerun"));
    let watch_token = with_body(warp::path!("ws" / "session" / String / "watch-token"));
    let reopen = with_body(warp::path!("ws" / "session" / String / "reopen"));
    let image = warp::path!("ws" / "session" / String / "images" / String)
        .map(|session, index| (session, index));
    let thumbnail = warp::path!("ws" / "session" / String / "images" / String / "thumbnail")
        .map(|session, index| (session, index));
    let socket = warp::path!("ws" / "reconstruct" / String)
        .and(warp::ext::optional::<OnUpgrade>())
        .and(warp::ext::optional::<ClientSlot>())
        .map(|session, upgrade, slot| ws::SocketRequest::new(session, upgrade, slot, SEE));
    let video = warp::path!("videos" / "frames").and(warp::body::stream().map(in_one_type));
    let photos = warp::path!("reconstruct").and(warp::body::stream().map(in_one_type));

    any(
        get_and_head(app, OPEN, fixed(warp::path::end()), pages::client),
        [
            get_and_head(app, OPEN, fixed(warp::path!("watch")), pages::watch),
            get_and_head(app, OPEN, warp::path!("sample" / String), sample::photo),
            get_and_head(app, SEE, result, results::fetch),
            get(app, SEE, images, images::list_images),
            generation.route(),
            post(app, USE, reopen, sessions::reopen),
            post(app, USE, watch_token, sessions::watch_token),
            post(app, CREATE_AND_USE, rerun, sessions::rerun),
            get_and_head(app, SEE, image, images::original),
            get_and_head(app, SEE, thumbnail, images::thumbnail),
            // It reads the body of a refused request, so that the client gets the answer.
            post(
                app,
                CREATE.handler_refuses(),
                photos,
                reconstruct::reconstruct,
            ),
            // The same.
            post(app, CREATE_OR_USE.handler_refuses(), video, videos::frames),
            // A refusal is told on the socket.
            get(app, SEE.handler_refuses(), socket, ws::accept),
        ],
    )
}

/// What a path names, with the body of the request.
fn with_body<P: Send + 'static>(path: impl Target<P>) -> impl Target<(P, Body)> {
    path.and(warp::body::stream().map(in_one_type))
        .map(|named, body| (named, body))
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
    // These are no defects: the service is full or shuts down, or the operator has not switched something on.
    let is_meant = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::NOT_IMPLEMENTED];
    if status.is_server_error() && !is_meant.contains(&status) {
        let message = format!("{method} {route} was answered with {status}");
        app.system.metrics().error(ErrorKind::Http, None, &message);
    }
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
