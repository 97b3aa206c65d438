//! The solution of a graph of chunks.
//!
//! The chunks are solved in parts, as a [join](super::join) is: rotations, then scales, then
//! translations. Each part is a sum of weighted squares of differences between chunks, and so a linear
//! system with the Laplacian of the graph (for rotations, of small changes, repeated: Govindu, "Lie-
//! algebraic averaging for globally consistent motion estimation", CVPR 2004). Joins that contradict the
//! others lose their weight step by step (iteratively reweighted least squares with the weights of
//! Geman and McClure).

use std::collections::BTreeMap;

use nalgebra::{DMatrix, Similarity3, UnitQuaternion, Vector3};

use super::chunk_anchors::ChunkAnchor;
use super::graph::{ChunkEdge, ChunkGraph};
use super::join::JoinSpread;

/// Smallest standard deviations of a join: models are not more exact, whatever their frames say.
const LEAST_SPREAD: JoinSpread = JoinSpread {
    rotation: 0.005,
    scale: 0.01,
    centre: 0.01,
};
/// Steps of a solution; weights follow the residuals from the second on.
const STEPS: usize = 12;
/// Standard deviations from which on a join loses weight.
const DOUBTFUL: f64 = 3.0;
/// Weight of where a chunk is already, relative to that of a join: makes each system regular.
const INERTIA: f64 = 1e-9;

impl ChunkGraph {
    /// Where the chunks belong by all joins and known cameras: how each of them moves. The world of the
    /// known cameras stays; of other chunks that are joined to each other the first one.
    pub fn relax(&self, anchors: &[ChunkAnchor]) -> BTreeMap<usize, Similarity3<f64>> {
        let first = usize::from(!anchors.is_empty());
        let indices: BTreeMap<usize, usize> = self.nodes.keys().copied().zip(first..).collect();
        let joins = self.edges.iter();
        let joins = joins.filter_map(|edge| Joint::of(edge, &indices));
        let anchors = anchors.iter();
        let anchors = anchors.filter_map(|anchor| Joint::of_anchor(anchor, &indices));
        let joins: Vec<Joint> = joins.chain(anchors).collect();
        // The known world is a node like others, before all of them, so that it is held.
        let world = std::iter::repeat_n(Similarity3::identity(), first);
        let mut nodes: Vec<_> = world.chain(self.nodes.values().copied()).collect();
        if self.nodes.is_empty() || joins.is_empty() {
            return BTreeMap::new();
        }
        let held = first_of_each_component(nodes.len(), &joins);
        solve_rotations(&mut nodes, &joins, &held);
        solve_scales(&mut nodes, &joins, &held);
        solve_translations(&mut nodes, &joins, &held);
        let moved = self.nodes.iter().zip(nodes.drain(first..));
        let moved = moved.map(|((chunk, before), after)| (*chunk, after * before.inverse()));
        moved.collect()
    }
}

/// An edge between two nodes, by their indices.
struct Joint<'a> {
    from: usize,
    to: usize,
    similarity: &'a Similarity3<f64>,
    /// Typical depth of the frames, in the unit of the node `to`.
    depth: f64,
    /// Standard deviations.
    spread: JoinSpread,
}

impl<'a> Joint<'a> {
    fn of(edge: &'a ChunkEdge, indices: &BTreeMap<usize, usize>) -> Option<Self> {
        let frames = (edge.frames.max(1) as f64).sqrt();
        let spread = |found: f64, least: f64| (found / frames).max(least);
        Some(Self {
            from: *indices.get(&edge.from)?,
            to: *indices.get(&edge.to)?,
            similarity: &edge.similarity,
            depth: edge.depth,
            spread: JoinSpread {
                rotation: spread(edge.spread.rotation, LEAST_SPREAD.rotation),
                scale: spread(edge.spread.scale, LEAST_SPREAD.scale),
                centre: spread(edge.spread.centre, LEAST_SPREAD.centre),
            },
        })
    }

    fn of_anchor(anchor: &'a ChunkAnchor, indices: &BTreeMap<usize, usize>) -> Option<Self> {
        Some(Self {
            from: *indices.get(&anchor.chunk)?,
            to: 0,
            similarity: &anchor.similarity,
            depth: 1.0,
            spread: anchor.spread,
        })
    }
}

/// For each node, whether it is the first of those that are joined to it, directly or by way of others.
fn first_of_each_component(nodes: usize, joins: &[Joint]) -> Vec<bool> {
    let mut first: Vec<usize> = (0..nodes).collect();
    for join in joins {
        let (one, other) = (first[join.from], first[join.to]);
        for node in &mut first {
            if *node == one || *node == other {
                *node = one.min(other);
            }
        }
    }
    first
        .iter()
        .enumerate()
        .map(|(node, first)| node == *first)
        .collect()
}

/// A wanted difference between two nodes, `from` minus `to`, with its standard deviation.
struct Difference<const N: usize> {
    from: usize,
    to: usize,
    wanted: [f64; N],
    deviation: f64,
}

/// The values of nodes whose differences are nearest to the wanted ones, each with its weight; those of
/// the nodes that are held are 0. `None` if the numbers are not finite.
fn solve<const N: usize>(
    held: &[bool],
    differences: &[Difference<N>],
    weights: &[f64],
) -> Option<Vec<[f64; N]>> {
    let nodes = held.len();
    let mut laplacian = DMatrix::<f64>::zeros(nodes, nodes);
    let mut right = DMatrix::<f64>::zeros(nodes, N);
    let most = weights.iter().copied().fold(0.0, f64::max);
    for (difference, &weight) in differences.iter().zip(weights) {
        let (from, to) = (difference.from, difference.to);
        laplacian[(from, from)] += weight;
        laplacian[(to, to)] += weight;
        laplacian[(from, to)] -= weight;
        laplacian[(to, from)] -= weight;
        for (axis, wanted) in difference.wanted.iter().enumerate() {
            right[(from, axis)] += weight * wanted;
            right[(to, axis)] -= weight * wanted;
        }
    }
    for (node, held) in held.iter().enumerate() {
        laplacian[(node, node)] += match held {
            // Far heavier than all joins together.
            true => most * nodes as f64 / INERTIA,
            false => most * INERTIA,
        };
    }
    let solved = laplacian.cholesky()?.solve(&right);
    let is_finite = solved.iter().all(|number| number.is_finite());
    is_finite.then(|| {
        let rows = solved.row_iter();
        rows.map(|row| std::array::from_fn(|axis| row[axis]))
            .collect()
    })
}

/// Repeats a solution: `residuals` gives what is still to change, `apply` changes the nodes. Residuals
/// that stay large lose their weight.
fn reweighted<const N: usize>(
    nodes: &mut [Similarity3<f64>],
    held: &[bool],
    residuals: impl Fn(&[Similarity3<f64>]) -> Vec<Difference<N>>,
    apply: impl Fn(&mut Similarity3<f64>, &[f64; N]),
) {
    for step in 0..STEPS {
        let differences = residuals(nodes);
        let weight = |difference: &Difference<N>| {
            let squares: f64 = difference.wanted.iter().map(|number| number * number).sum();
            let off = match step {
                // Errors that have added up all show in the join that closes a loop.
                0 => 0.0,
                _ => squares.sqrt() / (DOUBTFUL * difference.deviation),
            };
            1.0 / (difference.deviation * (1.0 + off * off)).powi(2)
        };
        let weights: Vec<f64> = differences.iter().map(weight).collect();
        let Some(changes) = solve(held, &differences, &weights) else {
            return;
        };
        for ((node, change), held) in nodes.iter_mut().zip(&changes).zip(held) {
            // What is held stays to the bit.
            if !held {
                apply(node, change);
            }
        }
    }
}

fn solve_rotations(nodes: &mut [Similarity3<f64>], joins: &[Joint], held: &[bool]) {
    let residuals = |nodes: &[Similarity3<f64>]| {
        let joins = joins.iter();
        joins
            .map(|join| {
                let [from, to] = [join.from, join.to].map(|node| nodes[node].isometry.rotation);
                let said = to * join.similarity.isometry.rotation;
                Difference {
                    from: join.from,
                    to: join.to,
                    wanted: (said * from.inverse()).scaled_axis().into(),
                    deviation: join.spread.rotation,
                }
            })
            .collect()
    };
    reweighted(nodes, held, residuals, |node, change: &[f64; 3]| {
        let turn = UnitQuaternion::from_scaled_axis(Vector3::from(*change));
        node.isometry.rotation = turn * node.isometry.rotation;
    });
}

fn solve_scales(nodes: &mut [Similarity3<f64>], joins: &[Joint], held: &[bool]) {
    let residuals = |nodes: &[Similarity3<f64>]| {
        let joins = joins.iter();
        joins
            .map(|join| {
                let said = nodes[join.to].scaling() * join.similarity.scaling();
                Difference {
                    from: join.from,
                    to: join.to,
                    wanted: [(said / nodes[join.from].scaling()).ln()],
                    deviation: join.spread.scale,
                }
            })
            .collect()
    };
    reweighted(nodes, held, residuals, |node, [change]: &[f64; 1]| {
        node.set_scaling(node.scaling() * change.exp());
    });
}

fn solve_translations(nodes: &mut [Similarity3<f64>], joins: &[Joint], held: &[bool]) {
    let residuals = |nodes: &[Similarity3<f64>]| {
        let joins = joins.iter();
        joins
            .map(|join| {
                let to = &nodes[join.to];
                let said = (to * join.similarity).isometry.translation.vector;
                let found = nodes[join.from].isometry.translation.vector;
                Difference {
                    from: join.from,
                    to: join.to,
                    wanted: (said - found).into(),
                    deviation: join.spread.centre * join.depth * to.scaling(),
                }
            })
            .collect()
    };
    reweighted(nodes, held, residuals, |node, change: &[f64; 3]| {
        node.isometry.translation.vector += Vector3::from(*change);
    });
}
