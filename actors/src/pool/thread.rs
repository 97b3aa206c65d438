//! The thread that owns a device and the model on it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use pointstream_reconstruction::model::{Device, FramesPerCall, LoadModel, ModelError};

use super::task::{Finished, Task, TaskContext};

/// A thread holds one while it runs, so that others see whether it does.
#[derive(Debug)]
pub(crate) struct ThreadGuard;

/// What the thread reports to its worker.
pub(crate) enum ThreadEvent {
    /// The model is on the device.
    Loaded,
    /// The model cannot be loaded; the thread has ended.
    LoadFailed(ModelError),
    /// A task is finished.
    Finished(Finished),
    /// A task panicked; the thread has ended.
    Panicked(String),
}

/// Starts a thread that loads the model and then runs one task after another, until the sender is
/// dropped. Every task ends with exactly one [`ThreadEvent::Finished`] or
/// [`ThreadEvent::Panicked`].
///
/// # Errors
/// The system's, if no thread can be started.
pub(crate) fn spawn(
    name: String,
    model: Arc<dyn LoadModel>,
    device: Device,
    frames_per_call: FramesPerCall,
    context: TaskContext,
    guard: Arc<ThreadGuard>,
    report: impl Fn(ThreadEvent) + Send + 'static,
) -> std::io::Result<SyncSender<Task>> {
    // Capacity 1: a worker sends a task only when the last one is finished.
    let (sender, tasks) = sync_channel(1);
    std::thread::Builder::new().name(name).spawn(move || {
        // Dropped last, after the model.
        let _guard = guard;
        let run = AssertUnwindSafe(|| {
            serve(
                model.as_ref(),
                device,
                frames_per_call,
                &context,
                &tasks,
                &report,
            );
        });
        if let Err(panic) = catch_unwind(run) {
            report(ThreadEvent::Panicked(panic_message(panic.as_ref())));
        }
    })?;
    Ok(sender)
}

fn serve(
    model: &dyn LoadModel,
    device: Device,
    frames_per_call: FramesPerCall,
    context: &TaskContext,
    tasks: &Receiver<Task>,
    report: &impl Fn(ThreadEvent),
) {
    let mut model = match model.load(device, frames_per_call) {
        Ok(model) => model,
        Err(error) => return report(ThreadEvent::LoadFailed(error)),
    };
    report(ThreadEvent::Loaded);
    while let Ok(task) = tasks.recv() {
        report(ThreadEvent::Finished(task.run(model.as_mut(), context)));
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it panicked").to_owned()
}
