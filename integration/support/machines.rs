//! Runs the server of each test as several machines, if the tests are told to: with workers in other processes,
//! and as servers that share their sessions behind HAProxy.

use std::process::Command;

use tempfile::TempDir;

use super::nats::NatsServer;
use super::paths::new_data_dir;
use super::program::set_up_like;
use super::worker::Worker;

/// If this variable is set, all servers have as many workers in other processes, and none of their own.
const REMOTE_WORKERS: &str = "POINTSTREAM_TEST_REMOTE_WORKERS";
/// If this is set, too, as many servers share their sessions behind HAProxy in place of each server.
const GATEWAYS: &str = "POINTSTREAM_TEST_GATEWAYS";

/// Tests of what one server has to itself. They get one server, whose workers are elsewhere.
const OF_ONE_SERVER: &[&str] = &[
    // Servers that they start as they need them.
    "gateways::",
    "proxies::",
    "reverse_proxies::",
    // Its log, its figures, and the port of its operators.
    "auth::audit::",
    "auth::routes::operators_are_asked_at_their_own_address_too",
    "map::a_long_stream_grows_window_by_window",
    "map::a_window_that_fails_is_an_error_of_the_request_that_needs_it",
    "map::images_that_fit_one_window_are_one_run_of_the_model",
    "map::whole_does_not_run_windows_that_nobody_asks_for",
    "metrics::",
    "quality::impossible_depth_is_not_drawn",
    "rest::the_list_counts_everything",
    "startup::",
    "windows::",
    // How it reads requests, and ends connections: a proxy does not pass all of it on.
    "hosts::",
    "pings::clients_that_are_gone_do_not_hold_places",
    "prefix::",
    "strictness::",
    // Its view of an issuer of tokens.
    "auth::jwt::a_key_may_take_the_place_of_another_one_of_its_name",
    "auth::jwt::a_server_starts_while_the_issuer_does_not_answer",
    "auth::jwt::new_keys_are_fetched_once_a_minute_at_most",
    // Its limits, and the memory and time that it gives clients.
    "auth::jwt::a_subject_has_a_limit_of_sessions",
    "auth::owners::a_token_has_a_limit_of_sessions",
    "example_client::what_goes_wrong_is_said_in_a_sentence",
    "intake::a_large_message_that_cannot_be_taken_is_answered",
    "limits::",
    "memory::",
    "memory_limits::",
    "one_shot::refusals::a_full_server_says_when_to_come_again",
    "origins::a_page_learns_why_its_request_was_turned_away",
    "places::",
    "rates::",
    "rest::at_the_limit_a_new_session_is_refused_and_none_is_evicted",
    "result_file_turns::",
    // Its data directory, whether it can be written, and the next server in it.
    "cutouts::pixels_stay_hidden_in_the_next_server_and_in_the_next_session",
    "data_commands::",
    "disks::",
    "downloads::a_file_that_the_client_has_is_not_written",
    "frozen::",
    "images::images_on_their_way_are_counted",
    "map_compared::a_restart_keeps_the_result_and_leaves_no_files",
    "open_files::",
    "sessions::files_that_stay_are",
    "restarts::",
    "truncated::",
    "videos::",
    "webhooks::",
    // Its process.
    "drain::",
    "workers::",
];

/// Tests of a server's own workers.
const OF_OWN_WORKERS: &[&str] = &[
    "map::a_restarted_worker_goes_on_with_the_map",
    "metrics::a_worker_that_dies_is_counted",
    "metrics::what_happens_is_counted",
    // There is one, which makes way.
    "turns::",
    "workers::",
];

/// Workers and servers in other processes, and the NATS server between.
pub struct Elsewhere {
    _workers: Vec<Worker>,
    _nats: NatsServer,
}

/// Gives a server workers in other processes, if the tests are told to.
pub fn elsewhere(command: &mut Command) -> Option<Elsewhere> {
    let count: usize = std::env::var(REMOTE_WORKERS).ok()?.parse().ok()?;
    let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let has_workers = ["--nats", "--workers-per-device"];
    let mut named = arguments
        .iter()
        .flat_map(|argument| has_workers.map(|name| argument == name));
    if named.any(|is_named| is_named) || is_one_of(OF_OWN_WORKERS) {
        return None;
    }
    let nats = NatsServer::start();
    command.args(["--nats", &nats.url(), "--workers-local", "0"]);
    // What concerns the model is the same for both.
    let shared = [
        "--model",
        "--device",
        "--frames-per-call",
        "--job-timeout",
        "--long-turn",
    ];
    let shared: Vec<_> = arguments
        .windows(2)
        .filter(|pair| shared.iter().any(|name| pair[0] == *name))
        .flatten()
        .cloned()
        .collect();
    let workers = (0..count).map(|_| Worker::with(&nats.url(), shared.iter().cloned()));
    Some(Elsewhere {
        _workers: workers.collect(),
        _nats: nats,
    })
}

/// The commands of the servers that share the sessions of a server, with their data directories, if the tests
/// are told to.
pub fn others(command: &mut Command, elsewhere: Option<&Elsewhere>) -> Vec<(TempDir, Command)> {
    let count = std::env::var(GATEWAYS).ok();
    let count: usize = count.and_then(|count| count.parse().ok()).unwrap_or(0);
    let has = |name: &str| command.get_args().any(|argument| argument == name);
    let fits = elsewhere.is_some() && !has("--gateway-url") && !has("--tls-cert");
    if !fits || count < 2 || is_one_of(OF_ONE_SERVER) {
        return Vec::new();
    }
    command.args(["--gateway-url", "http://127.0.0.1:0"]);
    let others = (1..count).map(|_| {
        let data = new_data_dir();
        let mut other = Command::new(command.get_program());
        let mut is_folder = false;
        for argument in command.get_args() {
            match std::mem::replace(&mut is_folder, argument == "--data-dir") {
                // It is a machine of its own.
                true => other.arg(data.path()),
                false => other.arg(argument),
            };
        }
        set_up_like(&mut other, command);
        (data, other)
    });
    others.collect()
}

/// Whether this test is one of these. Its thread has its name.
fn is_one_of(tests: &[&str]) -> bool {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default();
    tests.iter().any(|test| name.starts_with(test))
}
