//! Memory for point clouds that are made without a job.

use std::sync::Arc;

use pointstream_reconstruction::cloud::MAP_POINT_NEED;
use pointstream_reconstruction::model::Device;

use super::{CHECK_INTERVAL, DeviceMemory, Promise};
use crate::jobs::{CloudTooLarge, Held};

/// A place among those who wait for memory, given up when it is dropped.
struct Place {
    memory: Arc<DeviceMemory>,
    ticket: u64,
}

impl DeviceMemory {
    /// Promises main memory for a cloud of so many points. Waits in the same order as jobs do.
    ///
    /// # Errors
    /// [`CloudTooLarge`] if it would not fit even if no job ran.
    pub async fn take_for_points(self: Arc<Self>, points: usize) -> Result<Held, CloudTooLarge> {
        let needed = MAP_POINT_NEED.saturating_mul(points as u64);
        if needed > self.limit {
            return Err(CloudTooLarge {
                points,
                needed,
                limit: self.limit,
                fitting: self.limit / MAP_POINT_NEED,
            });
        }
        let place = Place::last(self);
        loop {
            if let Some(promise) = place.promise(needed) {
                return Ok(Held::new(promise));
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }
}

impl Place {
    fn last(memory: Arc<DeviceMemory>) -> Self {
        let mut promises = memory.lock();
        let ticket = promises.next;
        promises.next += 1;
        promises.waiting.push_back(ticket);
        drop(promises);
        Self { memory, ticket }
    }

    /// The promise, if it is this one's turn and so much is free.
    fn promise(&self, bytes: u64) -> Option<Promise> {
        let memory = &self.memory;
        let mut promises = memory.lock();
        let is_first = promises.waiting.front() == Some(&self.ticket);
        let fits = promises.on(Device::Cpu).saturating_add(bytes) <= memory.limit;
        if !(is_first && fits) {
            return None;
        }
        promises.add(Device::Cpu, bytes);
        memory.on_cpu(Device::Cpu, |jobs, bytes| jobs.taken(bytes), bytes);
        Some(Promise {
            memory: memory.clone(),
            parts: vec![(Device::Cpu, bytes)],
            cloud: bytes,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut promises = self.memory.lock();
        promises.waiting.retain(|waiting| *waiting != self.ticket);
        drop(promises);
        self.memory.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn clouds_without_a_job_wait_for_each_other_in_their_order() {
        let metrics = Metrics::new().expect("valid metrics");
        let memory = DeviceMemory::new(10 * MAP_POINT_NEED, metrics.clone());
        let used = || metrics.job_memory().used / MAP_POINT_NEED;
        let too_large = memory.clone().take_for_points(11).await;
        let too_large = too_large.expect_err("it never fits");
        assert_eq!((too_large.points, too_large.fitting), (11, 10));
        let first = memory.clone().take_for_points(6).await.expect("free");
        assert_eq!(used(), 6);
        let mut large = tokio::spawn(memory.clone().take_for_points(9));
        let waiting = async {
            while memory.lock().waiting.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        waiting.await;
        let mut small = tokio::spawn(memory.clone().take_for_points(2));
        let pause = tokio::time::sleep(3 * CHECK_INTERVAL);
        tokio::select! {
            _ = &mut large => panic!("there is no memory for it"),
            _ = &mut small => panic!("it overtakes a large one"),
            () = pause => {}
        }
        drop(first);
        let large = large.await.expect("no panic").expect("it fits now");
        assert_eq!(used(), 9);
        // One that nobody wants any more leaves its place.
        small.abort();
        assert!(small.await.is_err());
        drop(large);
        assert!(memory.lock().waiting.is_empty());
        assert_eq!(used(), 0);
    }
}
