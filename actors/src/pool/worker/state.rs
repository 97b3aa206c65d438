//! The state of a worker.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use ractor::ActorProcessingErr;
use tokio_util::sync::CancellationToken;

use super::{WorkerArgs, WorkerEvent, WorkerMessage, WorkerReport};
use crate::actor_status::ActorStatus;
use crate::mailbox::Mailbox;
use crate::pool::PoolMessage;
use crate::pool::task::Task;
use crate::pool::thread::{self, ThreadEvent};

/// The state of a worker.
pub(crate) struct State {
    index: usize,
    incarnation: u64,
    status: Arc<ActorStatus>,
    pool: Mailbox<PoolMessage>,
    tasks: SyncSender<Task>,
    /// Tells the thread that its work is not wanted any more.
    abandoned: CancellationToken,
}

impl Drop for State {
    /// However the actor ends, its thread ends after the current step of the model.
    fn drop(&mut self) {
        self.abandoned.cancel();
    }
}

impl State {
    /// Starts the thread.
    pub fn start(args: WorkerArgs, mailbox: Mailbox<WorkerMessage>) -> std::io::Result<Self> {
        let abandoned = args.context.abandoned.clone();
        let tasks = thread::spawn(
            format!("worker-{}", args.index),
            args.model,
            args.device,
            args.frames_per_call,
            args.context,
            args.thread,
            move |event| mailbox.notify(WorkerMessage::Thread(event)),
        )?;
        Ok(Self {
            index: args.index,
            incarnation: args.incarnation,
            status: args.status,
            pool: args.pool,
            tasks,
            abandoned,
        })
    }

    pub fn handle(&mut self, message: WorkerMessage) -> Result<(), ActorProcessingErr> {
        self.status.message_taken();
        match message {
            WorkerMessage::Run(jobs) => self
                .tasks
                .try_send(Task::new(jobs, &self.abandoned))
                .map_err(|_| "the worker's thread does not take tasks".into()),
            WorkerMessage::Thread(event) => self.thread_reported(event),
        }
    }

    fn thread_reported(&self, event: ThreadEvent) -> Result<(), ActorProcessingErr> {
        match event {
            ThreadEvent::Loaded => self.report(WorkerEvent::Ready),
            ThreadEvent::LoadFailed(error) => Err(error.into()),
            ThreadEvent::Panicked(reason) => Err(format!("the model panicked: {reason}").into()),
            ThreadEvent::Finished(finished) => self.report(WorkerEvent::Finished(finished)),
        }
    }

    fn report(&self, event: WorkerEvent) -> Result<(), ActorProcessingErr> {
        let report = WorkerReport {
            index: self.index,
            incarnation: self.incarnation,
            event,
        };
        Ok(self.pool.cast(PoolMessage::Worker(report))?)
    }
}
