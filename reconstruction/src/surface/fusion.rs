//! Fuses what a frame sees with the voxels.
//!
//! The distance of a voxel is that along its ray, times the cosine of the angle between ray and normal: the distance
//! from the plane that the pixel sees. Weights are the cosine, less for pixels that are coarser than the voxels, and
//! falling to 0 behind the surface, so that the two sides of a thin wall hardly disturb each other.
//!
//! A voxel in front of what its pixel sees by more than the band gets no distance. So nothing is known between a near
//! surface and the far one that is seen past it, and no triangles join them.

use nalgebra::Vector3;
use rayon::prelude::*;

use super::grid::{BAND, Block, Grid, SIDE, Voxel, VoxelSize};
use super::seen::{Sample, Seen};

/// How far along its ray a voxel may be from what the pixel sees, as a multiple of the band. At a small angle the
/// plane that a pixel sees goes on for long, but the surface may not.
const ALONG: f32 = 2.5;
/// A ray goes through a place if what it meets is farther away by this part of its depth at least: depth is not exact.
const CLEARLY_BEHIND: f32 = 0.03;
/// The weight of a pixel that is much coarser than a voxel, as a part of that of a fine one.
const COARSE_WEIGHT: f32 = 0.05;
/// Steps of a channel of colour.
const COLOR_STEPS: f32 = 256.0;

/// Fuses a frame with all blocks that it sees.
pub fn fuse(grid: &mut Grid, seen: &Seen) {
    let view = View::new(seen, grid.size);
    let blocks = grid.blocks.par_iter_mut().with_min_len(64);
    blocks.for_each(|block| view.fuse(block));
}

struct View<'a> {
    seen: &'a Seen,
    size: VoxelSize,
    /// The band's width on each side of the surface.
    band: f32,
    /// Steps along the axes of the grid, in camera coordinates.
    steps: [Vector3<f32>; 3],
    colors: &'a [[u8; 3]],
}

impl<'a> View<'a> {
    fn new(seen: &'a Seen, size: VoxelSize) -> Self {
        let turn = seen.pose.rotation.inverse();
        let axes = [Vector3::x(), Vector3::y(), Vector3::z()];
        Self {
            seen,
            size,
            band: BAND * size.single(),
            steps: axes.map(|axis| (turn * axis * size.get()).cast()),
            colors: seen.image.as_raw().as_chunks().0,
        }
    }

    fn fuse(&self, block: &mut Block) {
        let side = self.size.get() * SIDE as f64;
        let corner = Vector3::from(block.key.map(|value| f64::from(value) * side));
        let corner = self.seen.pose.inverse() * nalgebra::Point3::from(corner);
        let corner: Vector3<f32> = corner.coords.cast();
        if !self.sees(corner) {
            return;
        }
        let [along_x, along_y, along_z] = self.steps;
        let mut voxels = block.voxels.iter_mut();
        for x in 0..SIDE {
            for y in 0..SIDE {
                let row = corner + along_x * x as f32 + along_y * y as f32;
                for (z, voxel) in voxels.by_ref().take(SIDE).enumerate() {
                    self.fuse_voxel(row + along_z * z as f32, voxel);
                }
            }
        }
    }

    /// Whether a block with this corner may be in the view.
    fn sees(&self, corner: Vector3<f32>) -> bool {
        let half = (SIDE - 1) as f32 / 2.0;
        let centre = corner + self.steps.iter().sum::<Vector3<f32>>() * half;
        let radius = half * 3.0_f32.sqrt() * self.size.single();
        let [x, y, z] = centre.into();
        let inside = |value: f32, [low, high]: [f32; 2]| {
            let margin = |slope: f32| radius * (1.0 + slope * slope).sqrt();
            value - high * z <= margin(high) && low * z - value <= margin(low)
        };
        let [across, down] = self.seen.reach;
        z + radius > 0.0
            && z - radius < self.seen.farthest + self.band
            && inside(x, across)
            && inside(y, down)
    }

    /// Fuses the voxel at a place in camera coordinates.
    fn fuse_voxel(&self, place: Vector3<f32>, voxel: &mut Voxel) {
        if place.z <= 0.0 {
            return;
        }
        let ray = [place.x / place.z, place.y / place.z];
        let pixel = self.seen.lens.pixel(ray);
        let Some((Sample { depth, cosine }, nearest)) = pixel.and_then(|at| self.seen.at(at))
        else {
            return;
        };
        let behind = depth - place.z;
        let along = behind * (1.0 + ray[0] * ray[0] + ray[1] * ray[1]).sqrt();
        let distance = along * cosine;
        let fineness = (self.size.single() / self.seen.footprint(depth)).powi(2);
        let weight = cosine * fineness.clamp(COARSE_WEIGHT, 1.0);
        if distance.abs() > self.band || along.abs() > ALONG * self.band {
            if behind > (2.0 * self.band).max(CLEARLY_BEHIND * depth) {
                voxel.free += weight;
            }
            return;
        }
        let falloff = (1.0 + distance / self.band).min(1.0);
        let color = self.colors.get(nearest).copied().unwrap_or_default();
        add(voxel, distance, weight * falloff, color);
    }
}

/// Adds what was seen to the means.
fn add(voxel: &mut Voxel, distance: f32, weight: f32, color: [u8; 3]) {
    let sum = voxel.weight + weight;
    if sum <= 0.0 {
        return;
    }
    let part = weight / sum;
    voxel.distance += (distance - voxel.distance) * part;
    for (mean, value) in voxel.color.iter_mut().zip(color) {
        let before = f32::from(*mean);
        let after = before + (f32::from(value) * COLOR_STEPS - before) * part;
        *mean = after.round() as u16;
    }
    voxel.weight = sum;
}
