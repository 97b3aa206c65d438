//! Fuzzing of what a request says about its client, its host and its path.

use std::net::{IpAddr, SocketAddr};

use pointstream_fuzzing::{Corpus, Unstructured, arbitrary, fuzz, fuzz_values};
use warp::http::Uri;
use warp::http::header::{FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue};

use super::authority::{Authority, Host, parse_origin};
use super::forwarded::{Element, element, items};
use super::hosts::HostList;
use super::prefix::{PathPrefix, Place};
use super::proxies::TrustedProxies;

/// The longest text of an error in bytes: it repeats at most 100 characters of the client, escaped.
const LONGEST_ERROR: usize = 1500;

const HOSTS: [&str; 12] = [
    "example.org",
    "Example.ORG.:8000",
    "192.168.0.7:8000",
    "127.0.0.1.",
    "1.2.3.4.:80",
    "[::1]:8000",
    "[::ffff:127.0.0.1]",
    "[fe80::1%25eth0]",
    "a..",
    "a.localhost",
    "user@example.org:80",
    "xn--p1ai",
];
const HOST_WORDS: [&str; 14] = [
    ".",
    "..",
    ":",
    "@",
    "[",
    "]",
    "%25",
    "::",
    "0x7f",
    "127.0.0.1",
    "localhost",
    "::ffff:",
    "-",
    "_",
];

/// The text, as far as it may be in a header.
fn value(input: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(input).unwrap_or_else(|_| HeaderValue::from_static("?"))
}

#[test]
fn hosts() {
    let corpus = Corpus::of(HOSTS).with_words(HOST_WORDS);
    let list: HostList = "example.org, *.below.test".parse().expect("a list");
    fuzz("hosts", &corpus, |input| {
        let text = String::from_utf8_lossy(input);
        match text.parse::<Authority>() {
            Ok(found) => {
                // A host has one spelling, whose meaning is the same.
                let again: Authority = found.to_string().parse().expect("it can be read again");
                assert_eq!(again, found);
                let is_allowed = list.check(&found).is_ok();
                assert_eq!(is_allowed, list.check(&again).is_ok());
                if let Host::Name(name) = &found.host {
                    assert!(name.parse::<IpAddr>().is_err(), "{name} is an address");
                    let listed = name == "example.org" || name.ends_with(".below.test");
                    assert_eq!(is_allowed, listed || found.host.is_local(), "{name}");
                }
            }
            Err(error) => assert!(error.to_string().len() <= LONGEST_ERROR),
        }
        if let Some((_, authority)) = parse_origin(&format!("https://{text}")) {
            assert_ne!(authority.port, Some(443));
        }
    });
}

/// Text of a proxy.
#[derive(Debug, Default, PartialEq, Clone)]
struct Hop {
    client: Option<String>,
    scheme: Option<String>,
    host: Option<String>,
}

fn hop(random: &mut Unstructured<'_>) -> arbitrary::Result<Hop> {
    let mut text = || -> arbitrary::Result<Option<String>> {
        let letters = b"ab1:[].,;=\\\" \t-_";
        Ok(match random.arbitrary()? {
            true => {
                let count = random.int_in_range(0..=12)?;
                let text = (0..count).map(|_| random.choose(letters).map(|byte| char::from(*byte)));
                Some(text.collect::<Result<_, _>>()?)
            }
            false => None,
        })
    };
    Ok(Hop {
        client: text()?,
        scheme: text()?,
        host: text()?,
    })
}

/// A list as RFC 7239 has it: every value quoted.
fn written(hops: &[Hop]) -> String {
    let quoted = |name: &str, text: &Option<String>| {
        let text = text.as_ref()?;
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        Some(format!("{name}=\"{escaped}\""))
    };
    let items = hops.iter().map(|hop| {
        let pairs = [
            quoted("for", &hop.client),
            quoted("Proto", &hop.scheme),
            quoted("HOST", &hop.host),
        ];
        pairs.into_iter().flatten().collect::<Vec<_>>().join(";")
    });
    items.collect::<Vec<_>>().join(", ")
}

#[test]
fn forwarded_says_what_was_written() {
    let make = |random: &mut Unstructured<'_>| {
        let count = random.int_in_range(1..=4)?;
        (0..count)
            .map(|_| hop(random))
            .collect::<arbitrary::Result<Vec<_>>>()
    };
    fuzz_values("Forwarded as written", make, |hops| {
        let text = written(hops);
        let read: Vec<Element> = items(&text)
            .expect("quotes are closed")
            .map(|item| element(item.trim()))
            .collect();
        let expected: Vec<_> = hops
            .iter()
            .map(|hop| Element {
                client: hop.client.clone(),
                scheme: hop.scheme.clone(),
                host: hop.host.clone(),
            })
            .collect();
        assert_eq!(read, expected, "{text}");
    });
}

const LISTS: [&str; 9] = [
    "192.0.2.1",
    "1.1.1.1, 192.0.2.1, 10.0.0.2",
    "[2001:db8::1]:4711, 10.0.0.3:80",
    "unknown, 10.0.0.2",
    "for=192.0.2.1;proto=https;host=a.test, for=10.0.0.2",
    "for=\"[2001:db8::1]:80\";host=\"a\\\"b\";by=_x",
    "https, http",
    "a.test:8443",
    "/below/this",
];
const LIST_WORDS: [&str; 16] = [
    ", ",
    ";",
    "=",
    "\"",
    "\\",
    "for=",
    "host=",
    "proto=",
    "[",
    "]",
    "::ffff:10.0.0.1",
    "10.0.0.9",
    "198.51.100.7",
    "..",
    "//",
    "%2f",
];
const NAMES: [&str; 4] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-prefix",
];

#[test]
fn headers_of_proxies() {
    let trusted: TrustedProxies = "127.0.0.1, 10.0.0.0/8, fd00::/8".parse().expect("a list");
    let proxy: IpAddr = "127.0.0.1".parse().expect("an address");
    let stranger: IpAddr = "192.0.2.77".parse().expect("an address");
    // Each line of an input is a header.
    let pairs = LISTS
        .iter()
        .flat_map(|first| LISTS.iter().map(move |second| format!("{first}\n{second}")));
    let corpus = Corpus::of(pairs).with_words(LIST_WORDS).with_words(["\n"]);
    fuzz("headers of proxies", &corpus, |input| {
        let mut headers = HeaderMap::new();
        for (index, line) in input.split(|byte| *byte == b'\n').enumerate().take(12) {
            let name = match (index + line.len()) % 6 {
                4 => FORWARDED,
                5 => HOST,
                known => HeaderName::from_static(NAMES[known]),
            };
            headers.append(name, value(line));
        }
        let ignored = trusted
            .read(stranger, &headers)
            .expect("a stranger is not believed");
        assert_eq!(ignored.client, stranger);
        assert!(
            ignored.scheme.is_none() && ignored.authority.is_none() && ignored.prefix.is_none()
        );
        match trusted.read(proxy, &headers) {
            Ok(found) => {
                let prefix = found.prefix.unwrap_or_default();
                let path = prefix.as_str();
                assert!(path.split('/').all(|part| part != "..") && !path.ends_with('/'));
                assert_eq!(found.client, found.client.to_canonical());
            }
            Err(error) => assert!(error.to_string().len() <= LONGEST_ERROR),
        }
    });
}

#[derive(Debug)]
struct Way {
    hops: Vec<SocketAddr>,
    with_ports: bool,
}

#[test]
fn the_client_is_the_last_hop_that_is_not_trusted() {
    let trusted: TrustedProxies = "127.0.0.1, 10.0.0.0/8, fd00::/8".parse().expect("a list");
    let proxy: IpAddr = "127.0.0.1".parse().expect("an address");
    let make = |random: &mut Unstructured<'_>| {
        let count = random.int_in_range(0..=6)?;
        let mut hops = Vec::new();
        for _ in 0..count {
            let bytes: [u8; 16] = random.arbitrary()?;
            let address = match random.int_in_range(0..=3)? {
                0 => IpAddr::from([10, bytes[1], bytes[2], bytes[3]]),
                1 => IpAddr::from([198, 51, 100, bytes[3]]),
                2 => IpAddr::from([0xfd; 16]),
                _ => IpAddr::from(bytes).to_canonical(),
            };
            hops.push(SocketAddr::new(address, random.arbitrary()?));
        }
        Ok(Way {
            hops,
            with_ports: random.arbitrary()?,
        })
    };
    fuzz_values("ways through proxies", make, |way| {
        let shown = |hop: &SocketAddr| match way.with_ports {
            true => hop.to_string(),
            false => hop.ip().to_string(),
        };
        let list: Vec<_> = way.hops.iter().map(shown).collect();
        let expected = way
            .hops
            .iter()
            .rev()
            .map(SocketAddr::ip)
            .find(|hop| !trusted.contain(*hop))
            .or(way.hops.first().map(SocketAddr::ip))
            .unwrap_or(proxy);
        let listed = HeaderMap::from_iter([(
            HeaderName::from_static("x-forwarded-for"),
            value(list.join(", ").as_bytes()),
        )]);
        let found = trusted.read(proxy, &listed).expect("usable");
        assert_eq!(found.client, expected, "{list:?}");
        let elements: Vec<_> = list.iter().map(|hop| format!("for=\"{hop}\"")).collect();
        let standard = HeaderMap::from_iter([(FORWARDED, value(elements.join(", ").as_bytes()))]);
        let found = trusted.read(proxy, &standard).expect("usable");
        assert_eq!(found.client, expected, "{elements:?}");
    });
}

#[test]
fn prefixes() {
    let corpus = Corpus::of(["/a", "/a/b-c/", "/", "//", "/a/../b", "/a?b", "/%61"]);
    let corpus = corpus.with_words(["/", "..", "//", "?", "#", "%2e", "\\", "http://a"]);
    fuzz("prefixes", &corpus, |input| {
        let text = String::from_utf8_lossy(input);
        let Ok(prefix) = text.parse::<PathPrefix>() else {
            return;
        };
        assert_eq!(prefix.to_string().parse(), Ok(prefix.clone()));
        let address: Uri = format!("{prefix}/x/y?z=/..").parse().expect("an address");
        let expected: Uri = "/x/y?z=/..".parse().expect("an address");
        match prefix.is_empty() {
            true => assert_eq!(prefix.place(&address), Place::Elsewhere),
            false => assert_eq!(prefix.place(&address), Place::Below(expected)),
        }
    });
}
