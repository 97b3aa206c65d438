//! A picture of a file: one that is coded, or a grid of tiles, each coded on its own.

use heic_rs::context::Context;
use heic_rs::hevc::{self, Frame};
use heic_rs::props::ItemProps;
use heic_rs::props::hvcc::{HevcConfig, NAL_SPS};
use heic_rs::reader::Reader;
use heic_rs::{ChromaFormat, Error, Grid, Result, grid};

use crate::geometry::FrameSize;

use super::sequence::{Sequence, unit_type};

/// Most sets of parameters of a coded picture: one each of three kinds, and some to spare.
const MAX_SETS: usize = 16;
/// Most properties of an item. A tile has about five.
const MAX_PROPERTIES: usize = 64;
/// Most units of a coded picture.
const MAX_UNITS: u64 = 1024;
/// Pixels of the smallest block that an entry into the coded data may lead to.
const SMALLEST_BLOCK: u64 = 64;
/// How often the entries may be compared with the escapes in the data: some seconds.
const MAX_COMPARISONS: u64 = 1 << 30;
/// Bytes of a pixel beside its samples while it is decoded: addresses, filters and modes of blocks.
const BLOCKS: u64 = 2;
/// Largest blocks have so many pixels along each side.
const LARGEST_BLOCK: u32 = 64;

/// A picture whose header is read.
pub(super) struct Picture {
    grid: Option<Grid>,
    /// Items that are coded pictures, row-major.
    tiles: Vec<u32>,
    /// What all tiles say.
    pub sequence: Sequence,
    /// Before it is turned.
    pub size: FrameSize,
    /// The most memory for the coded data of a tile, in bytes.
    data: u64,
}

/// What decoding may take, and what is left of it.
pub(super) struct Work {
    /// Bytes of coded data: as many as a file may have. A tile that is used twice counts twice.
    pub bytes: u64,
    /// Each slice may go over the whole picture.
    pub pixels: u64,
}

impl Picture {
    /// Reads an item, and the first of its tiles.
    ///
    /// # Errors
    /// If it is damaged, or no picture that can be decoded.
    pub fn open<'a>(context: &Context<'a>, item: u32) -> Result<(Self, ItemProps<'a>)> {
        let is_grid = context.meta.item(item).is_some_and(|item| item.is_grid());
        if is_grid && !is_in_one_part(context, item) {
            return Err(Error::Unsupported("a grid that is stored in several parts"));
        }
        let (grid, tiles) = match context.grid(item)? {
            Some((grid, tiles)) => (Some(grid), tiles),
            None => (None, vec![item]),
        };
        let first = *tiles
            .first()
            .ok_or(Error::Malformed("a grid without tiles"))?;
        let properties = properties(context, first)?;
        let sequence = coded(&properties)?.1;
        let size = match &grid {
            Some(grid) => FrameSize::new(grid.output_width, grid.output_height),
            None => sequence.kept,
        };
        let picture = Self {
            grid,
            tiles,
            sequence,
            size,
            data: 0,
        };
        if grid.is_some() {
            picture.check_grid(context, item)?;
        }
        Ok((picture, properties))
    }

    /// All tiles must be needed, and fill the picture.
    fn check_grid(&self, context: &Context<'_>, item: u32) -> Result<()> {
        let Some(grid) = &self.grid else {
            return Ok(());
        };
        let fits = |side: u32, tile: u32, count: u32| {
            let (side, tile, count) = (u64::from(side), u64::from(tile), u64::from(count));
            (tile * (count - 1) + 1..=tile * count).contains(&side)
        };
        let tile = self.sequence.kept;
        let across = fits(self.size.width, tile.width, grid.columns);
        if !across || !fits(self.size.height, tile.height, grid.rows) {
            return Err(Error::Malformed("the tiles do not fit the picture"));
        }
        let stated = properties(context, item)?.ispe;
        if stated.is_some_and(|size| FrameSize::new(size.width, size.height) != self.size) {
            return Err(Error::Malformed("the grid has two sizes"));
        }
        Ok(())
    }

    /// Size of all that is decoded, with what is cropped.
    pub fn coded_size(&self) -> FrameSize {
        let (columns, rows) = match &self.grid {
            Some(grid) => (grid.columns, grid.rows),
            None => (1, 1),
        };
        let FrameSize { width, height } = self.sequence.coded;
        FrameSize::new(width.saturating_mul(columns), height.saturating_mul(rows))
    }

    /// Reads the headers of all tiles.
    ///
    /// # Errors
    /// If one is damaged or differs from the others, or decoding would take more than is left.
    pub fn check_tiles(&mut self, context: &Context<'_>, left: &mut Work) -> Result<()> {
        let pixels = self.sequence.coded.pixels();
        let mut comparisons = 0;
        for &tile in &self.tiles {
            let properties = properties(context, tile)?;
            let (config, sequence) = coded(&properties)?;
            let colour = self.sequence.colour;
            if (Sequence { colour, ..sequence }) != self.sequence {
                return Err(Error::Malformed("the tiles differ"));
            }
            let data = context.item_data(tile)?;
            let bytes = data.len() as u64;
            left.bytes = left
                .bytes
                .checked_sub(bytes)
                .ok_or(Error::Unsupported("tiles that use the same data"))?;
            let units = Units::count(config, &data)?;
            left.pixels = left
                .pixels
                .checked_sub(units.slices.saturating_mul(pixels))
                .ok_or(Error::Unsupported("pictures of so many slices"))?;
            comparisons += units.escapes * (pixels / SMALLEST_BLOCK + 2);
            if comparisons > MAX_COMPARISONS {
                return Err(Error::Unsupported("pictures of so many escapes"));
            }
            // Data in several parts are put together, which takes room for the double length and for the
            // parts until then. The decoder copies it without its escapes, and keeps where they were.
            self.data = self.data.max(4 * bytes + 16 * units.escapes);
        }
        Ok(())
    }

    /// Bytes of the decoded samples of a pixel.
    fn samples(&self) -> u64 {
        match self.sequence.chroma {
            ChromaFormat::Monochrome => 2,
            _ => 3,
        }
    }

    /// Bytes of the decoded picture.
    pub fn decoded_bytes(&self) -> u64 {
        // Colours are rounded up to whole samples.
        self.samples() * (self.size.pixels() + u64::from(self.size.width) + 1)
            + self.samples() * u64::from(self.size.height)
    }

    /// The most memory that decoding takes, in bytes, with the decoded picture.
    pub fn decoding_bytes(&self) -> u64 {
        let tiles = self.samples() * self.coded_size().pixels();
        let block = |side: u32| side.div_ceil(LARGEST_BLOCK).saturating_mul(LARGEST_BLOCK);
        // The last tile is there twice: as decoded, and as filtered or cropped.
        let last = (self.samples() + BLOCKS) * self.sequence.coded.map(block).pixels();
        let composed = match self.grid {
            Some(_) => self.decoded_bytes(),
            None => 0,
        };
        tiles + (last + self.data).max(composed)
    }

    /// Decodes it. All tiles have been checked.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn decode(&self, context: &Context<'_>) -> Result<Frame> {
        let tiles = self.tiles.iter().map(|&tile| decode(context, tile));
        let mut tiles = tiles.collect::<Result<Vec<_>>>()?;
        let frame = match &self.grid {
            Some(grid) => grid::compose(grid, &tiles, u64::MAX)?,
            None => tiles.pop().ok_or(Error::Malformed("no coded picture"))?,
        };
        if FrameSize::new(frame.width, frame.height) != self.size {
            return Err(Error::Malformed("the picture has two sizes"));
        }
        Ok(frame)
    }
}

/// Whether the data of an item need not be put together, which takes memory for several times their length.
pub(super) fn is_in_one_part(context: &Context<'_>, item: u32) -> bool {
    let place = context.meta.location(item);
    place.is_some_and(|place| place.extents.len() == 1)
}

/// The properties of an item.
pub(super) fn properties<'a>(context: &Context<'a>, item: u32) -> Result<ItemProps<'a>> {
    let all = &context.meta.props;
    if all.find_all(item, b"hvcC").count() > 1 || all.associations(item).len() > MAX_PROPERTIES {
        return Err(Error::Malformed("an item has too many properties"));
    }
    if all.unknown_essential(item).is_some() {
        return Err(Error::Unsupported("an unknown property of a picture"));
    }
    context.props(item)
}

/// How a coded picture is decoded, and what its sequence parameter set says.
///
/// The decoder takes another set if there are several, and compares nothing with the size of the item.
fn coded<'p, 'a>(properties: &'p ItemProps<'a>) -> Result<(&'p HevcConfig<'a>, Sequence)> {
    let config = properties.hvcc.as_ref();
    let config = config.ok_or(Error::Unsupported("pictures that are not coded with HEVC"))?;
    let sets = config.parameter_sets();
    if sets.len() > MAX_SETS {
        return Err(Error::Unsupported("pictures of so many parameter sets"));
    }
    let sequences = sets.iter().filter(|set| unit_type(set) == Some(NAL_SPS));
    let sequences: Vec<_> = sequences.collect();
    let [sequence] = sequences[..] else {
        return Err(Error::Malformed("not one sequence parameter set"));
    };
    let sequence = Sequence::read(sequence)?;
    // The decoder loses its place in such pictures, often without noticing it.
    if matches!(sequence.chroma, ChromaFormat::Yuv422 | ChromaFormat::Yuv444) {
        return Err(Error::Unsupported("colours that are not 4:2:0"));
    }
    let FrameSize { width, height } = sequence.kept;
    let found = hevc::probe(&sets)?;
    let found = (found.width, found.height, found.chroma, found.bit_depth);
    if found != (width, height, sequence.chroma, sequence.depth) {
        return Err(Error::Malformed(
            "the sequence parameter set cannot be read",
        ));
    }
    let stated = properties.ispe.ok_or(Error::MissingBox("ispe"))?;
    if (stated.width, stated.height) != (width, height) {
        return Err(Error::Malformed("the picture has two sizes"));
    }
    Ok((config, sequence))
}

fn decode(context: &Context<'_>, tile: u32) -> Result<Frame> {
    let properties = properties(context, tile)?;
    let config = properties.hvcc.as_ref().ok_or(Error::MissingBox("hvcC"))?;
    let data = context.item_data(tile)?;
    let frame = hevc::decode_still(&config.parameter_sets(), &config.split_nals(&data)?)?;
    frame.validate()?;
    Ok(frame)
}

/// The units of a coded picture.
#[derive(Default)]
struct Units {
    /// Those with pixels.
    slices: u64,
    /// Bytes that only keep others from looking like the start of a unit.
    escapes: u64,
}

impl Units {
    fn count(config: &HevcConfig<'_>, data: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(data);
        let mut units = Self::default();
        let mut count = 0;
        while !reader.is_empty() {
            let length = reader.uint(config.length_size, "a unit")?;
            let length = usize::try_from(length).map_err(|_| Error::Truncated("a unit"))?;
            let unit = reader.take(length, "a unit")?;
            count += 1;
            if count > MAX_UNITS {
                return Err(Error::Unsupported("pictures of so many units"));
            }
            if unit_type(unit).is_some_and(|kind| kind < 32) {
                units.slices += 1;
            }
            let escapes = unit.windows(3).filter(|bytes| matches!(bytes, [0, 0, 3]));
            units.escapes += escapes.count() as u64;
        }
        Ok(units)
    }
}
