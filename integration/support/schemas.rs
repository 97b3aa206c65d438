//! Checks values against the server's interface descriptions.

use serde_json::{Value, json};

use super::python;
use super::server::Server;

/// A document with schemas, and values to check against them.
pub struct Schemas {
    /// The document.
    pub document: Value,
    cases: Vec<Value>,
}

impl Schemas {
    /// Fetches the document at this path.
    pub async fn of(server: &Server, path: &str) -> Self {
        let reply = server.get(path).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        Self {
            document: reply.json(),
            cases: Vec::new(),
        }
    }

    /// Whether there is a schema at this place, written as a JSON pointer.
    pub fn has(&self, pointer: &str) -> bool {
        self.document.pointer(pointer).is_some()
    }

    /// Queues a check of a value against the schema at this place.
    pub fn expect(&mut self, what: &str, pointer: &str, value: &Value) {
        assert!(self.has(pointer), "{what}: there is no {pointer}");
        let schema = format!("#{pointer}");
        self.cases
            .push(json!({"what": what, "schema": schema, "value": value}));
    }

    /// Checks all values strictly: a field that the schema does not define is an error.
    pub async fn check(self) {
        assert!(!self.cases.is_empty(), "nothing to check");
        let input = json!({"document": self.document, "cases": self.cases});
        python::run("schemas/check.py", input.to_string()).await;
    }
}

/// A key as a part of a JSON pointer.
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
