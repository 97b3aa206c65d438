//! Figures for docs/scaling.md, from a model whose time is known:
//! `cargo test --workspace --lib figures -- --ignored --nocapture`

use std::time::{Duration, Instant};

use super::super::contract::Local;
use super::{FakeModel, Remote};
use crate::jobs::JobKind;
use crate::jobs::contract::{self, Subject};

/// Times of a call of the model in milliseconds: of a few small images, and of a window of a stream.
const CALLS: [u64; 2] = [200, 1000];
/// Jobs for each worker.
const JOBS: usize = 25;
const SESSIONS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures"]
async fn figures_of_throughput() {
    for call in CALLS {
        for nodes in [1, 2, 4] {
            let share = throughput(Duration::from_millis(call), nodes).await;
            let percent = 100.0 * share;
            println!("calls of {call} ms, {nodes} workers: {percent:.0} % of the ideal throughput");
        }
    }
}

/// The throughput of so many workers, as a share of what calls of this time allow.
async fn throughput(call: Duration, nodes: usize) -> f64 {
    let model = FakeModel {
        takes: call,
        ..FakeModel::new()
    };
    let remote = Remote::start(&model, |settings| settings.pool.queue_capacity = 1000).await;
    let mut running = Vec::new();
    for _ in 0..nodes {
        running.push(remote.node(model.clone()).await);
    }
    contract::until(|| remote.dispatcher_status().ready_workers == nodes).await;
    let sessions: Vec<_> = (0..SESSIONS).map(|_| remote.subject.session(1)).collect();
    let begin = Instant::now();
    let jobs: Vec<_> = (0..JOBS * nodes)
        .map(|number| {
            let session = sessions[number % SESSIONS];
            remote.subject.submit(session, JobKind::Reconstruct, &[1])
        })
        .collect();
    for job in jobs {
        contract::end(job).await.expect("reconstructed");
    }
    let ideal = call * u32::try_from(JOBS).expect("few");
    ideal.as_secs_f64() / begin.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures"]
async fn figures_of_latency() {
    let local = Local::with(FakeModel::new(), |_| {}).await;
    let (remote, _node) = Remote::with_node(FakeModel::new(), |_| {}).await;
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        here.push(time_of_a_job(&local.subject).await);
        there.push(time_of_a_job(&remote.subject).await);
    }
    for times in [&mut here, &mut there] {
        times.sort();
    }
    let milliseconds = |time: Duration| 1000.0 * time.as_secs_f64();
    for share in [0.5, 0.95] {
        let place = (share * here.len() as f64) as usize;
        println!(
            "{:.0} % of small jobs: {:.1} ms here, {:.1} ms on another process",
            100.0 * share,
            milliseconds(here[place]),
            milliseconds(there[place])
        );
    }
}

async fn time_of_a_job(subject: &Subject) -> Duration {
    let session = subject.session(1);
    let begin = Instant::now();
    let job = subject.submit(session, JobKind::Reconstruct, &[1]);
    contract::end(job).await.expect("reconstructed");
    begin.elapsed()
}
