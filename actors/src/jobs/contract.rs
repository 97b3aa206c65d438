//! Contract tests for implementations of [`Dispatcher`].
//!
//! An implementation runs the functions below from its tests, each with a fresh dispatcher whose
//! workers load [`FakeModel`].

use std::sync::Arc;
use std::time::Duration;

use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::CameraTags;
use pointstream_reconstruction::map::PlaceVector;
use pointstream_reconstruction::model::{CameraHint, Step};
use pointstream_reconstruction::prediction::Prediction;

use super::{
    Dispatcher, JobDone, JobEvent, JobFailure, JobFrame, JobHandle, JobKind, JobPriority,
    JobProgress, JobSpec,
};
use crate::blobs::{BlobKey, BlobName, Blobs};
use crate::ids::{JobId, SessionId};

/// A dispatcher under test.
pub(crate) struct Subject {
    pub dispatcher: Arc<dyn Dispatcher>,
    /// The store that its workers read frames from and write predictions to.
    pub blobs: Arc<dyn Blobs>,
}

/// Size of the frames.
pub(crate) const SIZE: FrameSize = FrameSize::new(28, 14);

impl Subject {
    /// A session with this many stored frames.
    pub fn session(&self, frames: u64) -> SessionId {
        let session = SessionId::new_v4();
        self.blobs.create_session(session).expect("a new session");
        let pixels = vec![100; SIZE.width as usize * SIZE.height as usize * 3];
        for number in 1..=frames {
            let key = frame(session, number).blob;
            self.blobs.put_bytes(&key, &pixels).expect("stored");
        }
        session
    }

    pub fn submit(&self, session: SessionId, kind: JobKind, frames: &[u64]) -> JobHandle {
        self.dispatcher.submit(spec(session, kind, frames))
    }

    pub async fn ready(&self) {
        until(|| self.dispatcher.status().ready_workers > 0).await;
    }
}

fn frame(session: SessionId, number: u64) -> JobFrame {
    JobFrame {
        blob: BlobKey {
            session,
            name: BlobName::Prepared(number),
        },
        size: SIZE,
        has_hidden: false,
        camera: None,
        hint: CameraHint::of_photo(&CameraTags::default(), SIZE),
        placed: None,
    }
}

/// A job with the priority that sessions give to its kind.
pub(crate) fn spec(session: SessionId, kind: JobKind, frames: &[u64]) -> JobSpec {
    JobSpec {
        id: JobId::new_v4(),
        session,
        creator: None,
        kind,
        priority: match kind {
            JobKind::Encode => JobPriority::Ahead,
            JobKind::Reconstruct | JobKind::Adjust => JobPriority::Requested,
        },
        frames: frames
            .iter()
            .map(|&number| frame(session, number))
            .collect(),
        size: SIZE,
        runs: Vec::new(),
        divisible: false,
    }
}

/// Waits for a condition.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait)
        .await
        .expect("the condition holds in time");
}

/// Waits for the end of a job.
pub(crate) async fn end(job: JobHandle) -> Result<JobDone, JobFailure> {
    tokio::time::timeout(Duration::from_secs(60), job.end())
        .await
        .expect("the job ends in time")
}

/// A job's events come in their order, and the key of the result leads to a prediction.
pub(crate) async fn a_job_is_accepted_reports_progress_and_has_a_result(subject: &Subject) {
    let session = subject.session(2);
    let mut job = subject.submit(session, JobKind::Reconstruct, &[1, 2]);
    let mut events = Vec::new();
    while let Some(event) = job.next().await {
        events.push(event);
    }
    assert_eq!(events.first(), Some(&JobEvent::Accepted));
    let encoded = JobProgress::Encoded { done: 2, total: 2 };
    let relating = JobProgress::Model(Step::Relating);
    let place = |wanted| events.iter().position(|event| *event == wanted);
    let encoded = place(JobEvent::Progress(encoded)).expect("all frames are encoded");
    let relating = place(JobEvent::Progress(relating)).expect("the model runs");
    assert!(encoded < relating);
    let Some(JobEvent::Done(JobDone {
        result: Some(key), ..
    })) = events.last()
    else {
        panic!("a result is due, but the job ends with {:?}", events.last());
    };
    assert_eq!(key.session, session);
    let stored = subject.blobs.get(key).expect("the result is stored");
    let prediction = Prediction::from_safetensors(&stored).expect("a prediction");
    assert_eq!(prediction.len(), 2);
    assert!(job.next().await.is_none(), "nothing comes after the end");
}

/// A frame that is encoded ahead needs no encoding later, until the session is forgotten.
pub(crate) async fn encoded_frames_are_kept_until_they_are_forgotten(
    subject: &Subject,
    encoded: impl Fn() -> usize,
) {
    let session = subject.session(2);
    assert!(subject.dispatcher.encode_ahead_limit(SIZE) > 0);
    let done = end(subject.submit(session, JobKind::Encode, &[1])).await;
    assert_eq!(done.expect("encoded").result, None);
    assert_eq!(encoded(), 1);
    for (forget, expected) in [(false, 2), (false, 2), (true, 4)] {
        if forget {
            subject.dispatcher.forget(session);
        }
        let done = end(subject.submit(session, JobKind::Reconstruct, &[1, 2])).await;
        done.expect("reconstructed");
        assert_eq!(encoded(), expected, "forgotten: {forget}");
    }
}

/// A frame that cannot be read fails its own job only, also if others are encoded in the same call.
/// `running` waits until a call of the model has begun; `hold` keeps calls from ending.
pub(crate) async fn a_missing_frame_fails_its_own_job_only(
    subject: &Subject,
    running: impl Future<Output = usize>,
    hold: impl Sized,
) {
    let (first, poor, rich) = (subject.session(1), subject.session(0), subject.session(3));
    let busy = subject.submit(first, JobKind::Encode, &[1]);
    running.await;
    let submit = |session, kind, frame| (session, subject.submit(session, kind, &[frame]));
    let jobs = [
        submit(rich, JobKind::Encode, 1),
        submit(poor, JobKind::Encode, 1),
        submit(rich, JobKind::Encode, 2),
        submit(poor, JobKind::Reconstruct, 1),
        submit(rich, JobKind::Reconstruct, 3),
    ];
    drop(hold);
    end(busy).await.expect("not affected");
    for (session, job) in jobs {
        let outcome = end(job).await;
        if session == poor {
            assert!(matches!(outcome, Err(JobFailure::Frame(_))), "{outcome:?}");
        } else {
            assert!(outcome.is_ok(), "{outcome:?}");
        }
    }
}

/// What clients wait for comes before work ahead of time, whatever its kind, and sessions take
/// turns. `running` waits until a call of the model has begun and `hold` keeps calls from ending;
/// `calls` has the number of frames of each. The dispatcher has one worker.
pub(crate) async fn requests_come_first_and_sessions_take_turns(
    subject: &Subject,
    running: impl Future<Output = usize>,
    hold: impl Sized,
    calls: impl Fn() -> Vec<usize>,
) {
    let (many, one) = (subject.session(6), subject.session(5));
    let mut jobs = vec![subject.submit(many, JobKind::Reconstruct, &[1])];
    running.await;
    let ahead = spec(one, JobKind::Reconstruct, &[1, 2, 3]);
    jobs.push(subject.dispatcher.submit(JobSpec {
        priority: JobPriority::Ahead,
        ..ahead
    }));
    for frame in 2..=4 {
        jobs.push(subject.submit(many, JobKind::Encode, &[frame]));
    }
    for frames in [&[4], &[5], &[6]] {
        jobs.push(subject.submit(many, JobKind::Reconstruct, frames));
    }
    jobs.push(subject.submit(one, JobKind::Reconstruct, &[4, 5]));
    drop(hold);
    for job in jobs {
        end(job).await.expect("a result");
    }
    // The one request with two frames does not wait for the many before it. Ahead of time, its session
    // is first again. Of the three frames to encode, a request has encoded one already.
    assert_eq!(calls(), [1, 2, 1, 1, 1, 3, 2]);
}

/// A session cannot keep others out of the queue. The dispatcher has one worker, and four jobs may
/// wait for it.
pub(crate) async fn a_session_leaves_room_for_others(
    subject: &Subject,
    running: impl Future<Output = usize>,
    hold: impl Sized,
) {
    let (greedy, other) = (subject.session(1), subject.session(1));
    let submit = |session| subject.submit(session, JobKind::Reconstruct, &[1]);
    let mut jobs = vec![submit(greedy)];
    running.await;
    jobs.extend([submit(greedy), submit(greedy)]);
    let refused = end(submit(greedy)).await.expect_err("it has its share");
    assert_eq!(refused, JobFailure::SessionQueueFull { limit: 2 });
    assert!(refused.to_string().contains("one session"), "{refused}");
    jobs.extend([submit(other), submit(other)]);
    let refused = end(submit(other)).await;
    assert_eq!(refused, Err(JobFailure::QueueFull { capacity: 4 }));
    // A job that is cancelled leaves its place.
    drop(jobs.pop());
    jobs.push(submit(other));
    drop(hold);
    for job in jobs {
        end(job).await.expect("a result");
    }
}

/// Dropping the handle cancels a job that waits. `hold` keeps the workers busy until it is dropped.
pub(crate) async fn a_dropped_handle_cancels_its_job(
    subject: &Subject,
    hold: impl Sized,
    encoded: impl Fn() -> usize,
) {
    let (first, second) = (subject.session(1), subject.session(1));
    let running = subject.submit(first, JobKind::Encode, &[1]);
    drop(subject.submit(second, JobKind::Reconstruct, &[1]));
    let last = subject.submit(first, JobKind::Reconstruct, &[1]);
    drop(hold);
    end(running).await.expect("not affected");
    end(last).await.expect("not affected");
    assert_eq!(
        encoded(),
        1,
        "the frame of the cancelled job is not encoded"
    );
}

/// Specs and events survive a trip over a network.
#[test]
fn specs_and_events_serialise() {
    let spec = spec(SessionId::new_v4(), JobKind::Reconstruct, &[1, 2]);
    let text = serde_json::to_string(&spec).expect("JSON");
    assert_eq!(
        serde_json::from_str::<JobSpec>(&text).expect("a spec"),
        spec
    );
    let events = [
        JobEvent::Accepted,
        JobEvent::Waiting,
        JobEvent::Progress(JobProgress::Encoded { done: 1, total: 2 }),
        JobEvent::Progress(JobProgress::Model(Step::Dense { done: 1, total: 2 })),
        JobEvent::Done(JobDone {
            result: Some(spec.frames[0].blob),
            places: vec![PlaceVector::new(&[0.25, -0.5]), None],
            adjusted: Vec::new(),
            timings: super::JobTimings::default(),
            held: super::Held::default(),
        }),
        JobEvent::Failed(JobFailure::Frame("gone".to_owned())),
        JobEvent::Failed(JobFailure::QueueFull { capacity: 3 }),
        JobEvent::Failed(JobFailure::SessionQueueFull { limit: 2 }),
        JobEvent::Failed(JobFailure::ClientQueueFull { limit: 2 }),
        JobEvent::Failed(JobFailure::ShuttingDown),
    ];
    for event in events {
        let text = serde_json::to_string(&event).expect("JSON");
        let read = serde_json::from_str::<JobEvent>(&text).expect("an event");
        assert_eq!(read, event, "{text}");
    }
}
