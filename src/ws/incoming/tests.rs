use base64::Engine as _;
use pointstream_actors::MAX_NAME_BYTES;

use super::*;

fn parse(text: impl Into<String>) -> ClientMessage {
    let payload = text.into().into_bytes().into();
    super::parse(payload).expect("valid UTF-8")
}

fn reason(text: &str) -> String {
    match parse(text) {
        ClientMessage::Invalid { reason, .. } => reason,
        other => panic!("{other:?} should be invalid"),
    }
}

fn image_of(text: &str) -> (Bytes, Option<String>) {
    match parse(text) {
        ClientMessage::Image(image) => (image.bytes, image.name),
        other => panic!("{other:?} should be an image"),
    }
}

#[test]
fn an_image_is_read() {
    let (bytes, name) =
        image_of(r#"{"type": "image", "data": "aGVsbG8=", "filename": "image_001.png"}"#);
    assert_eq!(bytes, b"hello"[..]);
    assert_eq!(name.as_deref(), Some("image_001.png"));
}

#[test]
fn an_image_needs_no_name() {
    assert_eq!(image_of(r#"{"type": "image", "data": "aGVsbG8="}"#).1, None);
    assert_eq!(
        image_of(r#"{"type": "image", "data": "aGVsbG8=", "filename": null}"#).1,
        None
    );
}

#[test]
fn names_are_not_changed() {
    for name in [
        "../../etc/passwd",
        "/abs",
        "",
        "ß\u{1F600}\\n",
        "\u{a0}\"\\",
        &"n".repeat(1024),
    ] {
        let message = serde_json::json!({"type": "image", "data": "aGVsbG8=", "filename": name});
        assert_eq!(image_of(&message.to_string()).1.as_deref(), Some(name));
    }
}

#[test]
fn generate_is_incremental_if_it_says_so() {
    for (text, expected) in [
        (r#"{"type": "generate"}"#, false),
        (r#"{"type": "generate", "incremental": null}"#, false),
        (r#"{"type": "generate", "incremental": true}"#, true),
        (r#"{"incremental": false, "type": "generate"}"#, false),
    ] {
        match parse(text) {
            ClientMessage::Generate { incremental, .. } => assert_eq!(incremental, expected),
            other => panic!("{other:?} should be generate"),
        }
    }
}

#[test]
fn unknown_fields_are_ignored() {
    assert!(matches!(
        parse(r#"{"type": "finalize"}"#),
        ClientMessage::Finalize { id: None }
    ));
    assert!(matches!(
        parse(r#" {"type":"ping","t":[1,{"a":2}]}"#),
        ClientMessage::Ping
    ));
}

#[test]
fn an_identifier_has_1_to_128_characters() {
    for (id, valid) in [
        ("a", true),
        (&"\u{1F600}".repeat(128), true),
        ("", false),
        (&"n".repeat(129), false),
    ] {
        for kind in ["generate", "finalize"] {
            let text = serde_json::json!({"type": kind, "id": id}).to_string();
            match parse(&text) {
                ClientMessage::Generate { id: found, .. }
                | ClientMessage::Finalize { id: found } => {
                    assert!(valid, "{id:?}");
                    assert_eq!(found.as_ref().map(MessageId::as_str), Some(id));
                }
                other => {
                    assert!(!valid, "{other:?}");
                    assert!(reason(&text).starts_with("\"id\" must have 1 to 128 characters"));
                }
            }
        }
    }
    // Of a message that has none, it is an unknown field.
    assert!(matches!(
        parse(r#"{"type": "ping", "id": 7}"#),
        ClientMessage::Ping
    ));
}

#[test]
fn an_invalid_message_keeps_its_labels() {
    let labels = |text: &str| match parse(text) {
        ClientMessage::Invalid { id, filename, .. } => {
            (id.map(|id| id.as_str().to_owned()), filename)
        }
        other => panic!("{other:?} should be invalid"),
    };
    let both = (Some("7".to_owned()), Some("a.png".to_owned()));
    for text in [
        r#"{"type": "image", "id": "7", "filename": "a.png"}"#,
        r#"{"type": "image", "id": "7", "filename": "a.png", "data": "!"}"#,
    ] {
        assert_eq!(labels(text), both);
    }
    assert_eq!(
        labels(r#"{"type": "dance", "id": "7", "filename": "a.png"}"#),
        (both.0, None)
    );
    assert_eq!(
        labels(r#"{"type": "image", "id": 7, "filename": "a.png"}"#),
        (None, both.1)
    );
}

#[test]
fn invalid_json_is_refused() {
    for text in [
        "",
        "hello",
        "{",
        r#"{"type": "ping"} x"#,
        "{'type': 'ping'}",
    ] {
        assert!(
            reason(text).starts_with("message is not valid JSON: "),
            "{text}"
        );
    }
    let deep = format!("{{\"type\":{}", "[".repeat(100_000));
    assert!(reason(&deep).starts_with("message is not valid JSON: "));
}

#[test]
fn json_other_than_an_object_is_refused() {
    for (text, kind) in [
        ("null", "null"),
        ("1.5", "a number"),
        ("-1", "a number"),
        ("true", "a boolean"),
        ("\"ping\"", "a string"),
        ("[\"image\", \"aGVsbG8=\"]", "an array"),
    ] {
        assert_eq!(
            reason(text),
            format!("message must be a JSON object, but it is {kind}")
        );
    }
}

#[test]
fn an_update_is_confirmed_by_its_number() {
    match parse(r#"{"type": "received", "number": 12, "id": "r"}"#) {
        ClientMessage::Received { number, id } => {
            assert_eq!(
                (number, id.as_ref().map(MessageId::as_str)),
                (12, Some("r"))
            );
        }
        other => panic!("{other:?} should be received"),
    }
    for number in ["0", "-1", "1.5", "1e17", "null"] {
        let text = format!(r#"{{"type": "received", "number": {number}}}"#);
        assert!(reason(&text).contains("an integer above 0"), "{number}");
    }
    let text = r#"{"type": "received", "number": "1"}"#;
    assert_eq!(
        reason(text),
        "\"number\" must be a number, but it is a string"
    );
}

#[test]
fn an_unknown_type_is_answered_with_the_known_ones() {
    assert!(reason("{}").starts_with("message has no \"type\""));
    let unknown = reason(r#"{"type": "Image"}"#);
    assert_eq!(
        unknown,
        "unknown type \"Image\"; known types are image, generate, finalize, cancel, map, received and ping"
    );
    assert!(reason(&format!(r#"{{"type": "{}"}}"#, "x".repeat(10_000))).len() < 250);
}

#[test]
fn an_error_names_the_missing_or_wrong_field() {
    assert!(reason(r#"{"type": "image"}"#).starts_with("image message has no \"data\""));
    for (text, expected) in [
        (
            r#"{"type": 1}"#,
            "\"type\" must be a string, but it is a number",
        ),
        (
            r#"{"type": "image", "data": ["a"]}"#,
            "\"data\" must be a string, but it is an array",
        ),
        (
            r#"{"type": "image", "data": "aGVsbG8=", "filename": {"a": 1}}"#,
            "\"filename\" must be a string, but it is an object",
        ),
        (
            r#"{"type": "generate", "incremental": "yes"}"#,
            "\"incremental\" must be true or false, but it is a string",
        ),
    ] {
        assert_eq!(reason(text), expected);
    }
    assert!(reason(r#"{"type": "ping", "type": "ping"}"#).contains("duplicate field"));
}

fn binary_reason(header: &str, payload: &[u8]) -> String {
    let message = [&binary::preface(header.to_owned()), payload].concat();
    match parse_binary(&message.into()) {
        ClientMessage::Invalid { reason, .. } => reason,
        other => panic!("{other:?} should be invalid"),
    }
}

#[test]
fn reads_a_binary_image_without_copying_it() {
    let header = r#"{"type": "image", "filename": "ü.png", "unknown": [1]}"#;
    let message = Bytes::from([&binary::preface(header.to_owned()), &b"hello"[..]].concat());
    match parse_binary(&message) {
        ClientMessage::Image(image) => {
            assert_eq!(image.bytes, b"hello"[..]);
            let end = image.bytes.as_ptr_range().end;
            assert_eq!(end, message.as_ptr_range().end, "it is not copied");
            assert_eq!(image.name.as_deref(), Some("ü.png"));
        }
        other => panic!("{other:?} should be an image"),
    }
}

#[test]
fn malformed_binary_headers_are_refused_with_the_reason() {
    let long = format!(
        r#"{{"type": "image", "filename": "{}"}}"#,
        "n".repeat(MAX_NAME_BYTES + 1)
    );
    for (header, payload, expected) in [
        (
            "{",
            "x",
            "in the header of a binary message: message is not valid JSON: ",
        ),
        (
            "[]",
            "x",
            "in the header of a binary message: message must be a JSON object, but it is an array",
        ),
        (
            r#"{"type": 1}"#,
            "x",
            "in the header of a binary message: \"type\" must be a string, but it is a number",
        ),
        (
            "{}",
            "x",
            "the header of a binary message has no \"type\"; it says \"image\"",
        ),
        (
            r#"{"type": "ping"}"#,
            "",
            "binary messages are images; send \"ping\" as JSON text",
        ),
        (
            r#"{"type": "image", "data": "aGVsbG8="}"#,
            "x",
            "\"data\" has no place in the header of a binary message",
        ),
        (
            r#"{"type": "image", "filename": 1}"#,
            "x",
            "\"filename\" must be a string, but it is a number",
        ),
        (&long, "x", "\"filename\" is longer than 1024 bytes"),
        (
            r#"{"type": "image"}"#,
            "",
            "binary message has no bytes of an image after its header",
        ),
    ] {
        let reason = binary_reason(header, payload.as_bytes());
        assert!(reason.starts_with(expected), "{header}: {reason}");
    }
}

#[test]
fn a_long_name_is_refused() {
    let text = format!(
        r#"{{"type": "image", "data": "aGVsbG8=", "filename": "{}"}}"#,
        "n".repeat(MAX_NAME_BYTES + 1)
    );
    assert_eq!(reason(&text), "\"filename\" is longer than 1024 bytes");
}

#[test]
fn a_name_with_a_control_character_is_refused() {
    for escaped in ["a\\nb", "\\u0000", "a\\u001b[31m", "\\u007f", "\\u0085"] {
        let text = format!(r#"{{"type": "image", "data": "aGVsbG8=", "filename": "{escaped}"}}"#);
        let reason = reason(&text);
        assert!(
            reason.starts_with("\"filename\" has a control character"),
            "{reason}"
        );
    }
}

#[test]
fn an_image_is_decoded_in_the_place_of_its_text() {
    let file = [7; 300_000];
    let data = base64::prelude::BASE64_STANDARD.encode(file);
    let text = format!(r#"{{"type": "image", "id": "7", "data": "{data}", "filename": "a.png"}}"#);
    let place = text.as_ptr();
    match parse(text) {
        ClientMessage::Image(image) => {
            assert_eq!(image.bytes, file[..]);
            assert_eq!(image.bytes.as_ptr(), place);
            assert_eq!(image.name.as_deref(), Some("a.png"));
        }
        other => panic!("{other:?} should be an image"),
    }
}

#[test]
fn only_data_is_long_and_has_escapes() {
    let long = r"\n".repeat(MAX_HEADER);
    for text in [
        format!(r#"{{"type": "ping", "id": "{long}"}}"#),
        format!(r#"{{"type": "ping", "{long}": 1}}"#),
        format!(r#"{{"type": "ping", "a\"data\"": "{long}"}}"#),
        format!(r#"["{long}"]"#),
    ] {
        let reason = reason(&text);
        assert!(
            reason.starts_with("a string of 262144 bytes has escapes; only \"data\""),
            "{reason}"
        );
    }
    let (bytes, _) = image_of(&format!(
        r#"{{"type": "image", "data" : "{long}aGVsbG8="}}"#
    ));
    assert_eq!(bytes, b"hello"[..]);
    // Without escapes nothing is copied.
    let plain = "n".repeat(2 * MAX_HEADER);
    assert!(reason(&format!(r#"{{"type": "image", "id": "{plain}"}}"#)).contains("no \"data\""));
}

#[test]
fn what_is_no_utf_8_is_refused() {
    assert!(super::parse(b"{\"type\": \"ping\xc3\x28\"}".to_vec().into()).is_err());
}
