use super::*;
use crate::ids::JobId;
use crate::jobs::contract::spec;
use crate::jobs::{JobHandle, JobKind, JobSpec};
use crate::pool::batch::Batch;

/// A queue, and the other ends of its jobs, which are not cancelled while these exist.
struct Bench {
    queue: Queue,
    handles: Vec<(JobId, JobHandle)>,
    now: Instant,
}

impl Bench {
    fn new(capacity: usize) -> Self {
        Self {
            queue: Queue::new(capacity),
            handles: Vec::new(),
            now: Instant::now(),
        }
    }

    fn add(&mut self, spec: JobSpec) -> Result<JobId, JobFailure> {
        let id = spec.id;
        let (sender, handle) = JobHandle::channel();
        self.handles.push((id, handle));
        let pushed = self.queue.push(Job::new(spec, sender, Duration::ZERO));
        pushed.map(|()| id).map_err(|refused| refused.failure)
    }

    /// Adds a reconstruction that a client waits for.
    fn request(&mut self, session: SessionId) -> Result<JobId, JobFailure> {
        self.add(spec(session, JobKind::Reconstruct, &[1]))
    }

    /// The same in a session of this creator.
    fn request_of(&mut self, creator: &str, session: SessionId) -> Result<JobId, JobFailure> {
        self.add(JobSpec {
            creator: Some(creator.into()),
            ..spec(session, JobKind::Reconstruct, &[1])
        })
    }

    /// Adds a reconstruction that nobody waits for.
    fn ahead(&mut self, session: SessionId) -> Result<JobId, JobFailure> {
        self.add(JobSpec {
            priority: JobPriority::Ahead,
            ..spec(session, JobKind::Reconstruct, &[1])
        })
    }

    /// Adds frames to encode ahead of time.
    fn encode(&mut self, session: SessionId, frames: &[u64]) -> JobId {
        let added = self.add(spec(session, JobKind::Encode, frames));
        added.expect("room")
    }

    fn cancel(&mut self, job: JobId) {
        self.handles.retain(|(id, _)| *id != job);
    }

    fn take(&mut self) -> Option<Job> {
        self.queue.take(self.now, |_| true)
    }

    /// Takes the next job, which there must be.
    fn next(&mut self) -> JobId {
        self.take().expect("a job waits").spec.id
    }

    /// The sessions of the next jobs.
    fn sessions(&mut self, jobs: usize) -> Vec<SessionId> {
        let taken = std::iter::from_fn(|| self.take()).take(jobs);
        taken.map(|job| job.spec.session).collect()
    }
}

fn sessions<const COUNT: usize>() -> [SessionId; COUNT] {
    std::array::from_fn(|_| SessionId::new_v4())
}

#[test]
fn a_session_with_many_jobs_delays_others_by_one_job_each() {
    let mut bench = Bench::new(256);
    let [greedy] = sessions();
    let others: [SessionId; 10] = sessions();
    for _ in 0..60 {
        bench.request(greedy).expect("room");
    }
    assert_eq!(bench.sessions(1), [greedy], "nobody else waits");
    for _ in 0..2 {
        for other in others {
            bench.request(other).expect("room");
        }
    }
    for _ in 0..2 {
        assert_eq!(bench.sessions(10), others);
        assert_eq!(bench.sessions(1), [greedy]);
    }
    assert_eq!(bench.sessions(100), vec![greedy; 57]);
}

#[test]
fn jobs_of_a_session_keep_their_order() {
    let mut bench = Bench::new(16);
    let [one, other] = sessions();
    let jobs = [(); 3].map(|()| bench.request(one).expect("room"));
    let its = [(); 3].map(|()| bench.request(other).expect("room"));
    for (job, its) in jobs.into_iter().zip(its) {
        assert_eq!([bench.next(), bench.next()], [job, its]);
    }
    assert!(bench.take().is_none());
}

#[test]
fn a_session_that_comes_back_is_behind_those_that_were_served_earlier() {
    let mut bench = Bench::new(16);
    let [one, other, new] = sessions();
    for session in [other, one] {
        bench.request(session).expect("room");
        assert_eq!(bench.sessions(1), [session]);
    }
    for session in [one, other, new] {
        bench.request(session).expect("room");
    }
    assert_eq!(bench.sessions(3), [new, other, one]);
}

#[test]
fn new_sessions_cannot_keep_one_waiting_for_ever() {
    let mut bench = Bench::new(8);
    let [one] = sessions();
    for _ in 0..2 {
        bench.request(one).expect("room");
    }
    assert_eq!(bench.sessions(1), [one]);
    let overtaken = (0..100).take_while(|_| {
        let [new] = sessions();
        bench.request(new).expect("room");
        bench.sessions(1) == [new]
    });
    assert_eq!(overtaken.count(), 8, "as many as may wait");
}

#[test]
fn what_clients_wait_for_overtakes_work_ahead_of_time_of_either_kind() {
    let mut bench = Bench::new(16);
    let [one, other] = sessions();
    let frames = bench.encode(one, &[1]);
    let early = bench.ahead(one).expect("room");
    let first = bench.request(one).expect("room");
    let second = bench.request(one).expect("room");
    let foreign = bench.request(other).expect("room");
    let order = [(); 5].map(|()| bench.next());
    assert_eq!(order, [first, foreign, second, frames, early]);
}

#[test]
fn work_ahead_of_time_that_has_waited_long_takes_turns_with_requests() {
    let mut bench = Bench::new(16);
    let [idle, asking] = sessions();
    let early = bench.ahead(idle).expect("room");
    let start = bench.now;
    let constant_flow = |bench: &mut Bench| {
        let job = bench.request(asking).expect("room");
        (job, bench.next())
    };
    for seconds in [0, 1, 30] {
        bench.now = start + Duration::from_secs(seconds);
        let (asked, taken) = constant_flow(&mut bench);
        assert_eq!(taken, asked);
    }
    // It was submitted after the start.
    bench.now = Instant::now() + PATIENCE;
    let (asked, taken) = constant_flow(&mut bench);
    assert_eq!(taken, early);
    assert_eq!(bench.next(), asked);
}

#[test]
fn a_lost_job_comes_first_in_its_session_but_not_before_others() {
    let mut bench = Bench::new(16);
    let [one, other] = sessions();
    let lost = bench.request(one).expect("room");
    let later = bench.request(one).expect("room");
    let job = bench.take().expect("a job waits");
    assert_eq!(job.spec.id, lost);
    let foreign = bench.request(other).expect("room");
    bench.queue.put_back(job);
    let order = [(); 3].map(|()| bench.next());
    assert_eq!(order, [foreign, lost, later]);
}

#[test]
fn a_job_that_no_worker_has_taken_keeps_its_turn() {
    let mut bench = Bench::new(16);
    let [one, other] = sessions();
    let jobs = [(); 3].map(|()| bench.request(one).expect("room"));
    let [first, second] = [(); 2].map(|()| bench.take().expect("a job waits"));
    let foreign = bench.request(other).expect("room");
    bench.queue.return_turns([first, second].into_iter());
    let order = [(); 4].map(|()| bench.next());
    assert_eq!(order, [jobs[0], foreign, jobs[1], jobs[2]]);
}

#[test]
fn a_client_with_many_sessions_delays_others_by_one_job_each() {
    let mut bench = Bench::new(64);
    let many: [SessionId; 5] = sessions();
    let [one, nobodys] = sessions();
    for session in &many {
        for _ in 0..2 {
            bench.request_of("many", *session).expect("room");
        }
    }
    for _ in 0..2 {
        bench.request_of("one", one).expect("room");
        bench.request(nobodys).expect("room");
    }
    let expected = [
        many[0], one, nobodys, many[1], one, nobodys, many[2], many[3], many[4], many[0],
    ];
    assert_eq!(bench.sessions(10), expected);
}

#[test]
fn a_client_cannot_fill_the_queue_with_many_sessions() {
    let mut bench = Bench::new(5);
    let [one, other, third] = sessions();
    bench.request_of("greedy", one).expect("room");
    bench.request_of("greedy", other).expect("room");
    let refused = Err(JobFailure::ClientQueueFull { limit: 2 });
    assert_eq!(bench.request_of("greedy", third), refused);
    bench.request_of("other", third).expect("room for others");
    // A session of nobody is a client of its own.
    bench.request(third).expect("room for others");
}

#[test]
fn cancelled_jobs_take_no_turn() {
    let mut bench = Bench::new(16);
    let [one, other] = sessions();
    let cancelled = bench.request(one).expect("room");
    let foreign = bench.request(other).expect("room");
    let wanted = bench.request(one).expect("room");
    bench.cancel(cancelled);
    // The wanted job came last, and the cancelled one gives its place to nobody.
    assert_eq!([bench.next(), bench.next()], [foreign, wanted]);
    assert!(bench.take().is_none());
    let left = bench.queue.take_cancelled();
    let left: Vec<_> = left.iter().map(|job| job.spec.id).collect();
    assert_eq!(left, [cancelled]);
    assert_eq!(bench.queue.len(), 0);
}

#[test]
fn a_session_cannot_fill_the_queue() {
    let mut bench = Bench::new(5);
    let [greedy, one, other] = sessions();
    let refused = Err(JobFailure::SessionQueueFull { limit: 2 });
    for session in [greedy, one] {
        for _ in 0..2 {
            bench.request(session).expect("room");
        }
        assert_eq!(bench.request(session), refused);
    }
    bench.request(other).expect("there is room for others");
    let full = Err(JobFailure::QueueFull { capacity: 5 });
    assert_eq!(bench.request(other), full);
    assert_eq!(bench.queue.len(), 5);
    bench.next();
    bench.request(greedy).expect("the one taken left room");
}

#[test]
fn a_session_may_always_have_one_job() {
    let mut bench = Bench::new(1);
    let [one, other] = sessions();
    bench.request(one).expect("room");
    let full = Err(JobFailure::QueueFull { capacity: 1 });
    assert_eq!(bench.request(other), full);
}

#[test]
fn work_ahead_of_time_leaves_room_in_the_queue_and_to_its_session() {
    let mut bench = Bench::new(16);
    let all: [SessionId; 3] = sessions();
    for session in &all[..2] {
        for _ in 0..4 {
            bench.ahead(*session).expect("room");
        }
    }
    let refused = bench.ahead(all[2]);
    assert_eq!(refused, Err(JobFailure::QueueFull { capacity: 8 }));
    bench.next();
    let refused = bench.ahead(all[1]);
    assert_eq!(refused, Err(JobFailure::SessionQueueFull { limit: 4 }));
    for session in all {
        bench.request(session).expect("room is left for requests");
    }
}

#[test]
fn sessions_take_turns_to_join_a_batch() {
    let mut bench = Bench::new(64);
    let [many, one, other, late] = sessions();
    let of_many = [1, 2, 3, 4].map(|frame| bench.encode(many, &[frame]));
    let of_one = bench.encode(one, &[1]);
    let too_large = bench.encode(other, &[1, 2, 3]);
    let of_other = bench.encode(other, &[4]);
    let now = bench.now;
    let first = bench.take().expect("a job waits");
    let batch = Batch::collect(first, &mut bench.queue, 4, now);
    let joined: Vec<_> = batch.into_jobs().map(|job| job.spec.id).collect();
    assert_eq!(joined, [of_many[0], of_one, of_other, of_many[1]]);
    // All of them have had a turn, and the one with two jobs the last.
    for session in [many, one, other] {
        bench.request(session).expect("room");
    }
    bench.request(late).expect("room");
    assert_eq!(bench.sessions(4), [late, one, other, many]);
    assert_eq!(bench.next(), too_large);
}

#[test]
fn only_what_has_waited_so_long_is_given_up() {
    let mut bench = Bench::new(4);
    let session = SessionId::new_v4();
    let old = bench.request(session).expect("room");
    std::thread::sleep(Duration::from_millis(20));
    let between = Instant::now();
    let new = bench.request(session).expect("room");
    let minute = Duration::from_secs(60);
    let ids = |jobs: Vec<Job>| jobs.iter().map(|job| job.spec.id).collect::<Vec<_>>();
    assert!(ids(bench.queue.take_waiting(between, minute)).is_empty());
    assert_eq!(
        ids(bench
            .queue
            .take_waiting(between + minute - Duration::from_millis(10), minute)),
        [old]
    );
    assert_eq!(
        ids(bench.queue.take_waiting(Instant::now() + minute, minute)),
        [new]
    );
}
