//! The points in the binary chunk.

use super::compression::GlbCompression;
use super::error::GlbError;
use super::meshopt;
use super::quantized::Grid;
use super::vertices::{COLOR_BYTES, POSITION_BYTES, Vertices, opaque, write_words};

/// Bytes of a quantised position with its padding.
pub const QUANTIZED_BYTES: usize = 8;

/// Positions and colours of the points, stored in one of the ways of [`GlbCompression`].
pub enum Points<'a> {
    Plain(Vertices<&'a [[f32; 3]], &'a [[u8; 3]]>),
    Quantized {
        grid: Grid,
        /// The lowest and the highest of the positions.
        bounds: [[i16; 3]; 2],
        positions: Vec<[i16; 4]>,
        colors: &'a [[u8; 3]],
    },
    /// The streams of [`Quantized`](Points::Quantized), encoded.
    Meshopt {
        grid: Grid,
        bounds: [[i16; 3]; 2],
        count: usize,
        positions: Vec<u8>,
        colors: Vec<u8>,
    },
}

impl<'a> Points<'a> {
    pub fn new(
        vertices: Vertices<&'a [[f32; 3]], &'a [[u8; 3]]>,
        compression: GlbCompression,
    ) -> Result<Self, GlbError> {
        let count = vertices.positions.len();
        if compression == GlbCompression::None || count == 0 {
            return Ok(Points::Plain(vertices));
        }
        let grid = Grid::over(vertices.bounds);
        let corners = grid.quantize(&vertices.bounds);
        let bounds = [0, 1].map(|corner: usize| [0, 1, 2].map(|axis: usize| corners[corner][axis]));
        let positions = grid.quantize(vertices.positions);
        let colors = vertices.colors;
        if compression == GlbCompression::Quantized {
            return Ok(Points::Quantized {
                grid,
                bounds,
                positions,
                colors,
            });
        }
        let (positions, colors) = rayon::join(
            || meshopt::encode(&positions),
            || {
                let colors: Vec<_> = colors.iter().copied().map(opaque).collect();
                meshopt::encode(&colors)
            },
        );
        Ok(Points::Meshopt {
            grid,
            bounds,
            count,
            positions: positions?,
            colors: colors?,
        })
    }

    pub fn len(&self) -> usize {
        match self {
            Points::Plain(vertices) => vertices.positions.len(),
            Points::Quantized { positions, .. } => positions.len(),
            Points::Meshopt { count, .. } => *count,
        }
    }

    /// The grid of quantised positions, `None` if positions are not quantised.
    pub fn grid(&self) -> Option<&Grid> {
        match self {
            Points::Plain(_) => None,
            Points::Quantized { grid, .. } | Points::Meshopt { grid, .. } => Some(grid),
        }
    }

    /// Bytes of the positions in the chunk.
    pub fn position_bytes(&self) -> usize {
        match self {
            Points::Plain(vertices) => vertices.positions.len() * POSITION_BYTES,
            Points::Quantized { positions, .. } => positions.len() * QUANTIZED_BYTES,
            Points::Meshopt { positions, .. } => positions.len(),
        }
    }

    /// Bytes of the colours in the chunk.
    pub fn color_bytes(&self) -> usize {
        match self {
            Points::Plain(vertices) => vertices.colors.len() * COLOR_BYTES,
            Points::Quantized { colors, .. } => colors.len() * COLOR_BYTES,
            Points::Meshopt { colors, .. } => colors.len(),
        }
    }

    pub fn write_positions(&self, file: &mut Vec<u8>) {
        match self {
            Points::Plain(vertices) => {
                write_words(file, vertices.positions.as_flattened(), |x| x.to_le_bytes());
            }
            Points::Quantized { positions, .. } => {
                write_words(file, positions.as_flattened(), |x| x.to_le_bytes());
            }
            Points::Meshopt { positions, .. } => file.extend_from_slice(positions),
        }
    }

    pub fn write_colors(&self, file: &mut Vec<u8>) {
        match self {
            Points::Plain(vertices) => write_words(file, vertices.colors, opaque),
            Points::Quantized { colors, .. } => write_words(file, colors, opaque),
            Points::Meshopt { colors, .. } => file.extend_from_slice(colors),
        }
    }
}
