//! What running jobs may take of the memory of their devices.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pointstream_reconstruction::model::{Device, Model, Shortage, Workload};

use crate::jobs::JobFailure;
use crate::metrics::{BudgetMetrics, MemoryMetrics, Metrics};

/// How often a job that waits for memory looks whether it is still wanted.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The memory of the devices, of which each job is promised what it needs before it starts. What is
/// promised to one is not promised to another, though the first may not have taken it yet.
#[derive(Debug)]
pub(crate) struct DeviceMemory {
    promises: Mutex<Promises>,
    /// Notified when memory or a place in the queue is given up.
    changed: Condvar,
    /// The most that jobs on the CPU may take together, in bytes.
    limit: u64,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Promises {
    held: Vec<(Device, u64)>,
    /// Jobs that wait, in their order: later ones do not overtake a large one, or it could wait for
    /// ever.
    waiting: VecDeque<u64>,
    next: u64,
}

impl Promises {
    /// What is promised to jobs on a device.
    fn on(&self, device: Device) -> u64 {
        let held = self.held.iter().filter(|(other, _)| *other == device);
        held.map(|(_, bytes)| bytes).sum()
    }
}

/// What a job was promised; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Promise {
    memory: Arc<DeviceMemory>,
    device: Device,
    bytes: u64,
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
    pub fn new(limit: u64, metrics: Arc<Metrics>) -> Arc<Self> {
        let bytes = usize::try_from(limit).unwrap_or(usize::MAX);
        metrics.memory.jobs.limit(bytes);
        Arc::new(Self {
            promises: Mutex::default(),
            changed: Condvar::new(),
            limit,
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
        let bytes = model.check_memory(work, available).map_err(|shortage| {
            if promised == 0 {
                NoMemory::Shortage(shortage)
            } else {
                NoMemory::Busy
            }
        })?;
        promises.held.push((device, bytes));
        self.on_cpu(device, |jobs, bytes| jobs.taken(bytes), bytes);
        Ok(Promise {
            memory: self.clone(),
            device,
            bytes,
        })
    }

    /// Bytes that are there for the jobs of a model's device, `None` if unknown.
    ///
    /// What a job was promised counts as used from its start on, whether it has taken it or not. Uploads
    /// and decoding have budgets of their own, which may fill while the jobs run.
    fn available(&self, model: &dyn Model) -> Option<u64> {
        let free = model.free_memory();
        if model.device() != Device::Cpu {
            return free;
        }
        let MemoryMetrics {
            uploads, decoding, ..
        } = &self.metrics.memory;
        let uploads = uploads.in_use();
        let beside = uploads.limit.saturating_sub(uploads.used) + decoding.in_use().limit;
        let free = free.map(|free| free.saturating_sub(beside));
        Some(free.map_or(self.limit, |free| free.min(self.limit)))
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

impl Drop for Promise {
    fn drop(&mut self) {
        let mut promises = self.memory.lock();
        let promise = (self.device, self.bytes);
        let held = promises.held.iter().position(|held| *held == promise);
        if let Some(index) = held {
            promises.held.swap_remove(index);
        }
        drop(promises);
        let memory = &self.memory;
        memory.on_cpu(
            self.device,
            |jobs, bytes| jobs.given_back(bytes),
            self.bytes,
        );
        memory.changed.notify_all();
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
