//! Tokens that an issuer signs (`--auth jwt`).

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::owners::points_of_one_request_are_limited;
use crate::support::client::Client;
use crate::support::issuer::{Issuer, Key};
use crate::support::server::{Server, refused_in, refused_start};
use crate::support::tokens::{create, with_token};
use crate::support::until;

const AUDIENCE: &str = "pointstream";

async fn server(keys: &str, options: &[&str]) -> Server {
    Server::start(&with_keys(keys, options)).await
}

/// Options with those of signed tokens.
fn with_keys<'a>(keys: &'a str, options: &[&'a str]) -> Vec<&'a str> {
    let own = [
        "--auth",
        "jwt",
        "--jwt-jwks",
        keys,
        "--jwt-issuer",
        Issuer::NAME,
        "--jwt-audience",
        AUDIENCE,
    ];
    [&own, options].concat()
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_secs()
}

/// Valid claims.
fn claims(subject: &str, scope: &str) -> Value {
    json!({
        "iss": Issuer::NAME, "aud": AUDIENCE, "sub": subject, "scope": scope, "exp": now() + 600,
    })
}

async fn status(server: &Server, token: &str) -> u16 {
    with_token(server, token, "GET", "/ws/sessions")
        .await
        .status
}

#[tokio::test]
async fn signed_tokens_have_owners_and_scopes() {
    let (one, other) = (Key::elliptic("one"), Key::rsa("other"));
    let issuer = Issuer::start(&[&one, &other]).await;
    let server = server(&issuer.url, &[]).await;
    let anna = one.sign(&claims("anna", "openid create use"));
    let anna_too = other.sign(&claims("anna", "use"));
    let bert = other.sign(&claims("bert", "create use"));
    let operator = one.sign(&claims("otto", "operate"));

    let (session, own) = create(&server, &anna).await;
    let path = format!("/ws/session/{session}");
    for token in [&anna, &anna_too, &operator, &own] {
        assert_eq!(with_token(&server, token, "GET", &path).await.status, 200);
    }
    assert_eq!(with_token(&server, &bert, "GET", &path).await.status, 404);
    assert_eq!(
        with_token(&server, &bert, "GET", "/stats").await.status,
        403
    );
    assert_eq!(
        with_token(&server, &operator, "GET", "/stats").await.status,
        200
    );
    for token in [&anna_too, &own] {
        let mut client = Client::with_token(&server, &session, token).await;
        client.expect_quiet().await;
    }
    server.logged("jwt:anna").await;
}

#[tokio::test]
async fn tokens_that_do_not_hold_are_refused() {
    let key = Key::elliptic("one");
    let issuer = Issuer::start(&[&key]).await;
    let server = server(&issuer.url, &[]).await;
    assert_eq!(
        status(&server, &key.sign(&claims("anna", "use"))).await,
        200
    );
    let with = |name: &str, value: Value| {
        let mut claims = claims("anna", "use");
        claims[name] = value;
        key.sign(&claims)
    };
    let without = |name: &str| {
        let mut claims = claims("anna", "use");
        claims.as_object_mut().expect("an object").remove(name);
        key.sign(&claims)
    };
    let valid = key.sign(&claims("anna", "use"));
    let mut parts = valid.split('.');
    let mut part = || parts.next().expect("a part");
    let (_, content, signature) = (part(), part(), part());
    let forged = Key::elliptic("one").sign(&claims("otto", "use"));
    let unsigned = format!("{}.{content}.", BASE64.encode(r#"{"alg":"none"}"#));
    // Signed with the public key as if it were a shared secret.
    let public = EncodingKey::from_secret(key.public.to_string().as_bytes());
    let mut header = Header::new(jsonwebtoken::Algorithm::HS256);
    header.kid = Some("one".to_owned());
    let confused = encode(&header, &claims("anna", "use"), &public).expect("a token");
    for (what, token) in [
        ("expired", with("exp", json!(now() - 3600))),
        ("not valid yet", with("nbf", json!(now() + 3600))),
        ("a wrong time", with("nbf", json!("soon"))),
        ("another issuer", with("iss", json!("https://other.test"))),
        ("another audience", with("aud", json!("other"))),
        ("a subject that breaks lines", with("sub", json!("a\nb"))),
        ("no time", without("exp")),
        ("no issuer", without("iss")),
        ("no audience", without("aud")),
        ("no subject", without("sub")),
        ("another key", forged.clone()),
        ("the content of another one", {
            let mut parts = forged.split('.');
            let (head, body) = (parts.next().expect("a head"), parts.next().expect("a body"));
            format!("{head}.{body}.{signature}")
        }),
        ("no signature", unsigned),
        ("a symmetric signature", confused),
        ("nonsense", "a.b.c".to_owned()),
    ] {
        assert_eq!(status(&server, &token).await, 401, "{what}");
    }
    assert_eq!(status(&server, &with("scope", json!("openid"))).await, 403);
    assert_eq!(status(&server, &without("scope")).await, 403);
    for token in [&valid, &forged] {
        assert!(
            !server.log().contains(&token[20..]),
            "a token is in the log"
        );
    }
}

#[tokio::test]
async fn new_keys_are_fetched_once_a_minute_at_most() {
    let (old, new) = (Key::elliptic("old"), Key::elliptic("new"));
    let issuer = Issuer::start(&[&old]).await;
    let server = server(&issuer.url, &[]).await;
    assert_eq!(issuer.requests(), 1);
    issuer.publish(&[&old, &new]);
    assert_eq!(status(&server, &old.sign(&claims("a", "use"))).await, 200);
    assert_eq!(issuer.requests(), 1);
    assert_eq!(status(&server, &new.sign(&claims("a", "use"))).await, 200);
    assert_eq!(issuer.requests(), 2);
    let unknown = Key::elliptic("unknown").sign(&claims("a", "use"));
    for _ in 0..5 {
        assert_eq!(status(&server, &unknown).await, 401);
    }
    // This minute may end meanwhile.
    assert!(issuer.requests() <= 3, "{}", issuer.requests());
}

#[tokio::test]
async fn a_key_may_take_the_place_of_another_one_of_its_name() {
    let (old, new) = (Key::elliptic("one"), Key::elliptic("one"));
    let issuer = Issuer::start(&[&old]).await;
    let server = server(&issuer.url, &[]).await;
    assert_eq!(status(&server, &old.sign(&claims("a", "use"))).await, 200);
    issuer.publish(&[&new]);
    assert_eq!(status(&server, &new.sign(&claims("a", "use"))).await, 200);
    assert_eq!(issuer.requests(), 2);
    assert_eq!(status(&server, &old.sign(&claims("a", "use"))).await, 401);
}

#[tokio::test]
async fn a_server_starts_while_the_issuer_does_not_answer() {
    let (old, new) = (Key::elliptic("old"), Key::elliptic("new"));
    let issuer = Issuer::start(&[&old]).await;
    let former = server(&issuer.url, &[]).await;
    let kept = former.data_dir().join("issuer-keys.json");
    until("the keys to be kept", async || kept.exists().then_some(())).await;
    let data = former.kill();
    issuer.publish(&[]);
    let server = Server::start_in(data, &with_keys(&issuer.url, &[])).await;
    server.logged("the keys of the issuer that were kept").await;
    assert_eq!(status(&server, &old.sign(&claims("a", "use"))).await, 200);
    issuer.publish(&[&new]);
    assert_eq!(status(&server, &new.sign(&claims("a", "use"))).await, 200);
    assert_eq!(status(&server, &old.sign(&claims("a", "use"))).await, 401);
    // Those of another issuer do not count.
    let other = Issuer::start(&[]).await;
    let data = server.kill();
    let (code, said) = refused_in(data.path(), &with_keys(&other.url, &[])).await;
    assert_ne!(code, 0, "{said}");
    assert!(said.contains(&other.url), "{said}");
}

#[tokio::test]
async fn sockets_end_with_their_token() {
    let key = Key::elliptic("one");
    let issuer = Issuer::start(&[&key]).await;
    let server = server(&issuer.url, &[]).await;
    let mut short = claims("anna", "create use");
    // Clocks may differ by 30 s.
    short["exp"] = json!(now() - 30 + 30);
    let token = key.sign(&short);
    let (session, _) = create(&server, &token).await;
    let mut client = Client::with_token(&server, &session, &token).await;
    let (before, closed) = client.closed().await;
    assert_eq!(closed.code, Some(4401));
    let message = before[0]["message"].as_str().expect("text");
    assert!(message.contains("expired"), "{message}");
}

#[tokio::test]
async fn a_subject_has_a_limit_of_sessions() {
    let key = Key::elliptic("one");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.json");
    std::fs::write(&file, json!({"keys": [key.public]}).to_string()).expect("writable");
    let path = file.to_str().expect("a plain name");
    let server = server(path, &["--max-sessions", "8"]).await;
    let token = key.sign(&claims("anna", "create"));
    for _ in 0..2 {
        create(&server, &token).await;
    }
    let reply = with_token(&server, &token, "POST", "/ws/session/create").await;
    assert_eq!(reply.status, 429, "{}", reply.text());
    create(&server, &key.sign(&claims("bert", "create"))).await;
}

#[tokio::test]
async fn keys_that_cannot_be_read_prevent_the_start() {
    let refused = async |keys: &str, words: &str| {
        let options = [
            "--auth",
            "jwt",
            "--jwt-jwks",
            keys,
            "--jwt-issuer",
            "i",
            "--jwt-audience",
            "a",
        ];
        let (code, said) = refused_start(&options).await;
        assert_ne!(code, 0, "{said}");
        assert!(said.contains(words) && !said.contains("panicked"), "{said}");
    };
    refused("/no/such/keys.json", "/no/such/keys.json").await;
    refused("http://issuer.test/keys", "https://").await;
    refused("http://127.0.0.1:1/keys", "127.0.0.1:1").await;
    let (_, said) = refused_start(&["--auth", "jwt"]).await;
    assert!(said.contains("--jwt-jwks"), "{said}");
}

#[tokio::test]
async fn a_subject_has_a_limit_of_points() {
    let key = Key::elliptic("one");
    let issuer = Issuer::start(&[&key]).await;
    let server = server(&issuer.url, &["--max-points-per-token", "50"]).await;
    let anna = key.sign(&claims("anna", "create use"));
    let path = "/ws/session/create?num_max_points=51";
    let reply = with_token(&server, &anna, "POST", path).await;
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert!(reply.detail().contains("50"), "{}", reply.detail());
    let (session, _) = create(&server, &anna).await;
    let path = format!("/ws/session/{session}/rerun");
    let again = with_token(&server, &anna, "POST", &path).await.json();
    assert_eq!(again["config"]["num_max_points"], 50, "{again}");
    let path = format!("{path}?num_max_points=51");
    assert_eq!(with_token(&server, &anna, "POST", &path).await.status, 422);
    points_of_one_request_are_limited(&server, &anna, 50).await;
}
