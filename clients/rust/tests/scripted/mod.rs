//! A server that plays a scenario of clients/conformance, and says where a client departs from it.
//!
//! clients/conformance/README.md describes the files.

mod http;
mod socket;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use http::Head;

/// What the client did that is not in the scenario.
pub type Departure = String;

/// Requests of one kind, and their answers one after another. The last one is repeated.
struct Route {
    request: Value,
    answers: Vec<Value>,
    times: Option<u64>,
    seen: usize,
}

/// The server's part of a file.
pub struct Scenario {
    routes: Vec<Route>,
    sockets: Vec<Value>,
    names: HashMap<String, Value>,
    connected: usize,
    finished: usize,
    /// Messages of the client that came, but for pings.
    pub messages: usize,
    departures: Vec<Departure>,
}

impl Scenario {
    pub fn new(document: &Value) -> Self {
        let list = |name: &str| document[name].as_array().cloned().unwrap_or_default();
        let mut entries = list("http");
        let info = json!({"name": "pointstream", "protocol_version": "1.0.0", "limits": {}});
        entries.push(json!({
            "request": {"method": "GET", "path": "/info"},
            "answers": [{"status": 200, "json": info}],
        }));
        let route = |entry: &Value| Route {
            request: entry["request"].clone(),
            answers: entry["answers"].as_array().unwrap().clone(),
            times: entry["times"].as_u64(),
            seen: 0,
        };
        Self {
            routes: entries.iter().map(route).collect(),
            sockets: list("sockets"),
            names: HashMap::new(),
            connected: 0,
            finished: 0,
            messages: 0,
            departures: Vec::new(),
        }
    }

    /// Whether what was found has all that is expected. `$name` is the same value everywhere.
    pub fn matches(&mut self, expected: &Value, found: &Value) -> bool {
        match (expected, found) {
            (Value::String(name), _) if name.starts_with('$') => {
                let known = self.names.entry(name.clone());
                *known.or_insert_with(|| found.clone()) == *found
            }
            (Value::Object(expected), _) => {
                found.is_object()
                    && expected
                        .iter()
                        .all(|(key, one)| self.matches(one, &found[key]))
            }
            (Value::Array(expected), Value::Array(found)) => {
                expected.len() == found.len()
                    && expected
                        .iter()
                        .zip(found)
                        .all(|(one, other)| self.matches(one, other))
            }
            // 1 and 1.0 are the same number.
            (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
            _ => expected == found,
        }
    }

    /// A value with the names in it replaced.
    fn filled(&self, value: &Value) -> Value {
        match value {
            Value::String(name) if name.starts_with('$') => self.names[name].clone(),
            Value::Object(fields) => {
                let fields = fields.iter();
                Value::Object(
                    fields
                        .map(|(key, one)| (key.clone(), self.filled(one)))
                        .collect(),
                )
            }
            Value::Array(list) => list.iter().map(|one| self.filled(one)).collect(),
            other => other.clone(),
        }
    }

    /// The answer to a request over HTTP.
    fn answer(&mut self, request: &Value) -> Result<Value, Departure> {
        for index in 0..self.routes.len() {
            let expected = self.routes[index].request.clone();
            if self.matches(&expected, request) {
                let route = &mut self.routes[index];
                let answer = route.answers[route.seen.min(route.answers.len() - 1)].clone();
                route.seen += 1;
                return Ok(self.filled(&answer));
            }
        }
        Err(format!(
            "unexpected request: {} {}",
            request["method"], request["path"]
        ))
    }

    pub fn is_finished(&self) -> bool {
        self.finished == self.sockets.len()
    }

    /// What the client did else, or did not do.
    pub fn check_end(&self) -> Result<(), Departure> {
        if !self.departures.is_empty() {
            return Err(self.departures.join("; "));
        }
        if !self.is_finished() {
            let all = self.sockets.len();
            return Err(format!(
                "{} of {all} sockets came to their end",
                self.finished
            ));
        }
        for route in &self.routes {
            if route.times.is_some_and(|times| times != route.seen as u64) {
                return Err(format!("{}: {} requests", route.request, route.seen));
            }
        }
        Ok(())
    }
}

/// Serves a scenario on a free port.
pub struct ScriptedServer {
    pub url: String,
    pub scenario: Arc<Mutex<Scenario>>,
    task: JoinHandle<()>,
}

impl ScriptedServer {
    pub async fn start(document: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let scenario = Arc::new(Mutex::new(Scenario::new(document)));
        let shared = Arc::clone(&scenario);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(client(Arc::clone(&shared), stream));
            }
        });
        Self {
            url,
            scenario,
            task,
        }
    }

    pub fn scenario(&self) -> MutexGuard<'_, Scenario> {
        self.scenario.lock().unwrap()
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn client(scenario: Arc<Mutex<Scenario>>, stream: TcpStream) {
    if let Err(departure) = serve(&scenario, stream).await {
        scenario.lock().unwrap().departures.push(departure);
    }
}

async fn serve(scenario: &Arc<Mutex<Scenario>>, mut stream: TcpStream) -> Result<(), Departure> {
    // A client may give up a request, for example when it is closed.
    let Some(head) = Head::read(&mut stream).await else {
        return Ok(());
    };
    if head.is_handshake() {
        return socket::serve(scenario, stream, &head).await;
    }
    let request = head.request(&mut stream).await?;
    let answer = scenario.lock().unwrap().answer(&request)?;
    let _ = stream.write_all(&http::response(&answer)).await;
    Ok(())
}
