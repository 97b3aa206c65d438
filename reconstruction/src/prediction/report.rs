//! What a model says about its own prediction.

use serde::{Deserialize, Serialize};
use strum::FromRepr;
use thiserror::Error;

/// Numbers of a frame's row in a report.
pub const REPORT_NUMBERS: usize = 8;

/// In a row: the number is not known.
const UNKNOWN: f32 = -1.0;

/// What a model says about its prediction of a frame. Numbers are finite and not negative; `None` is
/// a number that the model does not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct FrameReport {
    /// What is wrong with the frame, or why it is not registered.
    pub reason: Option<ReportedReason>,
    /// Index of the connected piece of frames that the frame belongs to: 0 for the registered
    /// frames, then the largest first.
    pub piece: Option<u32>,
    /// Inlier observations: points of the scene that were found in the frame.
    pub observations: Option<f32>,
    /// Median reprojection error of the observations in pixels.
    pub reprojection_error: Option<f32>,
    /// Median angle between the rays to a point in degrees.
    pub parallax_degrees: Option<f32>,
    /// Relative standard deviation of the focal length.
    pub focal_uncertainty: Option<f32>,
    /// Median relative standard deviation of depth.
    pub depth_uncertainty: Option<f32>,
    /// How sure the frame's camera is, 0 to 1.
    pub reliability: Option<f32>,
}

/// What a model finds wrong with a frame; the discriminants are the codes of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRepr, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum ReportedReason {
    TooFewMatches = 1,
    NotConnected = 2,
    NoParallax = 3,
    RotationOnly = 4,
    Ambiguous = 5,
    MixedCameras = 6,
    DegenerateScale = 7,
    UncertainFocalLength = 8,
}

/// Why a row is not that of a report.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum ReportError {
    #[error("a number is not finite")]
    NotFinite,
    #[error("{0} is not the code of a reason")]
    Reason(f32),
    #[error("{piece} is not the index of a piece of {frames} frames")]
    Piece { piece: f32, frames: usize },
    #[error("the reliability {0} is above 1")]
    Reliability(f32),
}

impl FrameReport {
    /// Reads the row of one of `frames` frames (see `weights/README.md`).
    ///
    /// # Errors
    /// [`ReportError`] if a number has no meaning.
    pub fn from_row(row: &[f32; REPORT_NUMBERS], frames: usize) -> Result<Self, ReportError> {
        if row.iter().any(|number| !number.is_finite()) {
            return Err(ReportError::NotFinite);
        }
        let &[
            reason,
            piece,
            observations,
            reprojection,
            parallax,
            focal,
            depth,
            reliability,
        ] = row;
        let known = |number: f32| (number >= 0.0).then_some(number);
        if reliability > 1.0 {
            return Err(ReportError::Reliability(reliability));
        }
        Ok(Self {
            reason: Self::reason(reason)?,
            piece: Self::piece(piece, frames)?,
            observations: known(observations),
            reprojection_error: known(reprojection),
            parallax_degrees: known(parallax),
            focal_uncertainty: known(focal),
            depth_uncertainty: known(depth),
            reliability: known(reliability),
        })
    }

    fn reason(code: f32) -> Result<Option<ReportedReason>, ReportError> {
        if code == 0.0 {
            return Ok(None);
        }
        // The conversion saturates: 0 is the code of no reason.
        let reason = ReportedReason::from_repr(code as u8).filter(|_| code.fract() == 0.0);
        reason.map(Some).ok_or(ReportError::Reason(code))
    }

    fn piece(piece: f32, frames: usize) -> Result<Option<u32>, ReportError> {
        if piece == UNKNOWN {
            return Ok(None);
        }
        if piece.fract() != 0.0 || piece < 0.0 || piece as usize >= frames {
            return Err(ReportError::Piece { piece, frames });
        }
        Ok(Some(piece as u32))
    }

    /// The row that [`from_row`](Self::from_row) reads.
    pub fn to_row(self) -> [f32; REPORT_NUMBERS] {
        let number = |known: Option<f32>| known.unwrap_or(UNKNOWN);
        [
            self.reason.map_or(0.0, |reason| f32::from(reason as u8)),
            number(self.piece.map(|piece| piece as f32)),
            number(self.observations),
            number(self.reprojection_error),
            number(self.parallax_degrees),
            number(self.focal_uncertainty),
            number(self.depth_uncertainty),
            number(self.reliability),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: [f32; REPORT_NUMBERS] = [2.0, 1.0, 120.0, 0.4, 3.5, 0.01, 0.02, 0.9];

    /// The row with one number changed.
    fn with(index: usize, number: f32) -> [f32; REPORT_NUMBERS] {
        let mut row = ROW;
        row[index] = number;
        row
    }

    #[test]
    fn rows_round_trip() {
        let unknown = [0.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0];
        for row in [ROW, unknown, with(0, 8.0), with(4, 0.0)] {
            let report = FrameReport::from_row(&row, 2).expect("valid");
            assert_eq!(report.to_row(), row);
        }
        let report = FrameReport::from_row(&ROW, 2).expect("valid");
        assert_eq!(report.reason, Some(ReportedReason::NotConnected));
        assert_eq!(report.piece, Some(1));
        // Any negative number means unknown.
        let report = FrameReport::from_row(&with(3, -0.5), 2).expect("valid");
        assert_eq!(report.reprojection_error, None);
    }

    #[test]
    fn numbers_without_a_meaning_are_refused() {
        let refused = |row| FrameReport::from_row(&row, 2).expect_err("invalid");
        for index in 0..REPORT_NUMBERS {
            for number in [f32::NAN, f32::INFINITY] {
                assert_eq!(refused(with(index, number)), ReportError::NotFinite);
            }
        }
        for code in [-1.0, 0.5, 1.5, 9.0, 1e9] {
            assert_eq!(refused(with(0, code)), ReportError::Reason(code));
        }
        for piece in [-2.0, -0.5, 0.5, 2.0, 1e9] {
            let expected = ReportError::Piece { piece, frames: 2 };
            assert_eq!(refused(with(1, piece)), expected);
        }
        assert_eq!(refused(with(7, 1.5)), ReportError::Reliability(1.5));
    }
}
