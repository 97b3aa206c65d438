//! The comparison of the frames of a final result that the map answers.

use std::sync::Arc;
use std::time::Instant;

use pointstream_reconstruction::map::{Comparison, Contradicted};
use tokio_util::sync::CancellationToken;

use super::generation::Generation;
use super::generation_error::GenerationError;
use super::joined_window::StoredDepth;
use super::ledger::StoredMap;
use super::progress;

impl Generation {
    /// The pixels that frames of other chunks contradict; `None` if there is too little memory or time to
    /// find out: the result has all points then.
    pub(super) async fn contradicted(
        &self,
        stored: &Arc<StoredMap>,
    ) -> Result<Option<Contradicted>, GenerationError> {
        self.report(progress::comparing(self.frames.len()));
        let numbers: Vec<u64> = self.frames.iter().map(|frame| frame.number).collect();
        let needed = Comparison {
            map: &stored.map,
            numbers: &numbers,
        }
        .memory();
        let held = match self.context.dispatcher.hold_for_comparison(needed).await {
            Ok(held) => held,
            Err(error) => {
                tracing::warn!(%error, "frames are not compared, so contradicted points stay");
                return Ok(None);
            }
        };
        // Dropped with this future: a request that was cancelled needs no comparison.
        let wanted = CancellationToken::new();
        let _wanted = wanted.clone().drop_guard();
        let (context, stored) = (self.context.clone(), stored.clone());
        let work = move || {
            let (start, limit) = (Instant::now(), context.settings.pool.job_timeout);
            let comparison = Comparison {
                map: &stored.map,
                numbers: &numbers,
            };
            let source = StoredDepth {
                context: &context,
                map: &stored,
            };
            let goes_on = || !wanted.is_cancelled() && start.elapsed() < limit;
            let found = comparison.find(&source, &goes_on)?;
            drop(held);
            let seconds = start.elapsed().as_secs_f64();
            match &found {
                Some(_) => tracing::info!(frames = numbers.len(), seconds, "frames are compared"),
                None if wanted.is_cancelled() => {}
                None => tracing::warn!(
                    seconds,
                    "comparing frames takes longer than --job-timeout, so contradicted points stay"
                ),
            }
            Ok(found)
        };
        let (computing, owner) = (&self.context.computing, self.context.owner());
        computing.run(owner, work).await?
    }
}
