//! Whether a result can be relied on, and if not, why and what to do.
//!
//! The model may report on its prediction, but the judgement does not depend on that: depths and
//! cameras that are impossible are found here for any model, and what is wrong with the images as
//! well. Begin an [`Assessment`] before the point cloud is built, because it removes the frames whose
//! geometry is impossible; [`finish`](Assessment::finish) it when the points are known.

mod assessment;
mod geometry;
mod images;
mod reason;
mod report;
mod verdict;

pub use assessment::{AssessedFrame, Assessment};
pub use images::RequestImage;
pub use reason::QualityReason;
pub use report::{FrameQuality, Quality, QualitySummary};
pub use verdict::Verdict;
