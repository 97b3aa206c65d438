//! The OpenAPI document of this server.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use pointstream_actors::{DeltasKind, ResultFormat, SessionConfig};
use serde::Serialize;
use serde_json::Value;
use strum::VariantArray;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, OpenApi as Document, Ref, RefOr, Required, ResponseBuilder, ServerBuilder,
};
use utoipa::{OpenApi, PartialSchema, ToSchema};
use warp::reply::Json;

use super::results::Format;
use super::{
    docs, images, operators, pages, reconstruct, results, sample, sessions, stats, videos, webhooks,
};
use crate::api::STRICT;
use crate::api::schemas::{File, name_variants};
use crate::api::{ErrorBody, Query, Request};
use crate::app::App;
use crate::entrance::PathPrefix;
use crate::ws;

/// The operation whose session parameters are those of another session unless they are given.
const RERUN: &str = "/ws/session/{session_id}/rerun";
/// Operations that take the parameters of a new session.
const TAKE_SESSION_PARAMETERS: [&str; 2] = ["/ws/session/create", "/reconstruct"];

/// The name of the scheme in the descriptions of the operations.
const SECURITY_SCHEME: &str = "token";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "pointstream",
        description = "Turns a live stream of photos into a 3D point cloud. A client creates a \
                       session here, streams images into it over a WebSocket, which \
                       [/asyncapi.json](/asyncapi.json) describes, and gets point clouds back.",
    ),
    tags(
        (name = "sessions", description = "For clients"),
        (name = "operators", description = "For operators"),
        (name = "documents", description = "Descriptions of the interfaces"),
        (name = "pages", description = "For people"),
    ),
    paths(
        sessions::create,
        sessions::show,
        sessions::delete,
        sessions::cancel,
        sessions::reopen,
        sessions::watch_token,
        sessions::rerun,
        sessions::list,
        images::list_images,
        images::original,
        images::thumbnail,
        results::fetch,
        reconstruct::reconstruct,
        videos::frames,
        ws::accept,
        operators::healthz,
        operators::readyz,
        operators::status,
        operators::info,
        operators::actors,
        operators::restart_worker,
        operators::metrics,
        webhooks::list,
        webhooks::redeliver,
        stats::stats,
        openapi,
        asyncapi,
        docs::page,
        docs::file,
        pages::client,
        pages::dashboard,
        pages::watch,
        sample::photo,
    ),
    components(schemas(DeltasKind)),
)]
struct Api;

/// Returns the description of this server's REST interface.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "get_openapi", tag = "documents",
    responses((status = 200, description = "An OpenAPI document", body = Value))
)]
pub async fn openapi(request: Request) -> Json {
    warp::reply::json(&document(&request.app, &request.arrival.prefix))
}

/// Returns the description of the WebSocket.
#[utoipa::path(
    get, path = "/asyncapi.json", operation_id = "get_asyncapi", tag = "documents",
    responses((status = 200, description = "An AsyncAPI document", body = Value))
)]
pub async fn asyncapi(request: Request) -> Json {
    let asks = request.app.auth.asks();
    let version = operators::PROTOCOL_VERSION;
    warp::reply::json(&ws::document(version, asks, &request.arrival))
}

/// The templates of all routes.
pub static ROUTES: LazyLock<Vec<String>> =
    LazyLock::new(|| Api::openapi().paths.paths.into_keys().collect());

/// An OpenAPI document with rewritten components.
#[derive(Serialize)]
struct Described {
    #[serde(flatten)]
    document: Document,
    components: Value,
}

/// The document, with the limits of this server, for clients that have this prefix before its paths.
fn document(app: &App, prefix: &PathPrefix) -> Described {
    let mut document = Api::openapi();
    document.info.version = operators::PROTOCOL_VERSION.to_owned();
    let base = match prefix.as_str() {
        "" => "/",
        prefix => prefix,
    };
    document.servers = Some(vec![ServerBuilder::new().url(base).build()]);
    if let Some(text) = &mut document.info.description {
        *text = text.replace("(/asyncapi.json)", &format!("({prefix}/asyncapi.json)"));
    }
    // Each operation says itself what it needs.
    document.security = Some(Vec::new());
    let asks = app.auth.asks();
    for item in document.paths.paths.values_mut() {
        for (changes, operation) in operations(item) {
            let security = operation.security.get_or_insert_default();
            if !asks {
                security.clear();
            }
            add_common_errors(operation, changes);
            describe_formats(operation);
            describe_strictness(operation);
        }
    }
    let parameters = session_parameters(app);
    let items = &mut document.paths.paths;
    for path in TAKE_SESSION_PARAMETERS {
        if let Some(operation) = items.get_mut(path).and_then(|item| item.post.as_mut()) {
            let own = operation.parameters.get_or_insert_default();
            own.extend(parameters.iter().cloned());
        }
    }
    if let Some(operation) = items.get_mut(RERUN).and_then(|item| item.post.as_mut()) {
        let own = operation.parameters.get_or_insert_default();
        own.extend(parameters.into_iter().map(without_default));
    }
    let mut components = document.components.take();
    if let Some(components) = &mut components
        && asks
    {
        components.add_security_scheme(SECURITY_SCHEME, security_scheme());
    }
    let mut components = serde_json::to_value(components).unwrap_or_default();
    if let Some(Value::Object(schemas)) = components.get_mut("schemas") {
        name_variants(schemas);
    }
    Described {
        document,
        components,
    }
}

/// How callers show who they are.
fn security_scheme() -> SecurityScheme {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A token with the scopes of one of the alternatives that the operation names: create, use or \
             operate. The operator of the server gives out tokens; POST /ws/session/create answers one for the new \
             session alone, which has the scope use.",
        ))
        .build();
    SecurityScheme::Http(scheme)
}

/// The operations of a path, and whether they are unsafe methods.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, &mut Operation)> {
    [
        (false, item.get.as_mut()),
        (true, item.post.as_mut()),
        (true, item.delete.as_mut()),
    ]
    .into_iter()
    .filter_map(|(changes, operation)| Some((changes, operation?)))
}

/// Adds the errors that any request may get.
fn add_common_errors(operation: &mut Operation, changes: bool) {
    let error = |description: &str| {
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(ErrorBody::name())))
            .build();
        RefOr::T(
            ResponseBuilder::new()
                .description(description)
                .content("application/json", content)
                .build(),
        )
    };
    let asks = operation
        .security
        .as_ref()
        .is_some_and(|needs| !needs.is_empty());
    let responses = &mut operation.responses.responses;
    if asks {
        let unknown = error("There is no valid token");
        responses.insert("401".to_owned(), unknown);
    }
    let forbidden = match (asks, changes) {
        (true, true) => {
            "The token lacks the scope, or web pages of this origin may not use the server"
        }
        (true, false) => "The token lacks the scope",
        (false, true) => "Web pages of this origin may not use the server",
        (false, false) => "",
    };
    if !forbidden.is_empty() {
        responses.insert("403".to_owned(), error(forbidden));
    }
    responses.insert("4XX".to_owned(), error("The request is refused"));
    responses.insert("default".to_owned(), error("The request failed"));
}

/// Adds the parameter that makes the server ignore what it does not know.
fn describe_strictness(operation: &mut Operation) {
    let tags = operation.tags.iter().flatten();
    if tags.into_iter().any(|tag| tag == "sessions") {
        let schema = ObjectBuilder::new()
            .schema_type(Type::Boolean)
            .default(Some(true.into()))
            .build();
        let strict = ParameterBuilder::new()
            .name(STRICT)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(
                "Whether unknown parameters, and bodies that are not read, are refused",
            ))
            .schema(Some(schema))
            .build();
        operation
            .parameters
            .get_or_insert_default()
            .push(strict.into());
    }
}

/// Describes the formats of a result where one is asked for: the parameter, and the media types of
/// the answer.
fn describe_formats(operation: &mut Operation) {
    let mut chosen = false;
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && parameter.name == "format"
        {
            chosen = true;
            let schema = ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some(Format::all().map(Format::name)))
                .default(Some(ResultFormat::Glb.to_string().into()))
                .build();
            parameter.schema = Some(schema.into());
        }
    }
    for status in ["200", "206"] {
        let Some(RefOr::T(response)) = operation.responses.responses.get_mut(status) else {
            continue;
        };
        if chosen {
            // The default comes first.
            let json = std::mem::take(&mut response.content);
            for format in ResultFormat::VARIANTS {
                let content = ContentBuilder::new().schema(Some(File::schema())).build();
                let kind = format.content_type().to_owned();
                response.content.insert(kind, RefOr::T(content));
            }
            response.content.extend(json);
        }
    }
}

/// A session's parameters with their defaults and this server's ranges.
fn session_parameters(app: &App) -> Vec<RefOr<Parameter>> {
    let mut parts = Vec::new();
    SessionConfig::schemas(&mut parts);
    let parts: BTreeMap<_, _> = parts.into_iter().collect();
    let limits = app.system.config_limits();
    let config = Query::default().session_config(&limits).unwrap_or_default();
    let ranges = config.ranges(&limits);
    let defaults = serde_json::to_value(&config).unwrap_or_default();
    properties(SessionConfig::schema(), &parts)
        .into_iter()
        .map(|(name, property)| {
            let (mut property, mut description) = resolve(property, &parts);
            if let RefOr::T(Schema::Object(property)) = &mut property {
                description = description.or(property.description.take());
                property.default = defaults.get(&name).cloned();
                if let Some(range) = ranges.iter().find(|range| range.parameter == name) {
                    property.minimum = Some(range.min.into());
                    property.maximum = Some(range.max.into());
                }
            }
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(description)
                .schema(Some(property))
                .build()
                .into()
        })
        .collect()
}

fn without_default(mut parameter: RefOr<Parameter>) -> RefOr<Parameter> {
    if let RefOr::T(parameter) = &mut parameter
        && let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema
    {
        schema.default = None;
    }
    parameter
}

/// Replaces a reference by its schema; returns the description of the reference, too.
fn resolve(
    schema: RefOr<Schema>,
    parts: &BTreeMap<String, RefOr<Schema>>,
) -> (RefOr<Schema>, Option<String>) {
    let RefOr::Ref(reference) = &schema else {
        return (schema, None);
    };
    let name = reference.ref_location.rsplit('/').next();
    let found = name.and_then(|name| parts.get(name).cloned());
    let description = Some(reference.description.clone()).filter(|text| !text.is_empty());
    (found.unwrap_or(schema), description)
}

/// The properties of a schema, including those of flattened parts.
fn properties(
    schema: RefOr<Schema>,
    parts: &BTreeMap<String, RefOr<Schema>>,
) -> Vec<(String, RefOr<Schema>)> {
    match resolve(schema, parts).0 {
        RefOr::T(Schema::Object(object)) => object.properties.into_iter().collect(),
        RefOr::T(Schema::AllOf(all)) => {
            let flattened = all.items.into_iter();
            flattened.flat_map(|part| properties(part, parts)).collect()
        }
        _ => Vec::new(),
    }
}
