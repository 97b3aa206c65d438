//! The progress bar. `indicatif` draws it only on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use pointstream_actors::Progress;

/// Steps of the whole bar.
const STEPS: u64 = 1000;
/// Steps for reading the photos.
const UPLOAD_STEPS: u64 = 100;
/// How often the elapsed time is redrawn.
const TICK: Duration = Duration::from_millis(200);

/// The progress of a reconstruction.
pub struct Bar {
    bar: ProgressBar,
    photos: u64,
    uploaded: u64,
}

impl Bar {
    /// A bar for this number of photos.
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
            uploaded: 0,
        };
        bar.bar.set_message("Reading photos");
        bar
    }

    /// Counts a photo that was sent to the session.
    pub fn uploaded(&mut self) {
        self.uploaded += 1;
        let done = UPLOAD_STEPS * self.uploaded / self.photos.max(1);
        self.bar.set_position(done);
    }

    /// Shows the progress of the session.
    pub fn show(&self, progress: &Progress) {
        let rest = (STEPS - UPLOAD_STEPS) as f64;
        let done = (f64::from(progress.fraction) * rest) as u64;
        self.bar.set_position(UPLOAD_STEPS + done);
        self.bar.set_message(progress.message.clone());
    }

    /// Shows that there is a result, which is converted to the file's format.
    pub fn done(&self) {
        self.bar.set_position(STEPS);
        self.bar.set_message("Writing the file");
        // The bar is not drawn at every change.
        self.bar.force_draw();
    }
}

impl Drop for Bar {
    /// Removes the bar from the terminal.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use pointstream_actors::Stage;

    use super::*;

    #[test]
    fn photos_fill_their_part_of_the_bar_for_any_number() {
        for photos in [1, 3, 100, 101, 1500] {
            let mut bar = Bar::new(photos);
            let mut last = 0;
            for _ in 0..photos {
                bar.uploaded();
                let now = bar.bar.position();
                assert!(now >= last && now <= UPLOAD_STEPS, "{now} of {photos}");
                last = now;
            }
            assert_eq!(last, UPLOAD_STEPS, "{photos}");
            bar.show(&Progress {
                stage: Stage::Inference,
                fraction: 0.5,
                message: "Half".to_owned(),
            });
            assert_eq!(bar.bar.position(), 550);
            bar.done();
            assert_eq!(bar.bar.position(), STEPS);
        }
    }
}
