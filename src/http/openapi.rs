//! The OpenAPI document of this server.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use pointstream_actors::{ResultFormat, SessionConfig};
use serde::Serialize;
use serde_json::Value;
use strum::VariantArray;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{
    ContentBuilder, OpenApi as Document, Ref, RefOr, Required, ResponseBuilder, ServerBuilder,
};
use utoipa::{OpenApi, PartialSchema, ToSchema};
use warp::reply::Json;

use super::results::Format;
use super::{docs, images, operators, pages, reconstruct, results, sessions, stats};
use crate::api::schemas::{File, name_variants};
use crate::api::{ErrorBody, Query, Request};
use crate::app::App;
use crate::ws;

/// Operations that take the parameters of a new session.
const TAKE_SESSION_PARAMETERS: [&str; 2] = ["/ws/session/create", "/reconstruct"];

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
        sessions::list,
        images::list_images,
        images::thumbnail,
        results::fetch,
        reconstruct::reconstruct,
        ws::accept,
        operators::healthz,
        operators::readyz,
        operators::info,
        operators::actors,
        operators::restart_worker,
        operators::metrics,
        stats::stats,
        openapi,
        asyncapi,
        docs::page,
        docs::file,
        pages::client,
        pages::dashboard,
    ),
)]
struct Api;

/// Returns the description of this server's REST interface.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "get_openapi", tag = "documents",
    responses((status = 200, description = "An OpenAPI document", body = Value))
)]
pub async fn openapi(request: Request) -> Json {
    warp::reply::json(&document(&request.app))
}

/// Returns the description of the WebSocket.
#[utoipa::path(
    get, path = "/asyncapi.json", operation_id = "get_asyncapi", tag = "documents",
    responses((status = 200, description = "An AsyncAPI document", body = Value))
)]
pub async fn asyncapi(_: Request) -> Json {
    warp::reply::json(&ws::document(operators::PROTOCOL_VERSION))
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

/// The document, with the limits of this server.
fn document(app: &App) -> Described {
    let mut document = Api::openapi();
    document.info.version = operators::PROTOCOL_VERSION.to_owned();
    document.servers = Some(vec![ServerBuilder::new().url("/").build()]);
    // No operation needs credentials.
    document.security = Some(Vec::new());
    for item in document.paths.paths.values_mut() {
        for (changes, operation) in operations(item) {
            add_common_errors(operation, changes);
            describe_formats(operation);
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
    let components = document.components.take();
    let mut components = serde_json::to_value(components).unwrap_or_default();
    if let Some(Value::Object(schemas)) = components.get_mut("schemas") {
        name_variants(schemas);
    }
    Described {
        document,
        components,
    }
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
    let responses = &mut operation.responses.responses;
    if changes {
        let forbidden = error("Web pages of this origin may not use the server");
        responses.insert("403".to_owned(), forbidden);
    }
    responses.insert("4XX".to_owned(), error("The request is refused"));
    responses.insert("default".to_owned(), error("The request failed"));
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
