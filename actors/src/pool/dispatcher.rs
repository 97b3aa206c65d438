//! The dispatcher in front of the pool.

use std::sync::Arc;

use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::model::Device;
use ractor::{ActorCell, SpawnErr};
use tokio::sync::watch;

use super::job::Job;
use super::{DeviceMemory, EncodedFrames, Pool, PoolArgs, PoolMessage};
use crate::actor_status::ActorStatus;
use crate::blobs::{BlobKey, Blobs};
use crate::errors::RestartError;
use crate::ids::{JobId, SessionId};
use crate::jobs::{Dispatcher, DispatcherStatus, Held, HoldFailed, Holding, JobHandle, JobSpec};
use crate::mailbox::{Mailbox, Reply, answer};
use crate::memory::MemoryBudget;
use crate::metrics::Metrics;
use crate::remote::gateway::Gateway;
use crate::report::ActorReport;
use crate::settings::PoolSettings;

/// Does jobs on the devices of this machine, and on those of other machines.
pub(crate) struct PoolDispatcher {
    /// What the pool is started with, and started again.
    args: PoolArgs,
    /// The pool's address, once it was started.
    pool: watch::Sender<Option<Mailbox<PoolMessage>>>,
}

impl PoolDispatcher {
    /// A dispatcher whose pool is not started yet. With a gateway its pool has the workers of other machines, too.
    pub fn new(
        settings: Arc<PoolSettings>,
        blobs: Arc<dyn Blobs>,
        metrics: Arc<Metrics>,
        gateway: Option<Arc<Gateway>>,
    ) -> Self {
        let features = metrics.memory.features.clone();
        let encoded = EncodedFrames::new(MemoryBudget::new(settings.feature_cache_bytes, features));
        let limit = settings.job_memory_bytes;
        let memory = DeviceMemory::new(limit, settings.free_memory, metrics.clone());
        Self {
            args: PoolArgs {
                settings,
                gateway,
                blobs,
                encoded,
                memory,
                readiness: watch::Sender::default(),
                status: ActorStatus::new("pool", "workers".to_owned()),
                metrics,
            },
            pool: watch::Sender::new(None),
        }
    }

    /// Starts the pool under the supervisor, for the first time or after a failure.
    pub async fn start(&self, supervisor: ActorCell) -> Result<(), SpawnErr> {
        let pool = Pool::spawn(self.args.clone(), supervisor).await?;
        self.pool.send_replace(Some(pool));
        Ok(())
    }

    /// Whether this is the pool's actor.
    pub fn is_pool(&self, actor: &ActorCell) -> bool {
        self.pool()
            .is_some_and(|pool| pool.actor().get_id() == actor.get_id())
    }

    /// The pool has failed. Its jobs end with it.
    pub fn failed(&self, reason: &str) {
        self.args.status.failed(reason.to_owned());
        self.args.metrics.pool.pool_restarted();
    }

    /// Accepts no more jobs and ends those that wait.
    pub fn drain(&self) {
        self.notify(PoolMessage::Drain);
    }

    /// Kills a worker and starts it again.
    pub fn restart_worker(&self, index: usize, reply: Reply<Result<(), RestartError>>) {
        self.notify(PoolMessage::Restart(index, reply));
    }

    /// Takes jobs that come together.
    pub fn submit_together(&self, specs: Vec<JobSpec>) -> Vec<JobHandle> {
        let turn = self.args.settings.long_turn;
        let (jobs, handles) = specs
            .into_iter()
            .map(|spec| {
                let (sender, handle) = JobHandle::channel();
                (Job::new(spec, sender, turn), handle)
            })
            .unzip();
        self.notify(PoolMessage::SubmitAll(jobs));
        handles
    }

    /// Tells a job to make way for others, if it runs.
    pub fn make_way(&self, job: JobId) {
        self.notify(PoolMessage::MakeWay(job));
    }

    /// Changes when a worker becomes ready or fails.
    pub fn readiness(&self) -> watch::Receiver<DispatcherStatus> {
        self.args.readiness.subscribe()
    }

    /// The device of each worker of this machine, and whether its model is loaded.
    pub fn workers(&self) -> Vec<(Device, bool)> {
        self.args.readiness.borrow().local.clone()
    }

    /// Reports the pool and its workers; the pool alone if it does not answer.
    pub fn report(&self, reply: Reply<ActorReport>) {
        let pool = self.pool();
        let metrics = &self.args.metrics.pool;
        let alone = ActorReport {
            queue_depth: usize::try_from(metrics.queued()).ok(),
            restarts: metrics.pool_restarts(),
            ..self.args.status.report()
        };
        tokio::spawn(async move {
            let report = match &pool {
                Some(pool) => pool.ask(PoolMessage::Report).await.ok(),
                None => None,
            };
            answer(reply, report.unwrap_or(alone));
        });
    }

    /// Waits for memory as long as a job may take.
    fn holding<E: Into<HoldFailed>>(
        &self,
        taken: impl Future<Output = Result<Held, E>> + Send + 'static,
    ) -> Holding {
        let longest = self.args.settings.job_timeout;
        Box::pin(async move {
            match tokio::time::timeout(longest, taken).await {
                Ok(taken) => taken.map_err(E::into),
                Err(_) => Err(HoldFailed::TimedOut(longest.as_secs())),
            }
        })
    }

    fn pool(&self) -> Option<Mailbox<PoolMessage>> {
        self.pool.borrow().clone()
    }

    fn notify(&self, message: PoolMessage) {
        if let Some(pool) = self.pool() {
            pool.notify(message);
        }
    }
}

impl Dispatcher for PoolDispatcher {
    fn submit(&self, spec: JobSpec) -> JobHandle {
        let (sender, handle) = JobHandle::channel();
        // If the pool has just failed, the job is dropped, and its handle reports a failure.
        let turn = self.args.settings.long_turn;
        self.notify(PoolMessage::Submit(Job::new(spec, sender, turn)));
        handle
    }

    fn hold(&self, points: usize) -> Holding {
        self.holding(self.args.memory.clone().take_for_points(points))
    }

    fn hold_for_mesh(&self, bytes: u64) -> Holding {
        self.holding(self.args.memory.clone().take_for_mesh(bytes))
    }

    fn hold_for_comparison(&self, bytes: u64) -> Holding {
        self.holding(self.args.memory.clone().take_for_comparison(bytes))
    }

    fn encode_ahead_limit(&self, size: FrameSize) -> usize {
        let settings = &self.args.settings;
        let devices = settings.devices.iter();
        let here = devices
            .map(|device| settings.frames_per_call(*device, size))
            .filter(|_| !self.args.encoded.is_full());
        let status = self.args.readiness.borrow();
        // The frames of one call wait while those of another are encoded.
        2 * here.max().max(status.remote_frames_per_call).unwrap_or(0)
    }

    fn forget(&self, session: SessionId) {
        self.args.encoded.forget(session);
        if let Some(gateway) = &self.args.gateway {
            gateway.forget(session);
        }
    }

    fn forget_frames(&self, session: SessionId, frames: &[BlobKey]) {
        self.args
            .encoded
            .forget_frames(session, frames.iter().copied());
        if let Some(gateway) = &self.args.gateway {
            gateway.forget_frames(session, frames);
        }
    }

    fn forget_maps(&self, session: SessionId) {
        self.args.encoded.forget_maps(session);
        if let Some(gateway) = &self.args.gateway {
            gateway.forget_maps(session);
        }
    }

    fn status(&self) -> DispatcherStatus {
        self.args.readiness.borrow().clone()
    }
}
