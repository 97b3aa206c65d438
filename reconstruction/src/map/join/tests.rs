use super::*;

/// Numbers in -1..1 of a linear congruential generator (Numerical Recipes).
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(self.0 >> 8) / f64::from(1 << 23) - 1.0
    }

    fn vector(&mut self, size: f64) -> Vector3<f64> {
        Vector3::from_fn(|_, _| size * self.next())
    }
}

fn truth() -> Similarity3<f64> {
    Similarity3::new(
        Vector3::new(3.0, -7.0, 0.5),
        Vector3::new(0.4, -1.1, 2.0),
        0.37,
    )
}

/// A frame that the window has at this place, turned by `turn`, seen without error.
fn exact(place: Vector3<f64>, turn: Vector3<f64>) -> SharedFrame {
    let in_window = Isometry3::new(place, turn);
    let moved = truth() * in_window;
    SharedFrame {
        in_map: moved.isometry,
        in_window,
        depths: ComparedDepths {
            ratio: truth().scaling(),
            depth: 2.0,
        },
    }
}

/// Frames along a curve that look about.
fn walk(count: usize) -> Vec<SharedFrame> {
    let frame = |index: usize| {
        let step = index as f64;
        exact(
            Vector3::new(0.3 * step, 0.1 * step.sin(), 0.02 * step * step),
            Vector3::new(0.05 * step, 0.1 * step, -0.03 * step),
        )
    };
    (0..count).map(frame).collect()
}

fn error(join: &Join) -> (f64, f64, f64) {
    let off = join.similarity * truth().inverse();
    let turn = off.isometry.rotation.angle();
    let at = truth() * Point3::origin();
    (turn, off.scaling().ln().abs(), (off * at - at).norm())
}

fn disturb(frame: &mut SharedFrame, noise: &mut Noise, size: f64) {
    let turn = UnitQuaternion::from_scaled_axis(noise.vector(size));
    frame.in_map.rotation *= turn;
    frame.in_map.translation.vector += noise.vector(size * frame.depths.depth);
    frame.depths.ratio *= (size * noise.next()).exp();
}

#[test]
fn exact_frames_give_the_exact_similarity() {
    let join = Join::of(&walk(5)).expect("they agree");
    let (turn, scale, shift) = error(&join);
    assert!(turn < 1e-7 && scale < 1e-9 && shift < 1e-7, "{join:?}");
    assert_eq!(join.agreeing, [0, 1, 2, 3, 4]);
    assert!(join.spread.rotation < 1e-6 && join.spread.centre < 1e-6);
}

#[test]
fn noise_is_averaged_and_reported() {
    let mut noise = Noise(1);
    let mut frames = walk(12);
    for frame in &mut frames {
        disturb(frame, &mut noise, 0.02);
    }
    let join = Join::of(&frames).expect("they agree");
    assert_eq!(join.agreeing.len(), 12);
    let (turn, scale, shift) = error(&join);
    assert!(
        turn < 0.02 && scale < 0.01 && shift < 0.1,
        "{turn} {scale} {shift}"
    );
    let spread = join.spread;
    assert!((0.005..0.04).contains(&spread.rotation), "{spread:?}");
    assert!((0.003..0.04).contains(&spread.scale), "{spread:?}");
    assert!((0.005..0.1).contains(&spread.centre), "{spread:?}");
}

#[test]
fn a_wrong_frame_moves_nothing() {
    for wrong in 0..5 {
        let mut frames = walk(5);
        frames[wrong].in_window =
            Isometry3::new(Vector3::new(4.0, 1.0, -2.0), Vector3::new(1.0, 0.5, 0.0));
        let join = Join::of(&frames).expect("the others agree");
        let expected: Vec<usize> = (0..5).filter(|index| *index != wrong).collect();
        assert_eq!(join.agreeing, expected);
        let (turn, scale, shift) = error(&join);
        assert!(turn < 1e-6 && scale < 1e-9 && shift < 1e-6);
    }
}

#[test]
fn outliers_among_noise_are_left_out() {
    let mut noise = Noise(7);
    let mut frames = walk(15);
    for (index, frame) in frames.iter_mut().enumerate() {
        disturb(frame, &mut noise, 0.015);
        match index % 4 {
            0 => frame.depths.ratio *= 2.0,
            1 if index < 8 => {
                frame.in_map.rotation *= UnitQuaternion::from_euler_angles(0.5, 0.0, 0.3);
            }
            _ => {}
        }
    }
    let join = Join::of(&frames).expect("most agree");
    assert_eq!(join.agreeing, [2, 3, 6, 7, 9, 10, 11, 13, 14]);
    let (turn, scale, shift) = error(&join);
    assert!(
        turn < 0.02 && scale < 0.01 && shift < 0.1,
        "{turn} {scale} {shift}"
    );
}

#[test]
fn frames_at_one_place_have_a_scale_nevertheless() {
    let at = Vector3::new(1.0, 2.0, 3.0);
    let frames: Vec<_> = (0..4)
        .map(|index| exact(at, Vector3::new(0.0, 0.3 * f64::from(index), 0.0)))
        .collect();
    let join = Join::of(&frames).expect("they agree");
    let (turn, scale, shift) = error(&join);
    assert!(turn < 1e-6 && scale < 1e-9 && shift < 1e-6);
}

#[test]
fn frames_on_a_line_determine_the_roll() {
    let frames: Vec<_> = (0..4)
        .map(|index| exact(Vector3::x() * f64::from(index), Vector3::zeros()))
        .collect();
    let join = Join::of(&frames).expect("they agree");
    let (turn, ..) = error(&join);
    assert!(turn < 1e-6, "{turn}");
}

#[test]
fn frames_that_disagree_join_nothing() {
    let mut frames = walk(6);
    for (index, frame) in frames.iter_mut().enumerate() {
        let turn = Vector3::y() * (0.6 * index as f64);
        frame.in_map.rotation *= UnitQuaternion::from_scaled_axis(turn);
    }
    assert_eq!(Join::of(&frames), None);
    assert_eq!(Join::of(&walk(1)), None, "one frame cannot be checked");
    assert_eq!(Join::of(&[]), None);
}

#[test]
fn depths_are_compared_where_both_are_confident() {
    let count = 400;
    let map: Vec<f32> = (0..count).map(|pixel| 2.0 + pixel as f32 / 100.0).collect();
    let is_right = |pixel: usize| pixel % 5 > 1;
    // The wrong depths of the window are less confident.
    let window: Vec<f32> = map
        .iter()
        .enumerate()
        .map(|(pixel, depth)| if is_right(pixel) { depth / 3.0 } else { 9.0 })
        .collect();
    let confidence: Vec<f32> = (0..count)
        .map(|pixel| if is_right(pixel) { 3.0 } else { 1.2 })
        .collect();
    let even = vec![2.0; count];
    let of = |depth, confidence| DepthMap { depth, confidence };
    let found = ComparedDepths::of(of(&map, &even), of(&window, &confidence)).expect("known");
    assert!((found.ratio - 3.0).abs() < 1e-5, "{found:?}");
    assert!((3.9..4.1).contains(&found.depth), "{found:?}");
    assert!((found.times(2.0).ratio - 6.0).abs() < 1e-5);

    let unknown = vec![1.0; count];
    assert_eq!(
        ComparedDepths::of(of(&map, &unknown), of(&map, &even)),
        None
    );
    let unlike: Vec<f32> = (0..count)
        .map(|pixel| 0.1 * (1 + pixel * 7 % 97) as f32)
        .collect();
    assert_eq!(
        ComparedDepths::of(of(&map, &even), of(&unlike, &even)),
        None
    );
}
