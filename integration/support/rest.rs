//! REST requests.

use serde_json::Value;

use super::within;

/// A response of the server.
pub struct Reply {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in the reply {}", self.text()))
    }

    /// The message of an error, which must be exactly `{"detail": "...", "code": "..."}`.
    pub fn detail(&self) -> String {
        let json = self.json();
        let fields = json.as_object().expect("an error is an object");
        assert_eq!(fields.len(), 2, "an error has two fields: {json}");
        assert!(fields["code"].is_string(), "a code is a word: {json}");
        fields["detail"]
            .as_str()
            .expect("detail is text")
            .to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A file in a form: the field's name, the file's name if it has one, and its bytes.
pub type Part<'a> = (&'a str, Option<&'a str>, &'a [u8]);

/// The content type of [`form`].
pub const FORM: &str = "multipart/form-data; boundary=frontier";

/// A body of type `multipart/form-data`.
pub fn form(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, file, bytes) in parts {
        let file = file.map_or(String::new(), |file| format!("; filename=\"{file}\""));
        let head =
            format!("--frontier\r\nContent-Disposition: form-data; name=\"{field}\"{file}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--frontier--\r\n");
    body
}

/// Sends a request without a body; returns the response whatever its status.
pub async fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> Reply {
    request_with(method, url, headers, Vec::new()).await
}

/// Sends a request; returns the response whatever its status.
pub async fn request_with(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Reply {
    try_request(method, url, headers, body)
        .await
        .unwrap_or_else(|error| panic!("{method} {url}: {error}"))
}

/// Sends a request; fails if there is no whole response.
pub async fn try_request(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Reply, ureq::Error> {
    let mut builder = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let request = builder.body(body).expect("the test's request is valid");
    let called = tokio::task::spawn_blocking(move || {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .build();
        let mut response = ureq::Agent::from(config).run(request)?;
        let body = response
            .body_mut()
            .with_config()
            .limit(1 << 30)
            .read_to_vec()?;
        Ok::<_, ureq::Error>(Reply {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body,
        })
    });
    within("the reply", called)
        .await
        .expect("the request does not panic")
}
