//! The server's metrics, read with the official Prometheus parser.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::python;
use super::server::Server;

/// One scrape of all metrics.
pub struct Scrape(Vec<Sample>);

#[derive(Debug, Deserialize)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Scrape {
    /// Scrapes a server; an invalid text fails the test.
    pub async fn of(server: &Server) -> Self {
        let reply = server.get("/metrics").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let kind = reply.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
        Self::read(reply.body).await
    }

    /// Reads the text of a scrape.
    pub async fn read(text: Vec<u8>) -> Self {
        let parsed = python::run("exposition/parse.py", text).await;
        Self(serde_json::from_slice(&parsed).expect("the parser prints JSON"))
    }

    /// The sum of the samples with this name and at least these labels; fails if there are none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let mut found = self.0.iter().filter(|sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(label, value)| sample.labels.get(*label).is_some_and(|it| it == value))
        });
        let first = found.next();
        let first = first.unwrap_or_else(|| panic!("there is no {name} with {labels:?}"));
        first.value + found.map(|sample| sample.value).sum::<f64>()
    }

    /// The names of all samples.
    pub fn names(&self) -> BTreeSet<&str> {
        self.0.iter().map(|sample| sample.name.as_str()).collect()
    }

    /// All values of a label, over all metrics.
    pub fn label_values(&self, label: &str) -> BTreeSet<&str> {
        let values = self.0.iter().filter_map(|sample| sample.labels.get(label));
        values.map(String::as_str).collect()
    }

    /// The value of a label of a metric that has one sample.
    pub fn label(&self, name: &str, label: &str) -> &str {
        let sample = self.0.iter().find(|sample| sample.name == name);
        sample
            .and_then(|sample| sample.labels.get(label))
            .unwrap_or_else(|| panic!("there is no {name} with a {label}"))
    }
}
