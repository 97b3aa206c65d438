//! What running jobs may take of the memory of their devices.

mod points;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pointstream_reconstruction::cloud::CLOUD_NEED;
use pointstream_reconstruction::model::{Device, Model, Shortage, Workload};

use crate::jobs::{Held, JobFailure};
use crate::metrics::{BudgetMetrics, MemoryMetrics, Metrics};

/// How often a job that waits for memory looks whether it is still wanted.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The memory of the devices, of which each job is promised what it needs before it starts. What is
/// promised to one is not promised to another, though the first may not have taken it yet.
///
/// A prediction is promised what its point cloud needs, too. That is made by the session, in the memory of
/// the CPU, after the worker has begun with another job.
#[derive(Debug)]
pub(crate) struct DeviceMemory {
    promises: Mutex<Promises>,
    /// Notified when memory or a place in the queue is given up.
    changed: Condvar,
    /// The most that jobs on the CPU may take together, in bytes.
    limit: u64,
    /// Free main memory in bytes, `None` if unknown.
    free: fn() -> Option<u64>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Promises {
    /// In bytes, all promises of a device together.
    held: Vec<(Device, u64)>,
    /// Jobs that wait, in their order: later ones do not overtake a large one, or it could wait for
    /// ever.
    waiting: VecDeque<u64>,
    next: u64,
}

impl Promises {
    /// What is promised to jobs on a device.
    fn on(&self, device: Device) -> u64 {
        let held = self.held.iter().find(|(other, _)| *other == device);
        held.map_or(0, |(_, bytes)| *bytes)
    }

    fn add(&mut self, device: Device, bytes: u64) {
        match self.held.iter_mut().find(|(other, _)| *other == device) {
            Some((_, held)) => *held = held.saturating_add(bytes),
            None => self.held.push((device, bytes)),
        }
    }

    fn remove(&mut self, device: Device, bytes: u64) {
        if let Some((_, held)) = self.held.iter_mut().find(|(other, _)| *other == device) {
            *held = held.saturating_sub(bytes);
        }
    }
}

/// What a job was promised; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Promise {
    memory: Arc<DeviceMemory>,
    /// Bytes of each device.
    parts: Vec<(Device, u64)>,
    /// Bytes that the point cloud needs.
    cloud: u64,
}

/// Why a job gets no memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum NoMemory {
    /// It would not fit even if no other job ran.
    Shortage(Shortage),
    /// It does not fit beside the jobs that run or come before it.
    Busy,
    /// It is not wanted any more.
    Unwanted,
}

impl DeviceMemory {
    /// `limit` is the most that jobs on the CPU may take together, in bytes.
    /// `free` tells how many bytes of main memory are free, `None` if unknown.
    pub fn new(limit: u64, free: fn() -> Option<u64>, metrics: Arc<Metrics>) -> Arc<Self> {
        let bytes = usize::try_from(limit).unwrap_or(usize::MAX);
        metrics.memory.jobs.limit(bytes);
        Arc::new(Self {
            promises: Mutex::default(),
            changed: Condvar::new(),
            limit,
            free,
            metrics,
        })
    }

    /// Promises a job what it needs. While it would fit if the jobs that run had ended, it waits, in the
    /// order in which jobs came, as long as it is `wanted`.
    ///
    /// # Errors
    /// [`NoMemory::Shortage`] or [`NoMemory::Unwanted`].
    pub fn take(
        self: &Arc<Self>,
        model: &dyn Model,
        work: Workload,
        wanted: impl Fn() -> bool,
    ) -> Result<Promise, NoMemory> {
        let mut promises = self.lock();
        let ticket = promises.next;
        promises.next += 1;
        promises.waiting.push_back(ticket);
        let outcome = loop {
            if !wanted() {
                break Err(NoMemory::Unwanted);
            }
            if promises.waiting.front() == Some(&ticket) {
                match self.promise(&mut promises, model, work) {
                    Err(NoMemory::Busy) => {}
                    outcome => break outcome,
                }
            }
            let waited = self.changed.wait_timeout(promises, CHECK_INTERVAL);
            promises = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        promises.waiting.retain(|waiting| *waiting != ticket);
        drop(promises);
        self.changed.notify_all();
        outcome
    }

    /// Promises a job what it needs if that is free now and no other job waits for memory.
    ///
    /// # Errors
    /// [`NoMemory::Shortage`] or [`NoMemory::Busy`].
    pub fn try_take(
        self: &Arc<Self>,
        model: &dyn Model,
        work: Workload,
    ) -> Result<Promise, NoMemory> {
        let mut promises = self.lock();
        if !promises.waiting.is_empty() {
            return Err(NoMemory::Busy);
        }
        self.promise(&mut promises, model, work)
    }

    fn promise(
        self: &Arc<Self>,
        promises: &mut Promises,
        model: &dyn Model,
        work: Workload,
    ) -> Result<Promise, NoMemory> {
        let device = model.device();
        let promised = promises.on(device);
        let available = self
            .available(model)
            .map(|all| all.saturating_sub(promised));
        let of_model = model.check_memory(work, available);
        let mut bytes = of_model.map_err(|shortage| NoMemory::of(shortage, promised))?;
        let on_cpu = promises.on(Device::Cpu);
        let for_cloud = match device {
            Device::Cpu => available,
            Device::Cuda(_) => Some(self.main_memory((self.free)()).saturating_sub(on_cpu)),
        };
        let cloud =
            need_of_cloud(work, for_cloud).map_err(|shortage| NoMemory::of(shortage, on_cpu))?;
        let mut parts = Vec::new();
        if device == Device::Cpu {
            // The cloud is made after the model has ended.
            bytes = bytes.max(cloud);
        } else if cloud > 0 {
            parts.push((Device::Cpu, cloud));
        }
        parts.push((device, bytes));
        for &(device, bytes) in &parts {
            promises.add(device, bytes);
            self.on_cpu(device, |jobs, bytes| jobs.taken(bytes), bytes);
        }
        Ok(Promise {
            memory: self.clone(),
            parts,
            cloud,
        })
    }

    /// Gives a part of a promise back.
    fn give_back(&self, device: Device, bytes: u64) {
        self.lock().remove(device, bytes);
        self.on_cpu(device, |jobs, bytes| jobs.given_back(bytes), bytes);
        self.changed.notify_all();
    }

    /// Bytes that are there for the jobs of a model's device, `None` if unknown.
    fn available(&self, model: &dyn Model) -> Option<u64> {
        let free = model.free_memory();
        match model.device() {
            Device::Cpu => Some(self.main_memory(free)),
            Device::Cuda(_) => free,
        }
    }

    /// Bytes of main memory that are there for jobs and clouds, if so many are free.
    ///
    /// What a job was promised counts as used from its start on, whether it has taken it or not. Uploads
    /// and decoding have budgets of their own, which may fill while the jobs run.
    fn main_memory(&self, free: Option<u64>) -> u64 {
        let MemoryMetrics {
            uploads, decoding, ..
        } = &self.metrics.memory;
        let uploads = uploads.in_use();
        let beside = uploads.limit.saturating_sub(uploads.used) + decoding.in_use().limit;
        let free = free.map(|free| free.saturating_sub(beside));
        free.map_or(self.limit, |free| free.min(self.limit))
    }

    fn on_cpu(&self, device: Device, count: impl Fn(&BudgetMetrics, usize), bytes: u64) {
        if device == Device::Cpu {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            count(&self.metrics.memory.jobs, bytes);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Promises> {
        self.promises.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Promise {
    /// The model is done: gives back what the point cloud does not need, and holds the rest.
    pub fn for_cloud(mut self) -> Held {
        let mut cloud = self.cloud;
        let mut kept = Vec::new();
        for (device, bytes) in std::mem::take(&mut self.parts) {
            let keep = match device {
                Device::Cpu => bytes.min(cloud),
                Device::Cuda(_) => 0,
            };
            if device == Device::Cpu {
                cloud -= keep;
            }
            self.memory.give_back(device, bytes - keep);
            kept.push((device, keep));
        }
        self.parts = kept;
        Held::new(self)
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        for (device, bytes) in std::mem::take(&mut self.parts) {
            self.memory.give_back(device, bytes);
        }
    }
}

/// What the point cloud of a prediction needs; other work has none.
fn need_of_cloud(work: Workload, available: Option<u64>) -> Result<u64, Shortage> {
    match work {
        Workload::Prediction { frames, .. } => {
            CLOUD_NEED.check(Device::Cpu, work, |_| frames, available)
        }
        Workload::Encoding { .. } | Workload::Adjustment { .. } => Ok(0),
    }
}

impl NoMemory {
    /// `promised`: what is promised to others of what is short.
    fn of(shortage: Shortage, promised: u64) -> Self {
        match promised {
            0 => Self::Shortage(shortage),
            _ => Self::Busy,
        }
    }
}

impl From<NoMemory> for JobFailure {
    fn from(none: NoMemory) -> Self {
        match none {
            NoMemory::Shortage(shortage) => Self::Shortage(shortage),
            NoMemory::Busy => Self::MemoryBusy,
            NoMemory::Unwanted => Self::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests;
