//! The voxels near the surface, in blocks.

use std::collections::HashMap;

use nalgebra::Vector3;

use super::need::Limits;
use super::seen::Seen;

/// Voxels along each side of a block.
pub const SIDE: usize = 8;
/// Voxels of a block.
pub const BLOCK_VOXELS: usize = SIDE * SIDE * SIDE;
/// Distance from the surface up to which voxels are stored, in their size.
pub const BAND: f32 = 4.0;
/// Pixels that show squares of more voxels are left out: they are far behind the others.
const COARSEST_PIXEL: f32 = 4.0;
/// Blocks are numbered with 32 bits along each axis.
const FARTHEST_BLOCK: f64 = 1e9;

/// The position of a block in the grid.
pub type BlockKey = [i32; 3];

/// The side of a voxel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoxelSize(f64);

impl VoxelSize {
    pub fn new(size: f64) -> Self {
        Self(size)
    }

    pub fn get(self) -> f64 {
        self.0
    }

    pub fn single(self) -> f32 {
        self.0 as f32
    }

    /// The blocks near a point that a pixel sees; none if it is too far away for the size of the voxels.
    pub fn blocks_at(self, seen: &Seen, depth: f32, point: Vector3<f64>) -> BlockRange {
        let footprint = seen.footprint(depth);
        if footprint > COARSEST_PIXEL * self.single() {
            return BlockRange::NONE;
        }
        let reach = f64::from(BAND) * self.0 + f64::from(footprint);
        let side = self.0 * SIDE as f64;
        let low = point.map(|value| ((value - reach) / side).floor());
        let high = point.map(|value| ((value + reach) / side).floor());
        let fits = |value: &f64| value.abs() < FARTHEST_BLOCK;
        if low.iter().chain(high.iter()).all(fits) {
            BlockRange {
                low: low.map(|value| value as i32).into(),
                high: high.map(|value| value as i32).into(),
            }
        } else {
            BlockRange::NONE
        }
    }
}

/// The blocks of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRange {
    low: BlockKey,
    high: BlockKey,
}

impl BlockRange {
    const NONE: Self = Self {
        low: [1; 3],
        high: [0; 3],
    };
}

/// Visits the blocks of one box after another, but those of the previous one not again.
#[derive(Debug, Default)]
pub struct Blocks {
    previous: Option<BlockRange>,
}

impl Blocks {
    pub fn visit(&mut self, range: &BlockRange, mut visit: impl FnMut(BlockKey)) {
        if self.previous == Some(*range) {
            return;
        }
        self.previous = Some(*range);
        let BlockRange { low, high } = *range;
        for x in low[0]..=high[0] {
            for y in low[1]..=high[1] {
                for z in low[2]..=high[2] {
                    visit([x, y, z]);
                }
            }
        }
    }
}

/// What is known of the surface near a place.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Voxel {
    /// Mean distance to the surface, negative behind it.
    pub distance: f32,
    /// Sum of the weights of what was seen near the place.
    pub weight: f32,
    /// Sum of the weights of rays that went through the place to something far behind it.
    pub free: f32,
    /// Mean colour, in steps of 1/256.
    pub color: [u16; 3],
}

impl Voxel {
    /// Whether the distance can be relied on: more is seen there than through it.
    pub fn is_known(&self) -> bool {
        self.weight > 0.0 && self.free <= self.weight
    }
}

/// Voxels in the order x, y, z; z changes fastest.
pub struct Block {
    pub key: BlockKey,
    pub voxels: Box<[Voxel; BLOCK_VOXELS]>,
}

/// The stored blocks.
pub struct Grid {
    pub size: VoxelSize,
    pub blocks: Vec<Block>,
    numbers: HashMap<BlockKey, u32>,
    most: usize,
}

impl Grid {
    pub fn new(size: VoxelSize, limits: Limits) -> Self {
        Self {
            size,
            blocks: Vec::new(),
            numbers: HashMap::new(),
            most: limits.blocks(),
        }
    }

    /// Stores the blocks near what a frame sees; false if they would be too many.
    pub fn allocate(&mut self, seen: &Seen) -> bool {
        let mut visited = Blocks::default();
        for (depth, point) in seen.points(1) {
            let range = self.size.blocks_at(seen, depth, point);
            visited.visit(&range, |key| self.add(key));
            if self.blocks.len() > self.most {
                return false;
            }
        }
        true
    }

    fn add(&mut self, key: BlockKey) {
        let number = self.blocks.len() as u32;
        self.numbers.entry(key).or_insert_with(|| {
            self.blocks.push(Block {
                key,
                voxels: Box::new([Voxel::default(); BLOCK_VOXELS]),
            });
            number
        });
    }

    /// The number of the block at a place.
    pub fn number(&self, key: BlockKey) -> Option<usize> {
        self.numbers.get(&key).map(|&number| number as usize)
    }
}

/// The index of a voxel in its block.
pub const fn index([x, y, z]: [usize; 3]) -> usize {
    (x * SIDE + y) * SIDE + z
}
