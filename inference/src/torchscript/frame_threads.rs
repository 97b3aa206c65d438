//! Threads that call a model for single frames at the same time, on the CPU.
//!
//! Most operations on one frame are short. libtorch's own threads, which share each operation, then wait
//! for each other more than they compute. So each of these threads has a frame of its own, and libtorch
//! starts others for it only if fewer frames fit into memory than there are cores.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;

use pointstream_reconstruction::model::ModelError;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::load::without_optimiser;

/// A pool of threads, as many as libtorch would use for one operation.
#[derive(Debug)]
pub(super) struct FrameThreads {
    pool: ThreadPool,
}

impl FrameThreads {
    /// Starts the threads. Operations on the caller's thread keep all of libtorch's.
    ///
    /// # Errors
    /// [`ModelError::Load`] if the system has no threads left.
    pub fn start(path: &str) -> Result<Self, ModelError> {
        let threads = all_threads();
        share_operations(threads);
        Self::of(threads, path)
    }

    fn of(threads: usize, path: &str) -> Result<Self, ModelError> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("frame-{index}"))
            .build()
            .map_err(|error| ModelError::Load {
                path: path.to_owned(),
                reason: error.to_string(),
            })?;
        let prepared = pool.broadcast(|_| without_optimiser(path));
        prepared.into_iter().collect::<Result<(), _>>()?;
        Ok(Self { pool })
    }

    /// Number of threads.
    pub fn count(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Computes something for each of `count` frames, at most `at_once` of them at the same time. Each has
    /// its share of libtorch's threads, however many frames there are: so results do not depend on that.
    /// `prepare` gives each thread its own arguments. `take` gets the results in the order of the
    /// frames, on the caller's thread.
    ///
    /// # Errors
    /// The first one of a computation or of `take`; no more frames are begun then.
    pub fn each<T: Send, C>(
        &self,
        count: usize,
        at_once: usize,
        prepare: impl Fn() -> C,
        mut take: impl FnMut(T, usize) -> Result<(), ModelError>,
    ) -> Result<(), ModelError>
    where
        C: Fn(usize) -> Result<T, ModelError> + Send,
    {
        let at_once = at_once.clamp(1, self.count());
        let share = self.count() / at_once;
        let at_once = at_once.min(count);
        let next = AtomicUsize::new(0);
        self.pool.in_place_scope(|scope| {
            let (sender, results) = sync_channel(at_once);
            for _ in 0..at_once {
                let (sender, next, compute) = (sender.clone(), &next, prepare());
                scope.spawn(move |_| {
                    share_operations(share);
                    loop {
                        let frame = next.fetch_add(1, Ordering::Relaxed);
                        // Nobody listens any more after an error.
                        if frame >= count || sender.send((frame, compute(frame))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            let mut early = BTreeMap::new();
            let mut due = 0;
            let taken = results.iter().try_for_each(|(frame, result)| {
                early.insert(frame, result?);
                while let Some(result) = early.remove(&due) {
                    take(result, due)?;
                    due += 1;
                }
                Ok(())
            });
            drop(results);
            taken
        })
    }
}

/// Threads that libtorch has for an operation unless it is told otherwise: one for each core, or as
/// OMP_NUM_THREADS says.
fn all_threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    // The first thread that asks finds what nobody has set yet.
    *THREADS.get_or_init(|| usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1))
}

/// Sets how many threads share an operation that this thread begins.
fn share_operations(threads: usize) {
    // When a thread first asks, it takes over the number that any thread has set last.
    tch::get_num_threads();
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn threads(count: usize) -> FrameThreads {
        FrameThreads::of(count, "a test").expect("threads")
    }

    #[test]
    fn each_frame_has_its_share_of_the_threads() {
        let threads = threads(6);
        share_operations(6);
        // Frames that are there do not matter, only how many fit.
        for (count, at_once, share) in [
            (9, 6, 1),
            (1, 6, 1),
            (9, 4, 1),
            (9, 2, 3),
            (2, 1, 6),
            (9, 99, 1),
        ] {
            let mut found = Vec::new();
            let compute = || |_| Ok(tch::get_num_threads());
            let take = |share, _| {
                found.push(share);
                Ok(())
            };
            threads
                .each(count, at_once, compute, take)
                .expect("no error");
            assert_eq!(found, vec![share; count], "{count} {at_once}");
        }
        assert_eq!(tch::get_num_threads(), 6);
    }

    #[test]
    fn frames_are_computed_together_and_taken_in_order() {
        let threads = threads(3);
        // Nobody passes before three have come.
        let barrier = Barrier::new(3);
        let mut order = Vec::new();
        let compute = || {
            |frame| {
                barrier.wait();
                Ok(10 * frame)
            }
        };
        let take = |result, frame| {
            order.push((result, frame));
            Ok(())
        };
        threads.each(6, 3, compute, take).expect("no error");
        assert_eq!(order, [(0, 0), (10, 1), (20, 2), (30, 3), (40, 4), (50, 5)]);
    }

    #[test]
    fn an_error_ends_the_work() {
        let threads = threads(3);
        let begun = AtomicUsize::new(0);
        let compute = || {
            |frame| {
                begun.fetch_add(1, Ordering::Relaxed);
                match frame {
                    2 => Err(ModelError::Cancelled),
                    frame => Ok(frame),
                }
            }
        };
        let result = threads.each(1000, 1, compute, |_, _| Ok(()));
        assert!(matches!(result, Err(ModelError::Cancelled)));
        // One more fits into the channel, and one waits to be sent.
        assert!(begun.load(Ordering::Relaxed) <= 5);

        let mut taken = 0;
        let take = |_, _| {
            taken += 1;
            Err(ModelError::Cancelled)
        };
        let result = threads.each(1000, 3, || |frame: usize| Ok(frame), take);
        assert!(matches!(result, Err(ModelError::Cancelled)));
        assert_eq!(taken, 1);
    }

    #[test]
    fn no_frames_are_no_work() {
        let nothing = |_, _| Err(ModelError::Empty);
        let result = threads(3).each(0, 2, || |frame: usize| Ok(frame), nothing);
        assert!(result.is_ok());
    }
}
