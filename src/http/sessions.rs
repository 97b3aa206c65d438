//! REST: creates, lists, shows and deletes sessions.

use pointstream_actors::{
    DeleteSessionError, ErrorCode, SessionHandle, SessionId, SessionSummary, Unanswered, Webhook,
    Whose,
};
use warp::http::StatusCode;
use warp::reply::Json;

use super::multipart::Body;
use super::operators::Done;
use super::request_body::{self, NewSession};
use super::session_replies::{Created, List, Shown, WatchToken};
use crate::api::{ApiError, ErrorBody, Query, Request, SESSION_PARAMETERS};
use crate::app::App;
use crate::auth::{Action, Purpose, Secret, Target};
use crate::webhooks::MadeWebhook;

/// The answer about a new session.
type NewSessionReply = warp::reply::WithHeader<Json>;

/// Creates a session.
#[utoipa::path(
    post, path = "/ws/session/create", operation_id = "create_session", tag = "sessions",
    security(("token" = ["create"])),
    request_body = Option<NewSession>,
    responses(
        (status = 200, description = "The session", body = Created,
            headers(("X-Session-Id" = uuid::Uuid, description = "The same identifier, for proxies"))),
        (status = 400, description = "The body breaks off", body = ErrorBody),
        (status = 408, description = "The body was not received in time", body = ErrorBody),
        (status = 422, description = "A parameter is invalid", body = ErrorBody),
        (status = 429, description = "The address or the owner of the token has as many sessions as it may have, or creates them too quickly", body = ErrorBody),
        (status = 503, description = "The maximum of sessions is reached, or the server is busy or shuts down", body = ErrorBody),
        (status = 507, description = "The disk is full", body = ErrorBody),
    )
)]
pub async fn create(request: Request<Body>) -> Result<NewSessionReply, ApiError> {
    let (request, body) = request.take_target();
    let created = try_create(&request, body).await;
    created.inspect_err(|error| request.note_refused(error, "/ws/session/create"))
}

async fn try_create(request: &Request, body: Body) -> Result<NewSessionReply, ApiError> {
    let creator = request.creator();
    request.pace().session()?;
    let (app, query) = (&request.app, &request.query);
    query.only(SESSION_PARAMETERS)?;
    let (webhook, told) = webhook(app, query, body).await?.unzip();
    let config = query.session_config(&request.config_limits())?;
    // If the client disconnects before it knows the session, the session ends.
    let owned = app.system.create_session(config, creator, webhook).await?;
    let session = owned.handle().summary().await?;
    owned.keep().await?;
    let token = announce(request, &session, told.is_some());
    let created = Created::new(&session, token.as_ref(), told);
    Ok(with_its_id(&created, session.id))
}

/// Creates a session with the images of another one, without an upload. Parameters that are missing
/// are as in that one.
#[utoipa::path(
    post, path = "/ws/session/{session_id}/rerun", operation_id = "rerun_session",
    tag = "sessions",
    security(("token" = ["create", "use"])),
    params(("session_id" = uuid::Uuid, Path, description = "The session with the images")),
    request_body = Option<NewSession>,
    responses(
        (status = 200, description = "The new session", body = Created,
            headers(("X-Session-Id" = uuid::Uuid, description = "The same identifier, for proxies"))),
        (status = 400, description = "The body breaks off", body = ErrorBody),
        (status = 404, description = "The session does not exist", body = ErrorBody),
        (status = 408, description = "The body was not received in time", body = ErrorBody),
        (status = 422, description = "A parameter is invalid", body = ErrorBody),
        (status = 429, description = "The address or the owner of the token has as many sessions as it may have, or creates them too quickly", body = ErrorBody),
        (status = 503, description = "The maximum of sessions is reached, or the server is busy or shuts down", body = ErrorBody),
        (status = 507, description = "The disk is full", body = ErrorBody),
    )
)]
pub async fn rerun(request: Request<(String, Body)>) -> Result<NewSessionReply, ApiError> {
    let (request, (id, body)) = request.take_target();
    let created = try_rerun(&request, &id, body).await;
    created.inspect_err(|error| request.note_refused(error, "/ws/session/{session_id}/rerun"))
}

async fn try_rerun(request: &Request, id: &str, body: Body) -> Result<NewSessionReply, ApiError> {
    let creator = request.creator();
    request.pace().session()?;
    let (app, query) = (&request.app, &request.query);
    query.only(SESSION_PARAMETERS)?;
    let (webhook, told) = webhook(app, query, body).await?.unzip();
    let other = find(app, id, request.caller.own()).await?;
    let summary = other.summary().await?;
    let config = query.session_config_like(&summary.config, &request.config_limits())?;
    if config.max_images < summary.image_count {
        return Err(ApiError::invalid(format!(
            "max_images must be at least {}, the images of the session, but it is {}",
            summary.image_count, config.max_images
        )));
    }
    // If the client disconnects before it knows the session, the session ends.
    let owned = app.system.create_session(config, creator, webhook).await?;
    owned.handle().take_over(&other).await?;
    // From then on the images count that could be used.
    let session = owned.keep().await?.summary().await?;
    request.did(Action::SessionRerun, Target::Session(other.id()));
    let token = announce(request, &session, told.is_some());
    let created = Created::new(&session, token.as_ref(), told);
    let created = created.with_images_of_another(&session, summary.image_count);
    Ok(with_its_id(&created, session.id))
}

/// Names the new session for proxies, which send its requests to the server that has it.
fn with_its_id(created: &Created<'_>, session: SessionId) -> NewSessionReply {
    warp::reply::with_header(
        warp::reply::json(created),
        "x-session-id",
        session.to_string(),
    )
}

/// The webhook that a client wants for its new session, and what the client is told of it.
async fn webhook(
    app: &App,
    query: &Query,
    body: Body,
) -> Result<Option<(Webhook, MadeWebhook)>, ApiError> {
    let wanted = request_body::webhook_of(body, query, app.options.receive_timeout).await?;
    let made = wanted.map(|wanted| wanted.make(&app.options.webhooks));
    made.transpose().map_err(ApiError::from)
}

/// Notes a new session; returns the token that the client gets for it.
fn announce(request: &Request, session: &SessionSummary, has_webhook: bool) -> Option<Secret> {
    request.did(Action::SessionCreated, Target::Session(session.id));
    if has_webhook {
        request.did(Action::WebhookAdded, Target::Session(session.id));
    }
    let auth = &request.app.auth;
    auth.session_token(Purpose::Use, &request.caller, session.id)
}

/// Shows a session.
#[utoipa::path(
    get, path = "/ws/session/{session_id}", operation_id = "get_session", tag = "sessions",
    security(("token" = ["use"]), ("token" = ["watch"]), ("token" = ["operate"])),
    params(("session_id" = uuid::Uuid, Path, description = "The session")),
    responses(
        (status = 200, description = "The session", body = Shown),
        (status = 404, description = "The session does not exist", body = ErrorBody),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
    )
)]
pub async fn show(request: Request<(String, Body)>) -> Result<Json, ApiError> {
    request.query.only([])?;
    let whose = request.caller.managed();
    let session = find(&request.app, &request.target.0, whose)
        .await?
        .summary()
        .await?;
    Ok(warp::reply::json(&Shown::from(&session)))
}

/// Ends a session and removes its files; responds after that.
#[utoipa::path(
    delete, path = "/ws/session/{session_id}", operation_id = "delete_session", tag = "sessions",
    security(("token" = ["use"]), ("token" = ["operate"])),
    params(("session_id" = uuid::Uuid, Path, description = "The session")),
    responses(
        (status = 200, description = "The session has ended", body = Done),
        (status = 400, description = "The body breaks off", body = ErrorBody),
        (status = 404, description = "The session does not exist", body = ErrorBody),
        (status = 408, description = "The body was not received in time", body = ErrorBody),
        (status = 422, description = "A parameter or a body that there is none of", body = ErrorBody),
        (status = 500, description = "The session has ended, but its files could not be removed yet", body = ErrorBody),
        (status = 503, description = "The session ends, but its files are not removed yet", body = ErrorBody),
    )
)]
pub async fn delete(request: Request<(String, Body)>) -> Result<Json, ApiError> {
    let (request, (id, body)) = request.take_target();
    request_body::nothing(&request, body).await?;
    let id = parse_id(&id)?;
    let whose = request.caller.managed();
    let deleted = request.app.system.delete_session(id, whose).await;
    // With the other errors it ends, too, and its files are left for a while.
    if !matches!(
        deleted,
        Err(DeleteSessionError::Unanswered(
            Unanswered::NotFound | Unanswered::ShuttingDown
        ))
    ) {
        request.did(Action::SessionDeleted, Target::Session(id));
    }
    deleted?;
    Ok(warp::reply::json(&Done {
        success: true,
        message: format!("Session {id} deleted"),
    }))
}

/// Ends all requests of a session that wait or run. Each is answered with an error.
#[utoipa::path(
    delete, path = "/ws/session/{session_id}/generation", operation_id = "cancel_generation",
    tag = "sessions",
    security(("token" = ["use"])),
    params(("session_id" = uuid::Uuid, Path, description = "The session")),
    responses(
        (status = 200, description = "The requests have ended", body = Done),
        (status = 400, description = "The body breaks off", body = ErrorBody),
        (status = 404, description = "The session does not exist, or has no requests", body = ErrorBody),
        (status = 408, description = "The body was not received in time", body = ErrorBody),
        (status = 422, description = "A parameter or a body that there is none of", body = ErrorBody),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
    )
)]
pub async fn cancel(request: Request<(String, Body)>) -> Result<Json, ApiError> {
    let (request, (id, body)) = request.take_target();
    request_body::nothing(&request, body).await?;
    let session = find(&request.app, &id, request.caller.own()).await?;
    match session.cancel().await? {
        0 => Err(ApiError::new(
            StatusCode::NOT_FOUND,
            ErrorCode::NothingToCancel,
            "Session has no requests that wait or run",
        )),
        count => {
            request.did(Action::GenerationCancelled, Target::Session(session.id()));
            Ok(warp::reply::json(&Done {
                success: true,
                message: format!("Requests cancelled: {count}"),
            }))
        }
    }
}

/// Lets a completed session take images and requests again, in the same coordinates.
#[utoipa::path(
    post, path = "/ws/session/{session_id}/reopen", operation_id = "reopen_session",
    tag = "sessions",
    security(("token" = ["use"])),
    params(("session_id" = uuid::Uuid, Path, description = "The session")),
    responses(
        (status = 200, description = "The session is active", body = Done),
        (status = 400, description = "The body breaks off", body = ErrorBody),
        (status = 404, description = "The session does not exist", body = ErrorBody),
        (status = 408, description = "The body was not received in time", body = ErrorBody),
        (status = 409, description = "The session is not completed", body = ErrorBody),
        (status = 422, description = "A parameter or a body that there is none of", body = ErrorBody),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
    )
)]
pub async fn reopen(request: Request<(String, Body)>) -> Result<Json, ApiError> {
    let (request, (id, body)) = request.take_target();
    request_body::nothing(&request, body).await?;
    let session = find(&request.app, &id, request.caller.own()).await?;
    session.reopen().await?.map_err(|error| {
        ApiError::new(
            StatusCode::CONFLICT,
            ErrorCode::NotCompleted,
            error.to_string(),
        )
    })?;
    request.did(Action::SessionReopened, Target::Session(session.id()));
    Ok(warp::reply::json(&Done {
        success: true,
        message: format!("Session {} reopened", session.id()),
    }))
}

/// Makes a token to watch the session: whoever has it sees results and images, and changes nothing.
#[utoipa::path(
    post, path = "/ws/session/{session_id}/watch-token", operation_id = "make_watch_token",
    tag = "sessions",
    security(("token" = ["use"])),
    params(("session_id" = uuid::Uuid, Path, description = "The session")),
    responses(
        (status = 200, description = "The token; the same at each request", body = WatchToken),
        (status = 400, description = "The body breaks off", body = ErrorBody),
        (status = 404, description = "The session does not exist", body = ErrorBody),
        (status = 408, description = "The body was not received in time", body = ErrorBody),
        (status = 422, description = "A parameter or a body that there is none of", body = ErrorBody),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
    )
)]
pub async fn watch_token(request: Request<(String, Body)>) -> Result<Json, ApiError> {
    let (request, (id, body)) = request.take_target();
    request_body::nothing(&request, body).await?;
    let session = find(&request.app, &id, request.caller.own()).await?;
    let id = session.id();
    let auth = &request.app.auth;
    let token = auth.session_token(Purpose::Watch, &request.caller, id);
    request.did(Action::WatchTokenMade, Target::Session(id));
    Ok(warp::reply::json(&WatchToken::new(id, token.as_ref())))
}

/// Lists the sessions of the caller, the oldest first, with statistics; for operators all sessions.
#[utoipa::path(
    get, path = "/ws/sessions", operation_id = "list_sessions", tag = "sessions",
    security(("token" = ["use"]), ("token" = ["operate"])),
    responses(
        (status = 200, description = "The sessions", body = List),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
    )
)]
pub async fn list(request: Request) -> Result<Json, ApiError> {
    request.query.only([])?;
    let app = request.app;
    let sessions = app.system.sessions(request.caller.managed()).await?;
    Ok(warp::reply::json(&List::new(
        &sessions,
        app.system.settings(),
    )))
}

/// The session that a path names, if the caller may reach it.
///
/// # Errors
/// 404, also for an invalid identifier and for the session of another one; 503 if the server is too
/// busy.
pub async fn find(app: &App, id: &str, whose: Whose) -> Result<SessionHandle, ApiError> {
    Ok(app.system.session(parse_id(id)?, whose).await?)
}

fn parse_id(id: &str) -> Result<SessionId, ApiError> {
    SessionId::try_parse(id).map_err(|_| ApiError::session_not_found())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_identifiers_are_not_found() {
        assert_eq!(parse_id("../../etc"), Err(ApiError::session_not_found()));
        assert!(parse_id("67e55044-10b1-426f-9247-bb680e5fe0c8").is_ok());
    }
}
