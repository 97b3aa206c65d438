//! Removes small pieces that float beside the surface.

use super::Mesh;

/// The part of all triangles that a piece has at least.
const SMALLEST_PART: f64 = 5e-4;
/// Triangles that a piece has at least, but no more than half of the largest piece.
const FEWEST: usize = 100;

/// Without pieces of few triangles, and without vertices of no triangle.
pub fn without_small(mut mesh: Mesh) -> Mesh {
    let mut pieces = Pieces::new(mesh.positions.len());
    for &[a, b, c] in &mesh.triangles {
        pieces.join(a, b);
        pieces.join(b, c);
    }
    let mut counts = vec![0_u32; mesh.positions.len()];
    for &[a, ..] in &mesh.triangles {
        counts[pieces.root(a) as usize] += 1;
    }
    let largest = counts.iter().copied().max().unwrap_or(0) as usize;
    let part = (mesh.triangles.len() as f64 * SMALLEST_PART) as usize;
    let fewest = part.max(FEWEST).min(largest / 2);
    mesh.triangles
        .retain(|&[a, ..]| counts[pieces.root(a) as usize] as usize > fewest);
    without_unused_vertices(mesh, counts)
}

/// `numbers` has an entry for each vertex, whatever it is.
fn without_unused_vertices(mut mesh: Mesh, mut numbers: Vec<u32>) -> Mesh {
    const UNUSED: u32 = u32::MAX;
    numbers.fill(UNUSED);
    for vertex in mesh.triangles.as_flattened() {
        numbers[*vertex as usize] = 0;
    }
    let mut next = 0;
    for (old, number) in numbers.iter_mut().enumerate() {
        if *number != UNUSED {
            mesh.positions[next] = mesh.positions[old];
            mesh.colors[next] = mesh.colors[old];
            *number = next as u32;
            next += 1;
        }
    }
    mesh.positions.truncate(next);
    mesh.colors.truncate(next);
    for vertex in mesh.triangles.as_flattened_mut() {
        *vertex = numbers[*vertex as usize];
    }
    mesh
}

/// Vertices that are connected (union and find with path halving; Tarjan and van Leeuwen, "Worst-case analysis of set
/// union algorithms", JACM 1984).
struct Pieces(Vec<u32>);

impl Pieces {
    fn new(count: usize) -> Self {
        Self((0..count as u32).collect())
    }

    fn root(&mut self, mut vertex: u32) -> u32 {
        loop {
            let above = self.0[vertex as usize];
            if above == vertex {
                return vertex;
            }
            let further = self.0[above as usize];
            self.0[vertex as usize] = further;
            vertex = further;
        }
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        // The smaller number is the root, so that the order of joining does not matter.
        let (low, high) = (a.min(b), a.max(b));
        self.0[high as usize] = low;
    }
}
