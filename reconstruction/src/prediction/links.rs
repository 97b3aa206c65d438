//! Which features of different frames show the same points.

/// Numbers of a link: x, y, track.
pub const LINK_NUMBERS: usize = 3;

/// Features of the frames of one run of the model, with the track of each: features of one track show
/// the same point.
#[derive(Debug, Clone, PartialEq)]
pub struct Links {
    per_frame: usize,
    /// Frame by frame, [`LINK_NUMBERS`] for each of `per_frame` links; a track below 0 is none.
    numbers: Vec<f32>,
}

/// One feature of a track.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Index of the frame.
    pub frame: usize,
    /// Pixel index from the left.
    pub x: f32,
    /// Pixel index from the top.
    pub y: f32,
    pub track: usize,
}

impl Links {
    /// From numbers of the shape `[frames, per_frame, 3]`; `None` if there are too many or too few.
    pub fn new(frames: usize, per_frame: usize, numbers: Vec<f32>) -> Option<Self> {
        let expected = frames.checked_mul(per_frame)?.checked_mul(LINK_NUMBERS)?;
        (numbers.len() == expected).then_some(Self { per_frame, numbers })
    }

    /// Links of each frame at most.
    pub fn per_frame(&self) -> usize {
        self.per_frame
    }

    /// All numbers, of the shape `[frames, per_frame, 3]`.
    pub fn numbers(&self) -> &[f32] {
        &self.numbers
    }

    /// The links, frame by frame.
    pub fn iter(&self) -> impl Iterator<Item = Link> {
        let (rows, _) = self.numbers.as_chunks::<LINK_NUMBERS>();
        rows.iter()
            .enumerate()
            .filter_map(|(index, &[x, y, track])| {
                (track >= 0.0).then_some(Link {
                    frame: index / self.per_frame,
                    x,
                    y,
                    track: track as usize,
                })
            })
    }
}
