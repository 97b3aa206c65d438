//! The progress bar. On a terminal only: `indicatif` draws nothing elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use pointstream_actors::Progress;

/// Steps of the whole bar.
const STEPS: u64 = 1000;
/// How many of them the photos take.
const UPLOAD_STEPS: u64 = 100;
/// How often the time that has passed is drawn anew.
const TICK: Duration = Duration::from_millis(200);

/// How far a reconstruction has come.
pub struct Bar {
    bar: ProgressBar,
    photos: u64,
}

impl Bar {
    /// A bar for so many photos.
    pub fn new(photos: usize) -> Self {
        let bar = ProgressBar::new(STEPS);
        if let Ok(style) = ProgressStyle::with_template("[{bar:30}] {percent:>3}% {elapsed} {msg}")
        {
            bar.set_style(style.progress_chars("#>-"));
        }
        bar.enable_steady_tick(TICK);
        let bar = Self {
            bar,
            photos: photos as u64,
        };
        bar.bar.set_message("Reading photos");
        bar
    }

    /// One more photo was sent.
    pub fn uploaded(&self) {
        self.bar.inc(UPLOAD_STEPS / self.photos.max(1));
    }

    /// The reconstruction has come this far.
    pub fn show(&self, progress: &Progress) {
        let rest = (STEPS - UPLOAD_STEPS) as f64;
        let done = (f64::from(progress.fraction) * rest) as u64;
        self.bar.set_position(UPLOAD_STEPS + done);
        self.bar.set_message(progress.message.clone());
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
