use std::convert::Infallible;
use std::sync::Arc;

use ::image::RgbImage;
use nalgebra::Isometry3;

use super::*;
use crate::cloud::{CloudOptions, PointFilters, SceneFrame};
use crate::geometry::{Distortion, FrameSize, Region};
use crate::map::{FirstChunk, FrameCorrection, FramePlace};
use crate::prediction::{Camera, Prediction};

const SIZE: FrameSize = FrameSize::new(64, 48);
const FOCAL: f64 = 60.0;
const MIDDLE: (f64, f64) = (31.5, 23.5);
const PLACES: [f64; 4] = [0.0, 0.3, 0.6, 0.9];
const RUN: [u64; 4] = [0, 1, 2, 3];

/// Depth of a wall that slopes by 1 in 10, along the ray to a pixel.
fn wall(place: f64, x: f64) -> f64 {
    (4.0 + 0.1 * place) / (1.0 - 0.1 * (x - MIDDLE.0) / FOCAL)
}

fn camera(place: f64) -> Camera {
    Camera {
        extrinsics: Isometry3::translation(-place, 0.0, 0.0).to_homogeneous(),
        intrinsics: Matrix3::new(FOCAL, 0.0, MIDDLE.0, 0.0, FOCAL, MIDDLE.1, 0.0, 0.0, 1.0),
        distortion: Distortion::NONE,
        registered: true,
    }
}

/// A chunk of four frames before the wall, whose depths are multiples of the right ones.
struct World {
    map: Map,
    prediction: Prediction,
}

impl World {
    fn new(scales: [f64; 4]) -> Self {
        let pixels =
            || (0..SIZE.columns() * SIZE.rows()).map(|index| (index % SIZE.columns()) as f64);
        let depth = PLACES
            .iter()
            .zip(scales)
            .flat_map(|(&place, scale)| pixels().map(move |x| (scale * wall(place, x)) as f32));
        let mut prediction = Prediction {
            size: SIZE,
            cameras: PLACES.iter().copied().map(camera).collect(),
            depth: depth.collect(),
            confidence: vec![2.0; PLACES.len() * SIZE.columns() * SIZE.rows()],
            report: None,
            links: None,
        };
        let (image, name) = (RgbImage::new(SIZE.width, SIZE.height), Arc::from("frame"));
        let frames = RUN.map(|id| SceneFrame {
            id,
            name: &name,
            image: &image,
            region: Region::WHOLE,
        });
        let options = CloudOptions {
            conf_thresh_percentile: 0.0,
            num_max_points: usize::MAX,
            show_cameras: false,
            filters: PointFilters::OFF,
        };
        let made = FirstChunk::make(&mut prediction, &frames, None, &options);
        Self {
            map: Map::begin(made.expect("frames that fit").0, None),
            prediction,
        }
    }

    /// Features on the wall as each frame sees them. Those of the last ones are mistaken.
    fn links(features: usize, mistaken: usize) -> Links {
        let mut numbers = Vec::new();
        for place in PLACES {
            for track in 0..features {
                let x = 0.2 + 0.6 * (track as f64 / features as f64);
                let y = 0.8 * ((track * 7 % features) as f64 / features as f64 - 0.5);
                let z = 4.0 + 0.1 * x;
                let off = if track + mistaken >= features {
                    9.0 * place
                } else {
                    0.0
                };
                let u = MIDDLE.0 + FOCAL * (x - place) / z + off;
                let v = MIDDLE.1 + FOCAL * y / z - off;
                numbers.extend([u as f32, v as f32, track as f32]);
            }
        }
        Links::new(PLACES.len(), features, numbers).expect("as many as there are")
    }

    /// The factors of the depths after a correction that moves nothing, and of how many frames they are.
    fn factors(&mut self, links: &Links) -> (usize, Vec<f64>) {
        let mut corrections = Corrections::default();
        let first = FrameCorrection::new(&camera(PLACES[0]), 1.0);
        corrections.insert(0, first.expect("a camera"));
        let mut fit = DepthFit::new(&self.map, &corrections);
        let Ok(()) = fit.look(0, &RUN, links, &*self);
        let misfits = fit.misfits();
        self.map.correct(&fit.corrections(corrections));
        let factors = self.map.frames().map(|(_, frame)| frame.depth_factor);
        (misfits, factors.collect())
    }
}

impl SourceOfDepth for World {
    type Error = Infallible;

    fn depth(&self, place: FramePlace) -> Result<KnownDepth, Infallible> {
        Ok(KnownDepth {
            depth: self.prediction.frame_depth(place.row).to_vec(),
            confidence: self.prediction.frame_confidence(place.row).to_vec(),
        })
    }
}

#[test]
fn depths_that_do_not_fit_the_cameras_are_scaled() {
    let mut world = World::new([1.0, 1.0, 0.8, 1.1]);
    let (misfits, factors) = world.factors(&World::links(40, 8));
    assert_eq!(misfits, 2);
    for (factor, wanted) in factors.iter().zip([1.0, 1.0, 1.25, 1.0 / 1.1]) {
        assert!((factor / wanted - 1.0).abs() < 0.005, "{factors:?}");
    }
    // Once is enough.
    let (misfits, again) = world.factors(&World::links(40, 8));
    assert_eq!((misfits, again), (0, factors));
}

#[test]
fn depths_that_nearly_fit_stay() {
    let (misfits, factors) = World::new([1.0, 1.004, 0.996, 1.0]).factors(&World::links(40, 0));
    assert_eq!((misfits, factors), (0, vec![1.0; 4]));
}

#[test]
fn few_features_say_nothing() {
    let (misfits, _) = World::new([1.0, 1.0, 0.8, 1.0]).factors(&World::links(11, 0));
    assert_eq!(misfits, 0);
}
