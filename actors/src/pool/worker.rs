//! A worker: the actor in front of the thread that owns a device.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;

use pointstream_reconstruction::model::{Device, FramesPerCall, LoadModel};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};

use super::PoolMessage;
use super::job::{JobError, JobOutput, Work};
use super::task::{StopSignal, Task};
use super::thread::{self, ThreadEvent};
use crate::gauge::Gauge;
use crate::mailbox::Mailbox;

/// What a worker is told.
pub(crate) enum WorkerMessage {
    /// Do this; sent only when the worker has nothing to do.
    Run {
        /// What is to be done.
        work: Work,
        /// Set when nobody wants the result any more.
        cancelled: Arc<AtomicBool>,
        /// How long the job waited, in seconds.
        queued: f64,
    },
    /// Its thread reports.
    Thread(ThreadEvent),
}

/// What a worker tells the pool.
pub(crate) struct WorkerReport {
    /// Which worker.
    pub index: usize,
    /// Which of its lives; what an earlier one says is of no interest any more.
    pub incarnation: u64,
    /// What it says.
    pub event: WorkerEvent,
}

/// What a worker says.
pub(crate) enum WorkerEvent {
    /// The model is loaded; it can work.
    Ready,
    /// Its job is done, well or badly.
    Finished(Result<JobOutput, JobError>),
}

/// What a worker needs.
pub(crate) struct WorkerArgs {
    /// Its place in the pool.
    pub index: usize,
    /// Which of its lives this is.
    pub incarnation: u64,
    /// The model that it loads.
    pub model: Arc<dyn LoadModel>,
    /// Where it runs.
    pub device: Device,
    /// How many frames it encodes in one call.
    pub frames_per_call: FramesPerCall,
    /// Its gauge, kept over restarts.
    pub gauge: Arc<Gauge>,
    /// The pool.
    pub pool: Mailbox<PoolMessage>,
}

/// The actor. It fails, and is restarted by the pool, when its model is in doubt.
pub(crate) struct Worker;

/// Its state.
pub(crate) struct WorkerState {
    args: WorkerArgs,
    tasks: SyncSender<Task>,
    abandoned: Arc<AtomicBool>,
}

impl Drop for WorkerState {
    /// However the actor ends, its thread ends at the next step of its computation.
    fn drop(&mut self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }
}

impl Worker {
    /// Starts a worker under the pool. The model is loaded on the worker's own thread afterwards.
    pub async fn spawn(
        args: WorkerArgs,
        supervisor: ActorCell,
    ) -> Result<Mailbox<WorkerMessage>, SpawnErr> {
        let gauge = args.gauge.clone();
        let (actor, _) = Actor::spawn_linked(None, Self, args, supervisor).await?;
        Ok(Mailbox::new(actor, gauge))
    }

    fn on_thread_event(state: &WorkerState, event: ThreadEvent) -> Result<(), ActorProcessingErr> {
        match event {
            ThreadEvent::Loaded => state.report(WorkerEvent::Ready),
            ThreadEvent::LoadFailed(error) => Err(error.into()),
            ThreadEvent::Panicked(reason) => Err(format!("the model panicked: {reason}").into()),
            ThreadEvent::Done(result) => {
                let doubt = result
                    .as_ref()
                    .err()
                    .filter(|error| error.needs_restart())
                    .map(ToString::to_string);
                state.report(WorkerEvent::Finished(result))?;
                doubt.map_or(Ok(()), |reason| Err(reason.into()))
            }
        }
    }
}

impl WorkerState {
    fn report(&self, event: WorkerEvent) -> Result<(), ActorProcessingErr> {
        let report = WorkerReport {
            index: self.args.index,
            incarnation: self.args.incarnation,
            event,
        };
        Ok(self.args.pool.cast(PoolMessage::Worker(report))?)
    }
}

impl Actor for Worker {
    type Msg = WorkerMessage;
    type State = WorkerState;
    type Arguments = WorkerArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        args.gauge.started(&myself.get_id());
        args.gauge.device(args.device.to_string());
        let mailbox = Mailbox::new(myself, args.gauge.clone());
        let tasks = thread::spawn(
            format!("worker-{}", args.index),
            args.model.clone(),
            args.device,
            args.frames_per_call,
            move |event| {
                // Gone: the worker was given up, and its job is somebody else's now.
                let _ = mailbox.cast(WorkerMessage::Thread(event));
            },
        )?;
        Ok(WorkerState {
            args,
            tasks,
            abandoned: Arc::new(AtomicBool::new(false)),
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.args.gauge.message_taken();
        match message {
            WorkerMessage::Run {
                work,
                cancelled,
                queued,
            } => {
                let task = Task {
                    work,
                    stop: StopSignal {
                        cancelled,
                        abandoned: state.abandoned.clone(),
                    },
                    queued,
                };
                state
                    .tasks
                    .try_send(task)
                    .map_err(|_| "the worker's thread does not take tasks".into())
            }
            WorkerMessage::Thread(event) => Self::on_thread_event(state, event),
        }
    }
}
