//! `/openapi.json` describes the REST interface, and `/docs` shows it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::archives::repository;
use crate::support::pictures::photo;
use crate::support::python;
use crate::support::rest::{self, FORM, Reply};
use crate::support::schemas::{Schemas, escape};
use crate::support::server::Server;

#[tokio::test]
async fn the_description_is_valid() {
    let server = Server::start(&[]).await;
    let document = server.get("/openapi.json").await.body;
    python::run("schemas/openapi.py", document).await;
}

/// A path whose variable segments all have the same name.
fn without_names(path: &str) -> String {
    let segments = path.split('/');
    let segments: Vec<_> = segments
        .map(|segment| {
            if segment.starts_with('{') {
                "{}"
            } else {
                segment
            }
        })
        .collect();
    segments.join("/")
}

/// The routes in the program's source, by the calls of warp's `path!`.
fn routes_of_the_source() -> BTreeSet<String> {
    let folder = repository().join("src/http");
    let mut routes = BTreeSet::new();
    for entry in folder.read_dir().expect("the source is there") {
        let path = entry.expect("readable").path();
        if !path.is_file() {
            continue;
        }
        let source = std::fs::read_to_string(path).expect("UTF-8");
        if source.contains("warp::path::end()") {
            routes.insert("/".to_owned());
        }
        for call in source.split("warp::path!(").skip(1) {
            let segments = call.split(')').next().expect("it ends");
            let segments: Vec<_> = segments
                .split('/')
                .map(str::trim)
                .map(|segment| match segment.strip_prefix('"') {
                    Some(word) => word.trim_end_matches('"'),
                    None => "{}",
                })
                .collect();
            routes.insert(format!("/{}", segments.join("/")));
        }
    }
    routes
}

#[tokio::test]
async fn every_route_is_described() {
    let served = routes_of_the_source();
    for known in [
        "/healthz",
        "/stats",
        "/ws/sessions",
        "/ws/session/{}/result",
        "/docs/{}",
    ] {
        assert!(served.contains(known), "{known} was not found: {served:?}");
    }
    let server = Server::start(&[]).await;
    let document = server.get("/openapi.json").await.json();
    let paths = document["paths"].as_object().expect("an object");
    let described: BTreeSet<_> = paths.keys().map(|path| without_names(path)).collect();
    assert_eq!(described, served);
}

/// Sends a request for a path, with values for its variables.
async fn ask(server: &Server, method: &str, path: &str, session: &str) -> Reply {
    let path = path
        .replace("{session_id}", session)
        .replace("{index}", "0")
        .replace("{number}", "1")
        .replace("{file}", "index.html")
        .replace("{photo}", "000.jpg");
    let url = format!("{}{path}", server.base());
    rest::request(&method.to_uppercase(), &url, &[]).await
}

/// Queues a check of a response against its description.
fn expect_documented(schemas: &mut Schemas, method: &str, path: &str, reply: &Reply) {
    let what = format!("{method} {path}: {}", reply.status);
    let responses = format!("/paths/{}/{method}/responses", escape(path));
    let response = format!("{responses}/{}", reply.status);
    assert!(
        schemas.has(&response),
        "{what} is not described: {}",
        reply.text()
    );
    let kind = reply.header("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default();
    let content = format!("{response}/content/{}", escape(kind));
    assert!(
        reply.body.is_empty() || schemas.has(&content),
        "{what}: {kind} is not described"
    );
    if kind == "application/json" {
        let schema = format!("{response}/content/application~1json/schema");
        schemas.expect(&what, &schema, &reply.json());
    }
}

/// Lets the outbox have a message, which nobody receives.
async fn told_of_a_session(server: &Server) {
    let url = format!("{}/ws/session/create", server.base());
    let body = r#"{"webhook": {"url": "https://localhost:1/"}}"#;
    let reply = rest::request_with("POST", &url, &[], body.as_bytes().to_vec()).await;
    let created = reply.json();
    assert!(created["webhook"]["secret"].is_string(), "{created}");
    let session = created["session_id"].as_str().expect("text");
    server.delete(&format!("/ws/session/{session}")).await;
}

#[tokio::test]
async fn every_operation_responds_as_described() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    client.upload("x.png", &photo(0)).await;
    client.send_image("no.png", b"no picture").await;
    client.expect_error(&[]).await;
    client.generate(true).await;
    client.result("delta").await;
    let mut schemas = Schemas::of(&server, "/openapi.json").await;
    told_of_a_session(&server).await;

    let paths = schemas.document["paths"].clone();
    let mut operations: Vec<(String, String)> = Vec::new();
    for (path, item) in paths.as_object().expect("an object") {
        let methods = item.as_object().expect("an object").keys();
        operations.extend(methods.map(|method| (method.clone(), path.clone())));
    }
    // The session is deleted last, and has no requests to cancel.
    operations.sort_by_key(|(method, path)| method == "delete" && !path.ends_with("/generation"));
    for (method, path) in &operations {
        let reply = ask(&server, method, path, &client.session).await;
        assert!(
            ![404, 405, 500].contains(&reply.status)
                || (reply.status == 404 && path.ends_with("/generation")),
            "{method} {path}: {}",
            reply.text()
        );
        expect_documented(&mut schemas, method, path, &reply);
    }
    let result = format!(
        "/ws/session/{}/result?format=json",
        server.session("").await
    );
    assert_eq!(server.get(&result).await.status, 404);
    let url = format!("{}/reconstruct?process_res=56", server.base());
    let form = rest::form(&[("images", None, &photo(0))]);
    for (query, status) in [("&async=true", 202), ("&format=json", 200)] {
        let url = format!("{url}{query}");
        let headers = [("content-type", FORM)];
        let reply = rest::request_with("POST", &url, &headers, form.clone()).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        expect_documented(&mut schemas, "post", "/reconstruct", &reply);
    }
    // The session is deleted now.
    for (method, path) in &operations {
        if path.contains("{session_id}") && !path.contains("reconstruct") {
            let reply = ask(&server, method, path, &client.session).await;
            assert_eq!(reply.status, 404, "{method} {path}");
            expect_documented(&mut schemas, method, path, &reply);
        }
    }
    schemas.check().await;
}

#[tokio::test]
async fn operations_that_ask_an_actor_describe_a_503() {
    let server = Server::start(&[]).await;
    let document = server.get("/openapi.json").await.json();
    let mut asking = 0;
    for (path, item) in document["paths"].as_object().expect("an object") {
        for (method, operation) in item.as_object().expect("an object") {
            let upgrades = operation["responses"]["101"].is_object();
            let asks = operation["tags"] == json!(["sessions"]) || path.starts_with("/actors");
            if asks && !upgrades {
                asking += 1;
                let busy = &operation["responses"]["503"];
                assert!(busy.is_object(), "{method} {path}: {operation}");
            }
        }
    }
    assert!(asking >= 10, "{asking}");
    for (path, method) in [
        ("/ws/session/{session_id}", "delete"),
        ("/ws/session/{session_id}/result", "get"),
        ("/ws/session/{session_id}/images/{index}", "get"),
        ("/ws/session/{session_id}/images/{index}/thumbnail", "get"),
    ] {
        let failed = &document["paths"][path][method]["responses"]["500"];
        assert!(failed.is_object(), "{method} {path}");
    }
}

#[tokio::test]
async fn a_result_in_json_is_as_described() {
    let server = Server::start(&[]).await;
    let mut client = server.client("").await;
    for index in 0..3 {
        client.upload("x.png", &photo(index)).await;
        client.generate(true).await;
        client.result("delta").await;
    }
    let mut schemas = Schemas::of(&server, "/openapi.json").await;
    let path = "/ws/session/{session_id}/result";
    let url = format!("{path}?format=json").replace("{session_id}", &client.session);
    let reply = server.get(&url).await;
    assert_eq!(reply.status, 200);
    expect_documented(&mut schemas, "get", path, &reply);
    schemas.check().await;
}

/// The description of the parameters of a new session.
async fn session_parameters(server: &Server) -> Vec<Value> {
    let document = server.get("/openapi.json").await.json();
    let parameters = &document["paths"]["/ws/session/create"]["post"]["parameters"];
    let mut parameters = parameters.as_array().expect("a list").clone();
    parameters.retain(|parameter| parameter["name"] != "strict");
    for parameter in &mut parameters {
        assert_eq!(parameter["in"], "query", "{parameter}");
        assert!(parameter["description"].is_string(), "{parameter}");
        // References are followed.
        if let Some(reference) = parameter["schema"]["$ref"].as_str() {
            let target = document.pointer(reference.trim_start_matches('#'));
            parameter["schema"] = target.expect("the reference has a target").clone();
        }
    }
    parameters
}

async fn create(server: &Server, name: &str, value: &Value) -> Reply {
    let value = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let reply = server
        .post(&format!("/ws/session/create?{name}={value}"))
        .await;
    if reply.status == 200 {
        let session = reply.json()["session_id"]
            .as_str()
            .expect("text")
            .to_owned();
        server.delete(&format!("/ws/session/{session}")).await;
    }
    reply
}

#[tokio::test]
async fn parameters_have_the_described_defaults_and_ranges() {
    // The described ranges are those of this server.
    let limits = ["--max-images-limit", "50", "--max-points-limit", "2000"];
    let server = Server::start(&limits).await;
    let parameters = session_parameters(&server).await;
    let created = server.post("/ws/session/create").await.json();
    let mut ranges = 0;
    for parameter in &parameters {
        let name = parameter["name"].as_str().expect("a name");
        let schema = &parameter["schema"];
        let used = created.get(name).unwrap_or(&created["config"][name]);
        assert_eq!(parameter["schema"]["default"], *used, "{name}");
        if let Some(choices) = schema["enum"].as_array() {
            for choice in choices {
                assert_eq!(
                    create(&server, name, choice).await.status,
                    200,
                    "{name} {choice}"
                );
            }
            assert_eq!(
                create(&server, name, &json!("other")).await.status,
                422,
                "{name}"
            );
        }
        if let (Some(min), Some(max)) = (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
            ranges += 1;
            for (value, status) in [(min, 200), (max, 200), (min - 1.0, 422), (max + 1.0, 422)] {
                let value = match schema["type"].as_str() {
                    Some("integer") => json!(value as i64),
                    _ => json!(value),
                };
                let reply = create(&server, name, &value).await;
                assert_eq!(reply.status, status, "{name}={value}: {}", reply.text());
            }
        }
        assert_eq!(
            create(&server, name, &json!("")).await.status,
            422,
            "{name}"
        );
    }
    assert!(ranges >= 4, "{ranges}");
    let names: BTreeSet<_> = parameters
        .iter()
        .filter_map(|it| it["name"].as_str())
        .collect();
    let config = created["config"].as_object().expect("an object");
    let mut used: BTreeSet<_> = config.keys().map(String::as_str).collect();
    used.insert("max_images");
    assert_eq!(
        names, used,
        "all parameters that a session has are described"
    );
}

#[tokio::test]
async fn the_page_loads_nothing_from_other_servers() {
    let server = Server::start(&[]).await;
    let redirect = server.get("/docs").await;
    assert_eq!(redirect.header("location"), Some("docs/"));
    let page = server.get("/docs/").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html"));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'self';"), "{policy}");
    let text = page.text();
    assert!(!text.contains("://"), "{text}");
    let mut files = 0;
    for attribute in ["src=\"", "href=\""] {
        for part in text.split(attribute).skip(1) {
            let file = part.split('"').next().expect("it ends");
            let file = file.strip_prefix("./").unwrap_or(file);
            let reply = server.get(&format!("/docs/{file}")).await;
            assert_eq!(reply.status, 200, "{file}");
            assert!(!reply.body.is_empty(), "{file}");
            files += 1;
        }
    }
    assert!(files >= 4, "{text}");
    let settings = server.get("/docs/swagger-initializer.js").await.text();
    assert!(
        settings.contains("\"url\": \"../openapi.json\""),
        "{settings}"
    );
    assert!(
        settings.contains("\"validatorUrl\": \"none\""),
        "{settings}"
    );
    assert!(!settings.contains("://"), "{settings}");
    assert_eq!(server.get("/docs/nothing.js").await.status, 404);
}
