//! A store with the part of the protocol of S3 that shared files need. It checks no signatures.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

type Objects = Arc<Mutex<BTreeMap<String, Bytes>>>;

/// A store, which ends when it is dropped.
pub struct Store {
    address: SocketAddr,
    objects: Objects,
    _task: AbortOnDropHandle<()>,
}

impl Store {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let objects = Objects::default();
        let shared = objects.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let objects = shared.clone();
                let service = service_fn(move |request| answer(request, objects.clone()));
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move { drop(serving.await) });
            }
        });
        Self {
            address,
            objects,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// The variables that name it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT", format!("http://{}", self.address)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "nowhere".to_owned()),
            ("AWS_ACCESS_KEY_ID", "someone".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ]
    }

    /// The paths of what it has.
    pub fn objects(&self) -> Vec<String> {
        lock(&self.objects).keys().cloned().collect()
    }
}

fn lock(objects: &Objects) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
    objects.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(
    request: Request<Incoming>,
    objects: Objects,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(reply(StatusCode::BAD_REQUEST, Bytes::new())),
    };
    let mut objects = lock(&objects);
    Ok(match parts.method {
        Method::PUT => {
            objects.insert(path, body);
            reply(StatusCode::OK, Bytes::new())
        }
        Method::GET => match objects.get(&path) {
            Some(content) => reply(StatusCode::OK, content.clone()),
            None => reply(StatusCode::NOT_FOUND, Bytes::new()),
        },
        // Several objects of a bucket at once.
        Method::POST => {
            let text = String::from_utf8_lossy(&body).into_owned();
            let keys = text.split("<Key>").skip(1);
            for key in keys.filter_map(|rest| rest.split_once("</Key>")) {
                let bucket = path.trim_end_matches('/');
                objects.remove(&format!("{bucket}/{}", key.0));
            }
            let done = "<DeleteResult></DeleteResult>";
            reply(StatusCode::OK, Bytes::from_static(done.as_bytes()))
        }
        Method::DELETE => {
            objects.remove(&path);
            reply(StatusCode::NO_CONTENT, Bytes::new())
        }
        _ => reply(StatusCode::METHOD_NOT_ALLOWED, Bytes::new()),
    })
}

fn reply(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("etag", "\"tag\"")
        .header("last-modified", "Tue, 01 Dec 2026 00:00:00 GMT")
        .body(Full::new(body))
        .expect("valid headers")
}
