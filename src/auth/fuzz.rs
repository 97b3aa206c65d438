//! Fuzzing of tokens, of where they are sent, and of what they are checked with.

use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use p256::pkcs8::EncodePrivateKey as _;
use pointstream_actors::SessionId;
use pointstream_fuzzing::{Corpus, fuzz};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use warp::http::header::{AUTHORIZATION, HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};

use super::credentials::{MAX_TOKEN, PROTOCOL, offers_protocol, presented, without_secrets};
use super::jwt::{Jwt, KeySource};
use super::secret::Secret;
use super::session_tokens::{Purpose, SessionTokens};
use super::token_file::{TokenFile, check_name};

const TOKEN_WORDS: [&str; 23] = [
    "\"version\":",
    "\"tokens\":",
    "\"name\":",
    "\"sha256\":",
    "\"scopes\":",
    "\"created\":",
    "\"expires\":",
    "\"max_sessions\":",
    "\"max_points\":",
    "\"create\"",
    "\"use\"",
    "\"operate\"",
    "null",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\"9999-12-31T23:59:59Z\"",
    "\"-0001-01-01T00:00:00+14:00\"",
    "18446744073709551616",
    "\u{e9}",
    "a\"b",
];

#[test]
fn files_of_tokens() {
    let entry = |name: &str| {
        json!({
            "name": name, "sha256": "0".repeat(64), "scopes": ["use", "create"],
            "created": "2026-01-01T00:00:00Z",
        })
    };
    let mut full = entry("b@example.org");
    full["expires"] = "2030-01-01T00:00:00.5+02:00".into();
    full["max_sessions"] = 3.into();
    full["max_points"] = 1000.into();
    let files = [
        json!({"version": 1, "tokens": []}),
        json!({"version": 1, "tokens": [entry("a")]}),
        json!({"version": 1, "tokens": [entry("a"), full]}),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let path: PathBuf = folder.path().join("tokens.json");
    let corpus = Corpus::of(files.map(|file| file.to_string())).with_words(TOKEN_WORDS);
    fuzz("files of tokens", &corpus, |input| {
        std::fs::write(&path, input).expect("writable");
        match TokenFile::read(&path) {
            Ok(file) => {
                let mut names: Vec<_> = file.tokens.iter().map(|entry| &entry.name).collect();
                assert!(names.iter().all(|name| check_name(name).is_ok()));
                names.sort();
                names.dedup();
                assert_eq!(names.len(), file.tokens.len(), "no name occurs twice");
                // What is read can be written, and is then the same.
                let text = serde_json::to_string(&file).expect("it can be written");
                std::fs::write(&path, text).expect("writable");
                assert_eq!(TokenFile::read(&path).expect("valid").tokens, file.tokens);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

#[test]
fn headers_with_tokens() {
    let corpus = Corpus::of([
        "Bearer pst_a\npointstream",
        "bearer  pst_a \n",
        "\npointstream, pointstream.bearer.pst_b",
        "Basic dXNlcjpwYXNz\npointstream.bearer.",
        "Bearer a b\npointstream.bearer.a.b-c_d, chat",
    ]);
    let words = [
        "Bearer ",
        "pointstream",
        "pointstream.bearer.",
        ",",
        " ",
        "\n",
        "\t",
        "\u{e9}",
    ];
    fuzz("headers with tokens", &corpus.with_words(words), |input| {
        let mut headers = HeaderMap::new();
        for (index, line) in input.split(|byte| *byte == b'\n').enumerate().take(6) {
            let Ok(value) = HeaderValue::from_bytes(line) else {
                continue;
            };
            let name = if index % 2 == 0 {
                AUTHORIZATION
            } else {
                SEC_WEBSOCKET_PROTOCOL
            };
            headers.append(name, value);
        }
        let found = presented(&headers);
        if let Ok(Some(secret)) = &found {
            let text = secret.reveal();
            assert!((1..=MAX_TOKEN).contains(&text.len()));
            assert!(
                text.bytes()
                    .all(|byte| byte.is_ascii_graphic() && byte != b',')
            );
        }
        let offers = offers_protocol(&headers);
        let rest = without_secrets(headers);
        assert!(!rest.contains_key(AUTHORIZATION));
        let left: Vec<_> = rest.get_all(SEC_WEBSOCKET_PROTOCOL).iter().collect();
        assert!(left.iter().all(|value| *value == PROTOCOL));
        assert_eq!(left.len(), usize::from(offers));
    });
}

#[test]
fn tokens_of_sessions() {
    let tokens = SessionTokens::new().expect("random");
    let parent = Secret::presented("a").digest();
    let valid: Vec<_> = [
        (Purpose::Use, "token:a"),
        (Purpose::Watch, "jwt:b"),
        (Purpose::Use, ""),
    ]
    .iter()
    .map(|(purpose, owner)| {
        let token = tokens.issue(*purpose, SessionId::new_v4(), owner, &parent);
        token.reveal().to_owned()
    })
    .collect();
    let corpus = Corpus::of(&valid)
        .and(["pss_", "pss_AAAA", "psw_AAAA"])
        .with_words(["pss_", "psw_", "=", "A", "_"]);
    fuzz("tokens of sessions", &corpus, |input| {
        let text = String::from_utf8_lossy(input).into_owned();
        let is_valid = valid.contains(&text);
        let found = tokens.caller(&Secret::presented(text), |_| Some(parent));
        assert_eq!(found.is_ok(), is_valid);
    });
}

const ISSUER: &str = "https://issuer.test";
const AUDIENCE: &str = "pointstream";

#[test]
fn signed_tokens() {
    let key = p256::SecretKey::from_slice(&[7; 32]).expect("a key");
    let point = key.public_key().to_encoded_point(false);
    let coordinate = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let public = json!({
        "kty": "EC", "crv": "P-256", "kid": "one",
        "x": coordinate(point.x().expect("a point")), "y": coordinate(point.y().expect("a point")),
    });
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.json");
    std::fs::write(&path, json!({"keys": [public]}).to_string()).expect("writable");
    let der = key.to_pkcs8_der().expect("a key can be written");
    let signing = EncodingKey::from_ec_der(der.as_bytes());
    let signed = |header: &Header, claims: serde_json::Value| {
        encode(header, &claims, &signing).expect("it can be signed")
    };
    let header = Header {
        kid: Some("one".to_owned()),
        ..Header::new(Algorithm::ES256)
    };
    let claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "a", "exp": 32_503_680_000_u64, "scope": "use create",
    });
    let mut expired = claims.clone();
    expired["exp"] = 1.into();
    let mut endless = claims.clone();
    endless["exp"] = u64::MAX.into();
    let valid = signed(&header, claims);
    let refused = [signed(&header, expired), signed(&header, endless)];
    let body = valid.split('.').nth(1).expect("three parts");
    let unsigned = format!("eyJhbGciOiJub25lIn0.{body}.");
    let corpus = Corpus::of([&valid, &unsigned]).and(&refused).with_words([
        ".",
        "eyJhbGciOiJub25lIn0",
        "eyJhbGciOiJIUzI1NiIsImtpZCI6Im9uZSJ9",
        "eyJhbGciOiJFUzI1NiJ9",
        "e30",
        "=",
    ]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let stop = CancellationToken::new();
    let (issuer, audience) = (ISSUER.to_owned(), AUDIENCE.to_owned());
    let source = KeySource::File(path);
    let start = Jwt::start(source, folder.path(), issuer, audience, 1, stop.clone());
    let jwt = runtime.block_on(start).expect("keys");
    let caller = |text: &str| runtime.block_on(jwt.caller(&Secret::presented(text)));
    assert!(caller(&valid).is_ok());
    assert!(refused.iter().all(|text| caller(text).is_err()));
    fuzz("signed tokens", &corpus, |input| {
        let text = String::from_utf8_lossy(input);
        assert_eq!(caller(&text).is_ok(), text == valid);
    });
    stop.cancel();
}
