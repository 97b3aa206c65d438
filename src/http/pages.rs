//! Web pages: files built from `web/` and embedded in the program.
//!
//! A page is one HTML file with its script and style inside. As it also works as a local file, it
//! has a `Content-Security-Policy` of its own. Served from here, it may connect to this server only.

use std::sync::LazyLock;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use warp::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use warp::http::{Response as HttpResponse, StatusCode};
use warp::reply::Response;

use crate::api::Request;

/// A page as it is served.
struct Page {
    body: Bytes,
    etag: HeaderValue,
    policy: HeaderValue,
}

/// `GET /`: the client.
static CLIENT: LazyLock<Page> =
    LazyLock::new(|| Page::new(include_str!("../../web/dist/client.html")));

/// `GET /dashboard`: live figures for operators.
static DASHBOARD: LazyLock<Page> =
    LazyLock::new(|| Page::new(include_str!("../../web/dist/dashboard.html")));

/// `GET /watch`: shows a session to those who watch it.
static WATCH: LazyLock<Page> =
    LazyLock::new(|| Page::new(include_str!("../../web/dist/watch.html")));

/// Mark in a local file, and in a served one: the latter connects to the server that served it.
const UNSERVED: &str = r#"<meta name="pointstream-server" content="">"#;
const SERVED: &str = r#"<meta name="pointstream-server" content="self">"#;
/// The page's own directive for connections, and the served one.
const ANYWHERE: &str = "connect-src http: https: ws: wss:";
const HERE: &str = "connect-src 'self'";
/// Text before and after the page's own policy.
const POLICY: [&str; 2] = ["http-equiv=\"Content-Security-Policy\" content=\"", "\""];

/// Returns the web client.
#[utoipa::path(
    get, path = "/", operation_id = "get_client_page", tag = "pages",
    responses(
        (status = 200, description = "The page", content_type = "text/html", body = String),
        (status = 304, description = "The client has the current version"),
    )
)]
pub async fn client(request: Request) -> Response {
    CLIENT.answer(&request.headers)
}

/// Returns the dashboard for operators.
#[utoipa::path(
    get, path = "/dashboard", operation_id = "get_dashboard_page", tag = "pages",
    responses(
        (status = 200, description = "The page", content_type = "text/html", body = String),
        (status = 304, description = "The client has the current version"),
    )
)]
pub async fn dashboard(request: Request) -> Response {
    DASHBOARD.answer(&request.headers)
}

/// Returns the page that shows a session to those who watch it.
#[utoipa::path(
    get, path = "/watch", operation_id = "get_watch_page", tag = "pages",
    responses(
        (status = 200, description = "The page", content_type = "text/html", body = String),
        (status = 304, description = "The client has the current version"),
    )
)]
pub async fn watch(request: Request) -> Response {
    WATCH.answer(&request.headers)
}

impl Page {
    fn new(file: &str) -> Self {
        let body = Bytes::from(file.replacen(UNSERVED, SERVED, 1));
        let digest: String = Sha256::digest(&body)
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            etag: header(&format!("\"{digest}\"")),
            policy: header(&policy(file)),
            body,
        }
    }

    /// The page, or 304 if the client has the current version.
    fn answer(&self, request: &HeaderMap) -> Response {
        let known = request
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == "*" || tag.as_bytes() == self.etag.as_bytes());
        let body = if known {
            Bytes::new()
        } else {
            self.body.clone()
        };
        let mut response = HttpResponse::new(body.into());
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        for (name, value) in [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            // Caches must ask again: another version of the program has another page.
            (CACHE_CONTROL, "no-cache"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(ETAG, self.etag.clone());
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        response
    }
}

/// The page's own policy, limited to this server, and without framing by other pages.
fn policy(file: &str) -> String {
    let own = file
        .split_once(POLICY[0])
        .and_then(|(_, rest)| rest.split_once(POLICY[1]))
        .map_or("default-src 'none'", |(own, _)| own);
    format!("{}; frame-ancestors 'none'", own.replace(ANYWHERE, HERE))
}

/// A header value; empty if the text is not a valid one.
fn header(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    const PAGES: [&LazyLock<Page>; 3] = [&CLIENT, &DASHBOARD, &WATCH];

    fn text(page: &Page) -> &str {
        std::str::from_utf8(&page.body).expect("a page is text")
    }

    /// The text between two marks that the page has once.
    fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
        let (_, rest) = text.split_once(begin).expect("the page has the mark");
        rest.split_once(end).expect("the page has the other mark").0
    }

    #[test]
    fn a_page_may_run_its_own_script_and_style_and_nothing_else() {
        for page in PAGES {
            let policy = page.policy.to_str().expect("text");
            for (tag, directive) in [("script", "script-src"), ("style", "style-src")] {
                let inside = between(text(page), &format!("<{tag}>"), &format!("</{tag}>"));
                let hash = BASE64_STANDARD.encode(Sha256::digest(inside));
                let allowed = between(policy, &format!("{directive} "), ";");
                assert!(
                    allowed.starts_with(&format!("'sha256-{hash}'")),
                    "{allowed}"
                );
                assert!(!allowed.contains("unsafe-inline") && !allowed.contains("'unsafe-eval'"));
            }
            assert!(policy.starts_with("default-src 'none'; "), "{policy}");
            assert!(policy.contains("; connect-src 'self'; "), "{policy}");
            assert!(policy.ends_with("; frame-ancestors 'none'"), "{policy}");
        }
    }

    #[test]
    fn a_page_loads_nothing_from_elsewhere() {
        for page in PAGES {
            for attribute in ["src=\"", "<link rel=\"stylesheet\"", "@import"] {
                let html = text(page).split("<script>").next().expect("a page");
                assert!(!html.contains(attribute), "{attribute}");
            }
        }
    }

    #[test]
    fn a_served_page_is_marked() {
        for page in PAGES {
            assert!(text(page).contains(SERVED));
        }
    }

    #[test]
    fn a_client_with_the_current_page_gets_a_304() {
        for page in PAGES {
            let tag = page.etag.to_str().expect("text");
            for (asked, status) in [
                (tag.to_owned(), 304),
                (format!("\"other\", W/{tag}"), 304),
                ("*".to_owned(), 304),
                ("\"other\"".to_owned(), 200),
            ] {
                let mut headers = HeaderMap::new();
                headers.insert(IF_NONE_MATCH, header(&asked));
                assert_eq!(page.answer(&headers).status(), status, "{asked}");
            }
        }
    }
}
