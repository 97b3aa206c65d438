//! The thread that owns a device and the model on it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use pointstream_reconstruction::model::{Device, FramesPerCall, LoadModel, ModelError};

use super::job::{JobError, JobOutput};
use super::task::Task;

/// What the thread tells its worker.
pub(crate) enum ThreadEvent {
    /// The model is on the device.
    Loaded,
    /// The model cannot be loaded; the thread has ended.
    LoadFailed(ModelError),
    /// A task is done.
    Done(Result<JobOutput, JobError>),
    /// A task panicked; the thread has ended.
    Panicked(String),
}

/// Starts a thread that loads the model and then runs one task after another until the sender is
/// dropped. Every task is answered by exactly one [`ThreadEvent::Done`] or
/// [`ThreadEvent::Panicked`].
///
/// # Errors
/// The system's, if there can be no more threads.
pub(crate) fn spawn(
    name: String,
    model: Arc<dyn LoadModel>,
    device: Device,
    frames_per_call: FramesPerCall,
    tell: impl Fn(ThreadEvent) + Send + 'static,
) -> std::io::Result<SyncSender<Task>> {
    // One place: a worker gives a task only when the last one is done.
    let (sender, tasks) = sync_channel(1);
    std::thread::Builder::new().name(name).spawn(move || {
        let run =
            AssertUnwindSafe(|| serve(model.as_ref(), device, frames_per_call, &tasks, &tell));
        if let Err(panic) = catch_unwind(run) {
            tell(ThreadEvent::Panicked(panic_message(panic.as_ref())));
        }
    })?;
    Ok(sender)
}

fn serve(
    model: &dyn LoadModel,
    device: Device,
    frames_per_call: FramesPerCall,
    tasks: &Receiver<Task>,
    tell: &impl Fn(ThreadEvent),
) {
    let model = match model.load(device, frames_per_call) {
        Ok(model) => model,
        Err(error) => return tell(ThreadEvent::LoadFailed(error)),
    };
    tell(ThreadEvent::Loaded);
    while let Ok(task) = tasks.recv() {
        tell(ThreadEvent::Done(task.run(model.as_ref())));
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it panicked").to_owned()
}
