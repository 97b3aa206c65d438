//! Fuzzing of what requests say about the files that they want, and of their bodies.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use pointstream_fuzzing::{Corpus, fuzz};
use warp::http::StatusCode;
use warp::http::header::{HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};

use super::download::{Wanted, decided};
use super::request_body::webhook_of;
use crate::api::Query;

/// The bytes that a valid range means, by RFC 9110, section 14.1.2.
fn meant(range: &str, length: u128) -> Option<(u128, u128)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| match text {
        "" => Some(None),
        _ if !text.bytes().all(|byte| byte.is_ascii_digit()) => None,
        _ => Some(Some(text.parse::<u128>().ok()?)),
    };
    let (first, last) = (number(first)?, number(last)?);
    match (first, last) {
        (Some(first), Some(last)) if first <= last => {
            Some((first, last.saturating_add(1).min(length)))
        }
        (Some(first), None) => Some((first, length)),
        (None, Some(suffix)) => Some((length.saturating_sub(suffix), length)),
        _ => None,
    }
}

#[test]
fn ranges() {
    let corpus = Corpus::of([
        "bytes=0-0",
        "bytes=2-",
        "bytes=-3",
        "Bytes = 2-5",
        "bytes=0-1,3-4",
        "items=1-2",
    ]);
    let words = [
        "bytes=",
        "-",
        ",",
        " ",
        "0",
        "9",
        "18446744073709551615",
        "99999999999999999999999",
        "+",
    ];
    fuzz("ranges", &corpus.with_words(words), |input| {
        let text = String::from_utf8_lossy(input);
        for length in [0, 1, 10, 1 << 40] {
            match Wanted::parse(&text, length) {
                Wanted::Part(part) => {
                    assert!(part.start < part.end && part.end <= length);
                    if let Some(expected) = meant(&text, length as u128) {
                        assert_eq!((part.start as u128, part.end as u128), expected, "{text}");
                    }
                }
                Wanted::Unsatisfiable => {
                    let expected = meant(&text, length as u128);
                    assert!(expected.is_none_or(|(first, end)| first >= end), "{text}");
                }
                Wanted::Whole => assert_eq!(meant(&text, length as u128), None, "{text}"),
            }
        }
    });
}

#[test]
fn conditions() {
    let corpus = Corpus::of(["\"a\"", "W/\"a\"", "*", "\"b\", \"a\"", "a", "\"\""]);
    let words = ["\"", "W/", ",", "*", " ", "\u{e9}"];
    fuzz("conditions", &corpus.with_words(words), |input| {
        for name in [IF_MATCH, IF_NONE_MATCH] {
            let Ok(value) = HeaderValue::from_bytes(input) else {
                continue;
            };
            let headers = HeaderMap::from_iter([(name.clone(), value)]);
            match decided("a", &headers) {
                Ok(Some(response)) => {
                    assert_eq!(name, IF_NONE_MATCH);
                    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
                }
                Ok(None) => {}
                Err(error) => {
                    assert_eq!(name, IF_MATCH);
                    assert!(error.detail().contains("has changed"), "{}", error.detail());
                }
            }
        }
    });
}

#[test]
fn bodies() {
    let corpus = Corpus::of([
        r#"{"webhook": {"url": "https://a.test", "events": ["result.made"]}}"#,
        r#"{"webhook": null}"#,
        r#"{"process_res": 504}"#,
        "null",
        " ",
        "[1]",
    ]);
    let words = ["\"webhook\"", ":", "{", "}", "null", "\\u0077", "[[[[[[[["];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    fuzz("bodies of requests", &corpus.with_words(words), |input| {
        let read = |strict: &str| {
            let query = Query::from(vec![("strict".to_owned(), strict.to_owned())]);
            // In two pieces.
            let (first, second) = input.split_at(input.len() / 2);
            let pieces = [first, second].map(|piece| Ok(Bytes::copy_from_slice(piece)));
            let body = stream::iter(pieces).boxed();
            runtime.block_on(webhook_of(body, &query, Duration::from_secs(60)))
        };
        match (read("true"), read("false")) {
            (Ok(strict), Ok(loose)) => assert_eq!(strict.is_some(), loose.is_some()),
            (Ok(_), Err(error)) => panic!("only strict=false is refused: {}", error.detail()),
            (Err(error), _) => assert!(!error.detail().is_empty()),
        }
    });
}
