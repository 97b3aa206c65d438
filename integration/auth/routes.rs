//! Every route asks for the scope that the description of the interface names.

use serde_json::Value;

use crate::support::pictures::photo;
use crate::support::rest::{self, FORM, form};
use crate::support::server::Server;
use crate::support::tokens::{Tokens, create, with_token};
use crate::support::until;

/// An operation of the interface.
struct Operation {
    method: String,
    /// With values for its variables.
    path: String,
    /// A caller needs all scopes of one of these; none if it is open to everyone.
    scopes: Vec<Vec<String>>,
}

/// All operations, as the server describes them.
async fn operations(server: &Server, session: &str) -> Vec<Operation> {
    let document = server.get("/openapi.json").await.json();
    let scheme = &document["components"]["securitySchemes"]["token"];
    assert_eq!(scheme["scheme"], "bearer", "{scheme}");
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().expect("an object") {
        for (method, operation) in item.as_object().expect("an object") {
            let security = operation["security"].as_array();
            let security = security.unwrap_or_else(|| panic!("{method} {path} says nothing"));
            let scopes = security.iter().map(|one| {
                let scopes = one["token"].as_array().expect("scopes");
                let scopes = scopes.iter().map(|scope| scope.as_str().expect("text"));
                scopes.map(str::to_owned).collect()
            });
            found.push(Operation {
                method: method.to_uppercase(),
                path: path
                    .replace("{session_id}", session)
                    .replace("{index}", "0")
                    .replace("{number}", "1")
                    .replace("{file}", "index.html")
                    .replace("{photo}", "000.jpg"),
                scopes: scopes.collect(),
            });
        }
    }
    found
}

#[tokio::test]
async fn every_operation_asks_for_what_is_described() {
    let tokens = Tokens::new();
    let maker = tokens.add("maker", "create").await;
    let user = tokens.add("user", "use").await;
    let watcher = tokens.add("watcher", "watch").await;
    let operator = tokens.add("operator", "operate").await;
    let both = tokens.add("both", "create,use").await;
    let server = tokens.server(&[]).await;
    let (session, _) = create(&server, &maker).await;
    let operations = operations(&server, &session).await;
    until("a ready worker", async || {
        (server.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    let closed = operations.iter().filter(|one| !one.scopes.is_empty());
    assert!(closed.count() >= 12);
    for Operation {
        method,
        path,
        scopes,
    } in &operations
    {
        if path.starts_with("/ws/reconstruct/") {
            // It tells refusals on the socket.
            assert_eq!(scopes, &[["use"], ["watch"]]);
            continue;
        }
        let what = format!("{method} {path}");
        let url = format!("{}{path}", server.base());
        let mut refused = vec![
            rest::request(method, &url, &[]).await,
            with_token(&server, "pst_wrong", method, path).await,
        ];
        if scopes.is_empty() {
            // A worker that was restarted a moment ago is not ready yet.
            let is_open = |reply: &rest::Reply| reply.status < 400 || reply.status == 503;
            assert!(refused.iter().all(is_open), "{what}");
            continue;
        }
        refused.push(rest::request(method, &url, &[("authorization", "Basic eDp5")]).await);
        for reply in refused {
            assert_eq!(reply.status, 401, "{what}: {}", reply.text());
            let challenge = reply.header("www-authenticate").expect("a challenge");
            assert!(challenge.starts_with("Bearer "), "{what}: {challenge}");
            assert!(reply.detail().to_lowercase().contains("token"), "{what}");
        }
        let callers: [(&[&str], _); 5] = [
            (&["create"], &maker),
            (&["use"], &user),
            (&["watch"], &watcher),
            (&["operate"], &operator),
            (&["create", "use"], &both),
        ];
        for (own, token) in callers {
            let reply = with_token(&server, token, method, path).await;
            let has = |scope: &String| own.contains(&scope.as_str());
            if scopes.iter().any(|one| one.iter().all(has)) {
                assert!(
                    ![401, 403].contains(&reply.status),
                    "{what}: {}",
                    reply.text()
                );
                continue;
            }
            assert_eq!(reply.status, 403, "{what} with {own:?}: {}", reply.text());
            let detail = reply.detail();
            let challenge = reply.header("www-authenticate").expect("a challenge");
            for needed in scopes.iter().flatten() {
                assert!(detail.contains(needed), "{what}: {detail}");
                assert!(challenge.contains(needed), "{what}: {challenge}");
            }
        }
    }
}

#[tokio::test]
async fn a_refused_upload_is_read_and_answered() {
    let tokens = Tokens::new();
    let maker = tokens.add("maker", "create").await;
    let server = tokens.server(&[]).await;
    let url = format!("{}/reconstruct?process_res=56&format=json", server.base());
    let noise = vec![0; 8 << 20];
    let large = form(&[("images", None, &noise)]);
    let headers = [("content-type", FORM)];
    let reply = rest::request_with("POST", &url, &headers, large).await;
    assert_eq!(reply.status, 401, "{}", reply.text());
    let bearer = format!("Bearer {maker}");
    let headers = [("content-type", FORM), ("authorization", &*bearer)];
    let body = form(&[("images", None, &photo(0))]);
    let reply = rest::request_with("POST", &url, &headers, body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn an_upload_in_the_background_gets_the_token_of_its_session() {
    let tokens = Tokens::new();
    let maker = tokens.add("maker", "create").await;
    let server = tokens.server(&[]).await;
    let url = format!("{}/reconstruct?process_res=56&async=true", server.base());
    let bearer = format!("Bearer {maker}");
    let headers = [("content-type", FORM), ("authorization", &*bearer)];
    let body = form(&[("images", None, &photo(0))]);
    let accepted = rest::request_with("POST", &url, &headers, body).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    let accepted = accepted.json();
    let token = accepted["session_token"].as_str().expect("a token");
    let status = accepted["status_url"].as_str().expect("a path");
    assert_eq!(with_token(&server, token, "GET", status).await.status, 200);
    assert_eq!(with_token(&server, &maker, "GET", status).await.status, 403);
}

#[tokio::test]
async fn operators_are_asked_at_their_own_address_too() {
    let tokens = Tokens::new();
    let user = tokens.add("user", "create,use").await;
    let operator = tokens.add("operator", "operate").await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let door = free.local_addr().expect("an address").to_string();
    drop(free);
    let _server = tokens.server(&["--operator-listen", &door]).await;
    for (token, status) in [("", 401), (&*user, 403), (&*operator, 200)] {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", &*bearer)];
        let headers = if token.is_empty() { &[][..] } else { &headers };
        let url = format!("http://{door}/metrics");
        let reply = rest::request("GET", &url, headers).await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
}

#[tokio::test]
async fn without_authentication_nothing_is_asked_and_nothing_is_added() {
    let server = Server::start(&[]).await;
    let path = "/ws/session/create?process_res=56";
    let created = with_token(&server, "pst_anything", "POST", path).await;
    assert_eq!(created.status, 200, "{}", created.text());
    assert!(created.json().get("session_token").is_none());
    assert_eq!(server.get("/actors").await.status, 200);
    let document = server.get("/openapi.json").await.json();
    assert_eq!(document["security"], Value::Array(Vec::new()));
    assert!(document["components"].get("securitySchemes").is_none());
}

#[tokio::test]
async fn allowed_pages_may_send_a_token() {
    let tokens = Tokens::new();
    let user = tokens.add("user", "create,use").await;
    let server = tokens.server(&[]).await;
    let url = format!("{}/ws/sessions", server.base());
    let preflight = [
        ("origin", "http://localhost:5173"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization"),
    ];
    let reply = rest::request("OPTIONS", &url, &preflight).await;
    let allowed = reply.header("access-control-allow-headers").expect("CORS");
    assert!(allowed.contains("authorization"), "{allowed}");
    let bearer = format!("Bearer {user}");
    let headers = [
        ("origin", "http://localhost:5173"),
        ("authorization", &*bearer),
    ];
    let reply = rest::request("GET", &url, &headers).await;
    assert_eq!(reply.status, 200);
    let origin = reply.header("access-control-allow-origin");
    assert_eq!(origin, Some("http://localhost:5173"));
}
