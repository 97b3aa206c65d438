use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use pointstream_reconstruction::geometry::FrameSize;

use super::*;
use crate::tests::FakeModel;

const MIB: u64 = 1 << 20;

/// A model of which each frame needs a MiB, on a device where so many are free.
fn model(free: u64) -> FakeModel {
    FakeModel {
        frame_bytes: MIB,
        free: Some(free * MIB),
        ..FakeModel::new()
    }
}

fn frames(frames: usize) -> Workload {
    Workload::Prediction {
        frames,
        size: FrameSize::new(14, 14),
    }
}

fn memory(limit: u64) -> Arc<DeviceMemory> {
    let metrics = Metrics::new().expect("valid metrics");
    DeviceMemory::new(limit * MIB, || None, metrics)
}

#[test]
fn two_jobs_are_not_promised_the_same_bytes() {
    let (memory, model) = (memory(100), model(10));
    let first = memory.try_take(&model, frames(6)).expect("free");
    assert_eq!(
        memory.try_take(&model, frames(5)).err(),
        Some(NoMemory::Busy),
        "nothing of the first is taken yet, but it is promised"
    );
    let second = memory.try_take(&model, frames(4)).expect("the rest");
    assert_eq!(memory.metrics.job_memory().used, 10 * MIB);
    drop((first, second));
    assert_eq!(memory.metrics.job_memory().used, 0);
    assert!(memory.try_take(&model, frames(10)).is_ok());
}

#[test]
fn what_never_fits_is_refused_with_what_is_there() {
    let model = model(10);
    for (limit, available) in [(100, 10), (7, 7)] {
        let memory = memory(limit);
        let refused = memory.take(&model, frames(11), || true).err();
        let Some(NoMemory::Shortage(shortage)) = refused else {
            panic!("it is refused, but the outcome is {refused:?}")
        };
        assert_eq!(shortage.needed, 11 * MIB);
        assert_eq!(shortage.free, available * MIB);
    }
}

#[test]
fn what_uploads_and_decoding_may_take_is_not_promised() {
    let metrics = Metrics::new().expect("valid metrics");
    metrics.memory.uploads.limit(3 << 20);
    metrics.memory.uploads.taken(1 << 20);
    metrics.memory.decoding.limit(2 << 20);
    let memory = DeviceMemory::new(100 * MIB, || None, metrics);
    assert!(memory.try_take(&model(10), frames(7)).is_err());
    assert!(memory.try_take(&model(10), frames(6)).is_ok());
}

/// Takes memory on a thread of its own, and reports when it has got it.
fn waiting(
    memory: &Arc<DeviceMemory>,
    count: usize,
    got: &mpsc::Sender<usize>,
) -> thread::JoinHandle<()> {
    let before = memory.lock().waiting.len();
    let thread = {
        let (memory, got) = (memory.clone(), got.clone());
        thread::spawn(move || {
            let promise = memory.take(&model(10), frames(count), || true);
            got.send(count).expect("the test waits");
            drop(promise.expect("it fits in the end"));
        })
    };
    while memory.lock().waiting.len() == before {
        thread::yield_now();
    }
    thread
}

#[test]
fn a_large_job_waits_and_is_not_overtaken() {
    let (memory, model) = (memory(100), model(10));
    let (got, order) = mpsc::channel();
    let running = memory.try_take(&model, frames(5)).expect("free");
    let large = waiting(&memory, 9, &got);
    let small = waiting(&memory, 2, &got);
    assert_eq!(
        memory.try_take(&model, frames(1)).err(),
        Some(NoMemory::Busy),
        "it would fit, but others wait"
    );
    assert!(order.try_recv().is_err());
    drop(running);
    assert_eq!(order.recv(), Ok(9));
    assert_eq!(order.recv(), Ok(2));
    large.join().expect("no panic");
    small.join().expect("no panic");
}

#[test]
fn a_job_that_nobody_wants_waits_no_longer() {
    let (memory, model) = (memory(100), model(10));
    let running = memory.try_take(&model, frames(5)).expect("free");
    let wanted = AtomicBool::new(true);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let wanted = || wanted.load(Ordering::Relaxed);
            memory.take(&model, frames(9), wanted).err()
        });
        while memory.lock().waiting.is_empty() {
            thread::yield_now();
        }
        wanted.store(false, Ordering::Relaxed);
        let outcome = waiting.join().expect("no panic");
        assert_eq!(outcome, Some(NoMemory::Unwanted));
    });
    drop(running);
    assert!(memory.try_take(&model, frames(10)).is_ok());
}

/// What the cloud of so many frames needs.
fn cloud(count: usize) -> usize {
    let need = need_of_cloud(frames(count), None).expect("it fits");
    usize::try_from(need).expect("it fits")
}

#[test]
fn what_a_point_cloud_needs_is_held_until_the_cloud_is_stored() {
    let (memory, model) = (memory(100), model(100));
    let promise = memory.try_take(&model, frames(20)).expect("free");
    let used = || memory.metrics.job_memory().used;
    let of_model = 20 * MIB;
    assert_eq!(used(), of_model);
    let held = promise.for_cloud();
    assert_eq!(used(), cloud(20) as u64);
    let also = held.clone();
    drop(held);
    assert_eq!(used(), cloud(20) as u64, "somebody has it still");
    drop(also);
    assert_eq!(used(), 0);
    // Only predictions have a cloud.
    let encoding = Workload::Encoding {
        frames: 2,
        size: FrameSize::new(14, 14),
    };
    let held = memory.try_take(&model, encoding).expect("free").for_cloud();
    assert_eq!(used(), 0);
    drop(held);
}

#[test]
fn a_model_that_needs_little_is_promised_what_its_cloud_needs() {
    let little = FakeModel::new();
    let memory = memory(100);
    let promise = memory.try_take(&little, frames(3)).expect("free");
    assert_eq!(memory.metrics.job_memory().used, cloud(3) as u64);
    drop(promise);
    let limit = cloud(3) as u64 - 1;
    let memory = DeviceMemory::new(limit, || None, Metrics::new().expect("valid metrics"));
    let refused = memory.try_take(&little, frames(3)).err();
    let Some(NoMemory::Shortage(shortage)) = refused else {
        panic!("it is refused, but the outcome is {refused:?}")
    };
    assert_eq!((shortage.free, shortage.fitting_frames), (limit, 2));
}

#[test]
fn the_cloud_of_a_model_on_a_gpu_is_promised_main_memory() {
    let gpu = FakeModel {
        device: Device::Cuda(0),
        ..model(10)
    };
    // For one cloud.
    let limit = cloud(5) as u64 * 3 / 2;
    let memory = DeviceMemory::new(limit, || None, Metrics::new().expect("valid metrics"));
    let used = || memory.metrics.job_memory().used;
    let first = memory.try_take(&gpu, frames(5)).expect("free");
    assert_eq!(used(), cloud(5) as u64);
    let refused = memory.try_take(&gpu, frames(5)).err();
    assert_eq!(refused, Some(NoMemory::Busy), "of main memory");
    let held = first.for_cloud();
    assert_eq!(used(), cloud(5) as u64);
    assert_eq!(memory.lock().on(Device::Cuda(0)), 0, "the model is done");
    drop(held);
    assert!(memory.try_take(&gpu, frames(5)).is_ok());
    assert_eq!(used(), 0);
}
