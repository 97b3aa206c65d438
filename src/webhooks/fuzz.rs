//! Fuzzing of the webhooks that clients want.

use clap::Parser as _;
use pointstream_fuzzing::{Corpus, fuzz};

use super::options::WebhookOptions;
use super::request::WantedWebhook;
use super::url::ReceiverUrl;
use crate::entrance::{Host, Scheme};

#[derive(clap::Parser)]
struct CommandLine {
    #[command(flatten)]
    options: WebhookOptions,
}

const URLS: [&str; 9] = [
    "https://hooks.example.org/a?b=c",
    "http://127.0.0.1:9000/x",
    "https://[2001:db8::1]:8443/",
    "https://user:password@a.test/",
    "https://a.test/#b",
    "https://a.test:0/",
    "https://[::ffff:10.0.0.1]/",
    "https://0x7f.1/",
    "https://xn--nxasmq6b.test/%2e%2e/",
];

const WORDS: [&str; 14] = [
    "http",
    "https",
    "://",
    "[",
    "]",
    "::",
    "@",
    "#",
    "%",
    ":443",
    ":65536",
    "127.0.0.1",
    ".",
    "\u{e9}",
];

#[test]
fn urls() {
    fuzz(
        "urls of webhooks",
        &Corpus::of(URLS).with_words(WORDS),
        |input| {
            let text = String::from_utf8_lossy(input);
            let Ok(url) = text.parse::<ReceiverUrl>() else {
                return;
            };
            assert!(
                url.path.starts_with('/') || url.path.starts_with('?'),
                "{text}"
            );
            assert!(!url.host().is_empty() && url.port() > 0, "{text}");
            // What is shown has no secrets, and is the same place.
            let origin = url.origin();
            assert!(!origin.contains(['@', '?', '#', ' ']), "{text}: {origin}");
            let again: ReceiverUrl = origin.parse().expect("it is a URL");
            assert_eq!(again.authority, url.authority, "{text}");
            assert_eq!(again.scheme, url.scheme, "{text}");
        },
    );
}

#[test]
fn wanted_webhooks() {
    let options = CommandLine::parse_from(["pointstream"]).options;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let whole = |url: &str| {
        format!(r#"{{"url": "{url}", "events": ["result.made"], "secret": "{secret}"}}"#)
    };
    let corpus = Corpus::of(URLS.map(whole)).and([r#"{"url": "https://a.test"}"#]);
    let words = [
        "\"events\"",
        "\"secret\"",
        "null",
        "[]",
        "session.ended",
        "whsec_",
        "=",
        "\\u0000",
    ];
    let corpus = corpus.with_words(words).with_words(WORDS);
    fuzz("wanted webhooks", &corpus, |input| {
        let Ok(wanted) = serde_json::from_slice::<WantedWebhook>(input) else {
            return;
        };
        match wanted.make(&options) {
            Ok((webhook, told)) => {
                let url: ReceiverUrl = webhook.url.parse().expect("it was checked");
                assert_eq!(url.scheme, Scheme::Https);
                assert_eq!(webhook.host, url.origin());
                assert!(!webhook.events.is_empty());
                if let Host::Address(address) = url.authority.host {
                    assert!(
                        !address.is_loopback() && !address.is_unspecified(),
                        "{address}"
                    );
                }
                serde_json::to_string(&told).expect("it can be told");
            }
            Err(refused) => assert!(!refused.to_string().is_empty()),
        }
    });
}
