//! Plays the scenarios of clients/conformance.

mod caller;
mod scripted;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use caller::{Caller, until};
use scripted::{Departure, Scenario, ScriptedServer};

/// After so long a scenario hangs.
const PATIENCE: Duration = Duration::from_secs(30);

fn scenarios() -> Vec<(String, Value)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance"));
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).unwrap();
        (name, serde_json::from_str(&text).unwrap())
    };
    files.iter().map(read).collect()
}

/// Plays a scenario, and says where the client departs from it.
async fn play(document: &Value) -> Result<(), Departure> {
    let server = ScriptedServer::start(document).await;
    let caller = Caller::new(&document["client"], server.scenario.clone());
    let used = tokio::time::timeout(PATIENCE, caller.play(&server.url)).await;
    let used = used.unwrap_or_else(|_| Err("it hangs".to_owned()));
    // The server sees the end of a connection a moment later.
    until(|| server.scenario().is_finished()).await;
    let departed = server.scenario().check_end();
    match (used, departed) {
        (Err(one), Err(other)) => Err(format!("{one}; {other}")),
        (one, other) => one.and(other),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_scenarios() {
    let mut playing = tokio::task::JoinSet::new();
    for (name, document) in scenarios() {
        playing.spawn(async move { (name, play(&document).await) });
    }
    let mut failed = Vec::new();
    while let Some(played) = playing.join_next().await {
        let (name, result) = played.unwrap();
        match result {
            Ok(()) => println!("{name}: ok"),
            Err(departure) => failed.push(format!("{name}: {departure}")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_kind_of_step_is_tried() {
    let all = scenarios();
    assert!(all.len() >= 35, "{}", all.len());
    let sockets = all.iter().filter_map(|(_, one)| one["sockets"].as_array());
    let steps = sockets
        .flatten()
        .filter_map(|socket| socket["steps"].as_array());
    let kinds = steps
        .flatten()
        .map(|step| step.as_object().unwrap().keys().next().unwrap());
    let kinds: BTreeSet<&str> = kinds.map(String::as_str).collect();
    let expected = ["close", "drop", "expect", "quiet", "send", "send_binary"];
    assert_eq!(kinds, BTreeSet::from(expected));
}

#[test]
fn names_stand_for_one_value() {
    let mut scenario = Scenario::new(&json!({}));
    assert!(scenario.matches(
        &json!({"a": "$x", "b": [1]}),
        &json!({"a": "one", "b": [1.0], "c": 2})
    ));
    assert!(scenario.matches(&json!("$x"), &json!("one")));
    for (expected, found) in [
        (json!("$x"), json!("two")),
        (json!({"a": 1}), json!({})),
        (json!([1]), json!([1, 2])),
        (json!({}), json!([])),
        (json!(1), json!(2)),
    ] {
        assert!(!scenario.matches(&expected, &found), "{expected} {found}");
    }
}

/// Scenarios that the client passes, with one change each. Then it must not pass any more.
#[tokio::test]
async fn departures_are_noticed() {
    let changes = [
        (
            "results",
            "/sockets/0/steps/1/expect/filename",
            json!("b.jpg"),
            "step 1: expected",
        ),
        (
            "results",
            "/client/calls/0/gives/image_count",
            json!(2),
            "it gives",
        ),
        ("results", "/http/0/times", json!(2), "1 requests"),
        ("binary", "/sockets/0/query", json!({}), "the query is"),
        (
            "append",
            "/client/calls/1/cloud/colors/0",
            json!([9, 9, 9]),
            "the cloud is",
        ),
        (
            "unknown-code",
            "/client/calls/0/error/kind",
            json!("busy"),
            "the error is",
        ),
        ("map", "/client/calls", json!([]), "closed the connection"),
    ];
    let mut playing = tokio::task::JoinSet::new();
    for (name, place, value, expected) in changes {
        let (_, mut document) = scenarios()
            .into_iter()
            .find(|(one, _)| one == name)
            .unwrap();
        *document.pointer_mut(place).unwrap() = value;
        playing.spawn(async move { (play(&document).await, expected) });
    }
    while let Some(played) = playing.join_next().await {
        let (result, expected) = played.unwrap();
        let departure = result.unwrap_err();
        assert!(departure.contains(expected), "{expected}: {departure}");
    }
}
