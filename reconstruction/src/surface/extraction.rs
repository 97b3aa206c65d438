//! Triangles where the distances of voxels change their sign.
//!
//! A cell lies between eight voxels. It has a vertex, the mean of the places on its edges where the distance is 0, if
//! all its voxels are known. Each such edge joins the vertices of the four cells around it with two triangles.

use rayon::prelude::*;

use super::Mesh;
use super::grid::{BLOCK_VOXELS, BlockKey, Grid, SIDE, Voxel, index};
use super::need::Limits;

/// Voxels along the side of a block with those that follow it.
const SIDE_WITH_NEXT: usize = SIDE + 1;
const WITH_NEXT: usize = SIDE_WITH_NEXT * SIDE_WITH_NEXT * SIDE_WITH_NEXT;
/// How much the distances of neighbours may differ at a surface, in the size of a voxel. It is 1 where frames agree;
/// more than this is a step from one surface to another.
const STEEPEST: f32 = 2.0;
/// A cell without a vertex.
const NO_VERTEX: u16 = u16::MAX;

/// Corners of a cell: each bit of the number is a step along an axis, x is the first bit.
const CORNERS: [[usize; 3]; 8] = [
    [0, 0, 0],
    [1, 0, 0],
    [0, 1, 0],
    [1, 1, 0],
    [0, 0, 1],
    [1, 0, 1],
    [0, 1, 1],
    [1, 1, 1],
];
/// Edges of a cell, by the corners at their ends.
const EDGES: [[usize; 2]; 12] = [
    [0, 1],
    [2, 3],
    [4, 5],
    [6, 7],
    [0, 2],
    [1, 3],
    [4, 6],
    [5, 7],
    [0, 4],
    [1, 5],
    [2, 6],
    [3, 7],
];

/// The mesh of a grid; `None` if it would have too many vertices.
pub fn extract(grid: Grid, limits: Limits) -> Option<Mesh> {
    let counts: Vec<usize> = (0..grid.blocks.len())
        .into_par_iter()
        .map(|block| Cells::of(&grid, block).crossed().count())
        .collect();
    let mut firsts = Vec::with_capacity(counts.len());
    let mut total = 0;
    for count in counts {
        firsts.push(total as u32);
        total += count;
    }
    if total > limits.vertices() {
        return None;
    }
    let mut mesh = Mesh {
        voxel_size: grid.size.get(),
        ..Mesh::default()
    };
    let mut vertices = Vertices {
        firsts,
        of_cells: Vec::with_capacity(grid.blocks.len()),
    };
    mesh.positions.reserve_exact(total);
    mesh.colors.reserve_exact(total);
    // Blocks are many: a few at a time are in memory twice.
    for first in (0..grid.blocks.len()).step_by(AT_A_TIME) {
        let last = (first + AT_A_TIME).min(grid.blocks.len());
        let made: Vec<_> = (first..last)
            .into_par_iter()
            .map(|block| Cells::of(&grid, block).vertices())
            .collect();
        for part in made {
            mesh.positions.extend(part.positions);
            mesh.colors.extend(part.colors);
            vertices.of_cells.push(part.of_cells);
        }
    }
    for first in (0..grid.blocks.len()).step_by(AT_A_TIME) {
        let last = (first + AT_A_TIME).min(grid.blocks.len());
        let made: Vec<_> = (first..last)
            .into_par_iter()
            .map(|block| Cells::of(&grid, block).triangles(&vertices))
            .collect();
        mesh.triangles.extend(made.into_iter().flatten());
    }
    Some(mesh)
}

/// Blocks that are worked on together.
const AT_A_TIME: usize = 1024;

/// Where the vertices of cells are.
struct Vertices {
    /// Number of the first vertex of each block.
    firsts: Vec<u32>,
    /// For each block with vertices, the number within it of the vertex of each cell.
    of_cells: Vec<Option<Box<[u16; BLOCK_VOXELS]>>>,
}

impl Vertices {
    fn number(&self, block: usize, cell: usize) -> Option<u32> {
        let within = self.of_cells[block].as_ref()?[cell];
        (within != NO_VERTEX).then(|| self.firsts[block] + u32::from(within))
    }
}

/// The vertices of a block.
#[derive(Default)]
struct BlockVertices {
    positions: Vec<[f32; 3]>,
    colors: Vec<[u8; 3]>,
    of_cells: Option<Box<[u16; BLOCK_VOXELS]>>,
}

/// The cells of a block: each begins at one of its voxels.
struct Cells<'a> {
    grid: &'a Grid,
    block: usize,
    /// Numbers of the block and of those that follow it, by [`CORNERS`].
    next: [Option<usize>; 8],
    /// Distances of the voxels of the block and of those that follow it; NaN where nothing is known.
    distances: [f32; WITH_NEXT],
}

/// A cell that the surface crosses.
struct Crossed {
    cell: [usize; 3],
    /// Mean of the places where it does so, from 0 to 1 along each axis.
    mean: [f32; 3],
}

impl<'a> Cells<'a> {
    fn of(grid: &'a Grid, block: usize) -> Self {
        let key = grid.blocks[block].key;
        let next = CORNERS.map(|step| grid.number(moved(key, step, 1)));
        let mut cells = Self {
            grid,
            block,
            next,
            distances: [f32::NAN; WITH_NEXT],
        };
        for x in 0..=SIDE {
            for y in 0..=SIDE {
                for z in 0..=SIDE {
                    let place = [x, y, z];
                    let voxel = cells.voxel(place).filter(|voxel| voxel.is_known());
                    if let Some(voxel) = voxel {
                        cells.distances[with_next(place)] = voxel.distance;
                    }
                }
            }
        }
        cells
    }

    /// A voxel of the block, or of those that follow it.
    fn voxel(&self, place: [usize; 3]) -> Option<&'a Voxel> {
        let [x, y, z] = place.map(|value| value / SIDE);
        let block = self.next[x + 2 * y + 4 * z]?;
        let within = index(place.map(|value| value % SIDE));
        Some(&self.grid.blocks[block].voxels[within])
    }

    fn distance(&self, place: [usize; 3]) -> f32 {
        self.distances[with_next(place)]
    }

    /// Where the distance is 0 between neighbours, from 0 to 1; `None` if there is no surface.
    fn crossing(&self, from: f32, to: f32) -> Option<f32> {
        let step = (to - from).abs();
        let changes = (from < 0.0) != (to < 0.0);
        (changes && step <= STEEPEST * self.grid.size.single()).then(|| from / (from - to))
    }

    /// The cells with a vertex, in their order.
    fn crossed(&self) -> impl Iterator<Item = Crossed> + '_ {
        (0..BLOCK_VOXELS).filter_map(|cell| {
            let cell = [cell / (SIDE * SIDE), cell / SIDE % SIDE, cell % SIDE];
            let distances = CORNERS.map(|corner| self.distance(sum(cell, corner)));
            if distances.iter().any(|distance| distance.is_nan()) {
                return None;
            }
            let (mut total, mut count) = ([0.0; 3], 0.0);
            for [from, to] in EDGES {
                if let Some(part) = self.crossing(distances[from], distances[to]) {
                    let (from, to) = (CORNERS[from], CORNERS[to]);
                    for axis in 0..3 {
                        let (from, to) = (from[axis] as f32, to[axis] as f32);
                        total[axis] += from + (to - from) * part;
                    }
                    count += 1.0;
                }
            }
            (count > 0.0).then(|| Crossed {
                cell,
                mean: total.map(|value| value / count),
            })
        })
    }

    fn vertices(&self) -> BlockVertices {
        let mut made = BlockVertices::default();
        let key = self.grid.blocks[self.block].key;
        let mut of_cells = None;
        for (number, Crossed { cell, mean }) in self.crossed().enumerate() {
            let numbers = of_cells.get_or_insert_with(|| Box::new([NO_VERTEX; BLOCK_VOXELS]));
            numbers[index(cell)] = number as u16;
            let position = [0, 1, 2].map(|axis| {
                let first = f64::from(key[axis]) * SIDE as f64 + cell[axis] as f64;
                ((first + f64::from(mean[axis])) * self.grid.size.get()) as f32
            });
            made.positions.push(position);
            made.colors.push(self.color(cell, mean));
        }
        made.of_cells = of_cells;
        made
    }

    /// The colour in a cell, between those of its voxels.
    fn color(&self, cell: [usize; 3], mean: [f32; 3]) -> [u8; 3] {
        let mut total = [0.0; 3];
        for corner in CORNERS {
            let weights = [0, 1, 2].map(|axis| match corner[axis] {
                0 => 1.0 - mean[axis],
                _ => mean[axis],
            });
            let weight: f32 = weights.iter().product();
            let voxel = self.voxel(sum(cell, corner)).copied().unwrap_or_default();
            for (total, value) in total.iter_mut().zip(voxel.color) {
                *total += weight * f32::from(value);
            }
        }
        total.map(|value| (value / 256.0).round() as u8)
    }

    fn triangles(&self, vertices: &Vertices) -> Vec<[u32; 3]> {
        let key = self.grid.blocks[self.block].key;
        // Cells around an edge begin in this block or before it.
        let before = CORNERS.map(|step| self.grid.number(moved(key, step, -1)));
        let vertex = |[x, y, z]: [usize; 3], back: [usize; 3]| {
            let [x, y, z] = [x + SIDE - back[0], y + SIDE - back[1], z + SIDE - back[2]];
            let blocks = [x, y, z].map(|value| usize::from(value < SIDE));
            let block = before[blocks[0] + 2 * blocks[1] + 4 * blocks[2]]?;
            vertices.number(block, index([x % SIDE, y % SIDE, z % SIDE]))
        };
        let mut triangles = Vec::new();
        for first in 0..BLOCK_VOXELS {
            let first = [first / (SIDE * SIDE), first / SIDE % SIDE, first % SIDE];
            let from = self.distance(first);
            for axis in 0..3 {
                let mut step = [0; 3];
                step[axis] = 1;
                if self
                    .crossing(from, self.distance(sum(first, step)))
                    .is_none()
                {
                    continue;
                }
                // Counterclockwise, seen from the end of the edge.
                let (second, third) = ((axis + 1) % 3, (axis + 2) % 3);
                let around = [(1, 1), (0, 1), (0, 0), (1, 0)].map(|(one, other)| {
                    let mut back = [0; 3];
                    (back[second], back[third]) = (one, other);
                    vertex(first, back)
                });
                let [Some(a), Some(b), Some(c), Some(d)] = around else {
                    continue;
                };
                // The surface faces the side with positive distances.
                match from < 0.0 {
                    true => triangles.extend([[a, b, c], [a, c, d]]),
                    false => triangles.extend([[a, c, b], [a, d, c]]),
                }
            }
        }
        triangles
    }
}

fn sum(a: [usize; 3], b: [usize; 3]) -> [usize; 3] {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

/// The key of a block so many steps away, in a direction.
fn moved(key: BlockKey, step: [usize; 3], direction: i32) -> BlockKey {
    [0, 1, 2].map(|axis| key[axis] + direction * step[axis] as i32)
}

const fn with_next([x, y, z]: [usize; 3]) -> usize {
    (x * SIDE_WITH_NEXT + y) * SIDE_WITH_NEXT + z
}
