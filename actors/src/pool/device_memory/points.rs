//! Memory for point clouds and meshes that are made without a job.

use std::sync::Arc;

use pointstream_reconstruction::cloud::{CLOUD_NEED, MAP_POINT_NEED};
use pointstream_reconstruction::model::{Device, Shortage, Workload};

use super::{CHECK_INTERVAL, DeviceMemory, Promise};
use crate::jobs::{CloudTooLarge, ComparisonTooLarge, Held, MeshTooLarge};

/// Why there is no memory now.
enum NoRoom {
    /// Jobs run or come before it.
    Busy,
    /// No job runs, and there are only so many bytes.
    Short { available: u64 },
}

/// It would not fit even if no job ran.
struct NeverFits {
    /// Bytes that there are.
    limit: u64,
}

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
        let taken = self.take_main(needed).await;
        taken.map_err(|NeverFits { limit }| CloudTooLarge {
            points,
            needed,
            limit,
            fitting: limit / MAP_POINT_NEED,
        })
    }

    /// The same for the cloud of a prediction that another machine has made.
    ///
    /// # Errors
    /// [`Shortage`] if it would not fit even if no job ran.
    pub async fn take_for_cloud(self: Arc<Self>, work: Workload) -> Result<Held, Shortage> {
        let mut available = self.limit;
        loop {
            let needed = CLOUD_NEED.check(Device::Cpu, work, |_| 1, Some(available))?;
            match self.clone().take_main(needed).await {
                Ok(held) => return Ok(held),
                Err(NeverFits { limit }) => available = limit,
            }
        }
    }

    /// The same for a mesh that takes so many bytes.
    ///
    /// # Errors
    /// [`MeshTooLarge`] likewise.
    pub async fn take_for_mesh(self: Arc<Self>, needed: u64) -> Result<Held, MeshTooLarge> {
        let taken = self.take_main(needed).await;
        taken.map_err(|NeverFits { limit }| MeshTooLarge { needed, limit })
    }

    /// The same for a comparison of frames that takes so many bytes.
    ///
    /// # Errors
    /// [`ComparisonTooLarge`] likewise.
    pub async fn take_for_comparison(
        self: Arc<Self>,
        needed: u64,
    ) -> Result<Held, ComparisonTooLarge> {
        let taken = self.take_main(needed).await;
        taken.map_err(|NeverFits { limit }| ComparisonTooLarge { needed, limit })
    }

    async fn take_main(self: Arc<Self>, needed: u64) -> Result<Held, NeverFits> {
        if needed > self.limit {
            return Err(NeverFits { limit: self.limit });
        }
        let place = Place::last(self);
        loop {
            match place.promise(needed) {
                Ok(promise) => return Ok(Held::new(promise)),
                Err(NoRoom::Busy) => {}
                Err(NoRoom::Short { available }) => {
                    return Err(NeverFits { limit: available });
                }
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
    fn promise(&self, bytes: u64) -> Result<Promise, NoRoom> {
        let memory = &self.memory;
        let mut promises = memory.lock();
        if promises.waiting.front() != Some(&self.ticket) {
            return Err(NoRoom::Busy);
        }
        let available = memory.main_memory((memory.free)());
        let promised = promises.on(Device::Cpu);
        if promised.saturating_add(bytes) > available {
            return Err(match promised {
                0 => NoRoom::Short { available },
                _ => NoRoom::Busy,
            });
        }
        promises.add(Device::Cpu, bytes);
        memory.on_cpu(Device::Cpu, |jobs, bytes| jobs.taken(bytes), bytes);
        Ok(Promise {
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
        let memory = DeviceMemory::new(10 * MAP_POINT_NEED, || None, metrics.clone());
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

    #[tokio::test]
    async fn a_mesh_waits_with_the_clouds() {
        let metrics = Metrics::new().expect("valid metrics");
        let memory = DeviceMemory::new(10 * MAP_POINT_NEED, || None, metrics.clone());
        let (needed, limit) = (11 * MAP_POINT_NEED, 10 * MAP_POINT_NEED);
        let too_large = memory.clone().take_for_mesh(needed).await;
        let too_large = too_large.expect_err("it never fits");
        assert_eq!(too_large, MeshTooLarge { needed, limit });
        let too_large = memory.clone().take_for_comparison(needed).await;
        let too_large = too_large.expect_err("it never fits");
        assert_eq!(too_large, ComparisonTooLarge { needed, limit });
        let cloud = memory.clone().take_for_points(6).await.expect("free");
        let mut mesh = tokio::spawn(memory.clone().take_for_mesh(5 * MAP_POINT_NEED));
        let early = tokio::time::timeout(3 * CHECK_INTERVAL, &mut mesh).await;
        assert!(early.is_err(), "there is no memory for it");
        drop(cloud);
        let mesh = mesh.await.expect("no panic").expect("it fits now");
        assert_eq!(metrics.job_memory().used, 5 * MAP_POINT_NEED);
        drop(mesh);
        assert_eq!(metrics.job_memory().used, 0);
    }

    #[tokio::test]
    async fn a_cloud_for_which_too_little_is_free_is_refused_unless_a_job_may_give_some_back() {
        let metrics = Metrics::new().expect("valid metrics");
        let free = || Some(10 * MAP_POINT_NEED);
        let memory = DeviceMemory::new(u64::MAX, free, metrics);
        let too_large = memory.clone().take_for_points(11).await;
        let too_large = too_large.expect_err("so much is not free");
        assert_eq!((too_large.points, too_large.fitting), (11, 10));
        let first = memory.clone().take_for_points(6).await.expect("free");
        let mut second = tokio::spawn(memory.clone().take_for_points(6));
        let early = tokio::time::timeout(3 * CHECK_INTERVAL, &mut second).await;
        assert!(early.is_err(), "the first one may use it all");
        drop(first);
        second.await.expect("no panic").expect("it fits now");
        assert!(memory.lock().waiting.is_empty());
    }
}
