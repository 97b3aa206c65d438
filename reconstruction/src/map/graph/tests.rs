use std::f64::consts::TAU;

use nalgebra::Vector3;

use super::*;

const SPREAD: JoinSpread = JoinSpread {
    rotation: 0.01,
    scale: 0.02,
    centre: 0.02,
};

/// Where chunk `index` of a walk around a circle of this many chunks is.
fn truth(index: usize, count: usize) -> Similarity3<f64> {
    let angle = TAU * index as f64 / count as f64;
    let place = Vector3::new(8.0 * angle.sin(), 0.2 * angle, 8.0 - 8.0 * angle.cos());
    Similarity3::new(place, Vector3::y() * angle, 1.0)
}

fn edge(from: usize, to: usize, similarity: Similarity3<f64>) -> ChunkEdge {
    ChunkEdge {
        from,
        to,
        similarity,
        spread: SPREAD,
        depth: 3.0,
        frames: 4,
    }
}

/// A walk whose joins are all off by the same drift, and which ends where it began.
fn walk(count: usize, drift: &Similarity3<f64>) -> ChunkGraph {
    let mut graph = ChunkGraph::default();
    let mut here = truth(0, count);
    for chunk in 0..count {
        let mut edges = Vec::new();
        if chunk > 0 {
            let step = truth(chunk - 1, count).inverse() * truth(chunk, count) * drift;
            here *= step;
            edges.push(edge(chunk, chunk - 1, step));
        }
        let node = ChunkNode {
            similarity: here,
            edges,
        };
        graph.add(chunk, node);
    }
    graph
}

fn drift() -> Similarity3<f64> {
    Similarity3::new(
        Vector3::new(0.02, -0.01, 0.0),
        Vector3::new(0.002, 0.006, 0.0),
        1.012,
    )
}

/// Largest distance of a chunk from where it belongs.
fn error(graph: &ChunkGraph, count: usize) -> f64 {
    let chunks = (0..count).map(|chunk| {
        let (found, truth) = (graph.nodes[&chunk], truth(chunk, count));
        let shift = found.isometry.translation.vector - truth.isometry.translation.vector;
        shift.norm()
    });
    chunks.fold(0.0, f64::max)
}

fn relax(graph: &mut ChunkGraph) {
    for (chunk, by) in graph.relax(&[]) {
        graph.shift(chunk, &by);
    }
}

#[test]
fn a_loop_spreads_the_error_over_all_chunks() {
    let count = 40;
    let mut graph = walk(count, &drift());
    let before = error(&graph, count);
    assert!(before > 3.0, "{before}");
    let home = truth(0, count).inverse() * truth(count - 1, count);
    let closing = edge(count - 1, 0, home);
    let placed = graph.edges.last().expect("a walk").clone();
    assert_eq!(graph.closes_loop(&closing, &placed), Some(true));
    graph.add_edge(closing);
    relax(&mut graph);
    let after = error(&graph, count);
    assert!(after < 0.15 * before, "{before} {after}");
    let scale = graph.nodes[&(count - 1)].scaling();
    assert!((scale - 1.0).abs() < 0.05, "{scale}");
    assert_eq!(graph.nodes[&0], truth(0, count), "the first one stays");
}

#[test]
fn the_first_chunk_of_each_piece_stays() {
    let count = 20;
    let mut graph = walk(count, &drift());
    // The same again, joined to nothing.
    let other = walk(count, &drift());
    for (chunk, similarity) in &other.nodes {
        let of_chunk = other.edges.iter().filter(|edge| edge.from == *chunk);
        let edges = of_chunk.map(|edge| ChunkEdge {
            from: edge.from + count,
            to: edge.to + count,
            ..edge.clone()
        });
        let node = ChunkNode {
            similarity: *similarity,
            edges: edges.collect(),
        };
        graph.add(chunk + count, node);
    }
    let home = truth(0, count).inverse() * truth(count - 1, count);
    graph.add_edge(edge(2 * count - 1, count, home));
    relax(&mut graph);
    assert_eq!(graph.nodes[&count], other.nodes[&0]);
    assert_ne!(graph.nodes[&(2 * count - 1)], other.nodes[&(count - 1)]);
    let off = graph.nodes[&(count - 1)] * other.nodes[&(count - 1)].inverse();
    assert!(
        off.isometry.translation.vector.norm() < 1e-4,
        "the other piece stays"
    );
}

#[test]
fn without_a_loop_nothing_moves() {
    let graph = walk(12, &drift());
    for (chunk, by) in graph.relax(&[]) {
        let off = (by.to_homogeneous() - nalgebra::Matrix4::identity()).amax();
        assert!(off < 1e-6, "{chunk} {off}");
    }
}

#[test]
fn places_that_look_alike_close_no_loop() {
    let count = 30;
    let graph = walk(count, &drift());
    let placed = graph.edges.last().expect("a walk").clone();
    // The far side of the circle is taken for the beginning.
    let false_one = edge(count - 1, count / 2, Similarity3::identity());
    assert_eq!(graph.closes_loop(&false_one, &placed), None);
    // Neighbours close none.
    let near = edge(
        count - 1,
        count - 3,
        truth(count - 3, count).inverse() * truth(count - 1, count),
    );
    assert_eq!(graph.closes_loop(&near, &placed), Some(false));
}

#[test]
fn a_wrong_join_among_right_ones_loses_its_weight() {
    let count = 30;
    let mut graph = walk(count, &Similarity3::identity());
    for chunk in 2..count {
        let step = truth(chunk - 2, count).inverse() * truth(chunk, count);
        graph.add_edge(edge(chunk, chunk - 2, step));
    }
    graph.add_edge(edge(
        20,
        5,
        Similarity3::new(Vector3::x(), Vector3::y() * 0.5, 1.4),
    ));
    relax(&mut graph);
    let off = error(&graph, count);
    assert!(off < 0.1, "{off}");
}
