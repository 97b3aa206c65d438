//! Percentiles and medians.

/// The `p`-th percentile (0 to 100) with linear interpolation between the two nearest values, as
/// `numpy.percentile` computes it. `None` if there are no values.
///
/// Takes linear time by selection; the order of `values` afterwards is unspecified. Values must
/// not be NaN; `p` outside its range means the nearest end.
pub fn percentile(values: &mut [f32], p: f64) -> Option<f32> {
    let last = values.len().checked_sub(1)?;
    let position = last as f64 * (p.clamp(0.0, 100.0) / 100.0);
    let below = (position as usize).min(last);
    let fraction = position - below as f64;
    let keys: &mut [i32] = bytemuck::cast_slice_mut(values);
    keys.iter_mut().for_each(|key| *key = reordered(*key));
    let (_, &mut low, above) = keys.select_nth_unstable(below);
    let high = above.iter().copied().min().filter(|_| fraction > 0.0);
    keys.iter_mut().for_each(|key| *key = reordered(*key));
    let value = |key| f32::from_bits(reordered(key) as u32);
    let low = value(low);
    let Some(high) = high.map(value) else {
        return Some(low);
    };
    Some((f64::from(low) + (f64::from(high) - f64::from(low)) * fraction) as f32)
}

/// The bits of a float as an integer with the order of [`f32::total_cmp`], and back again. Integers are
/// compared much faster.
fn reordered(bits: i32) -> i32 {
    bits ^ (((bits >> 31) as u32) >> 1) as i32
}

/// The median (the lower of two middle values), `None` without values.
pub fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len().checked_sub(1)? / 2;
    Some(*values.select_nth_unstable_by(middle, f64::total_cmp).1)
}

/// The median along each axis, `None` without points.
pub fn median_point(points: &[[f32; 3]]) -> Option<[f32; 3]> {
    let mut buffer = Vec::with_capacity(points.len());
    let mut median_of = |axis: usize| {
        buffer.clear();
        buffer.extend(points.iter().map(|point| point[axis]));
        percentile(&mut buffer, 50.0)
    };
    Some([median_of(0)?, median_of(1)?, median_of(2)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values in 1..10 of a linear congruential generator (Numerical Recipes), the same that the
    /// expected numbers were made from with NumPy in double precision.
    fn values(count: usize) -> Vec<f32> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            1.0 + (state >> 8) as f32 / (1 << 24) as f32 * 9.0
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn percentile_equals_numpy() {
        let expected = [
            (1, 33.3, 3.1280994415283203),
            (2, 10.0, 3.2476330757141114),
            (2, 90.0, 4.20390214920044),
            (3, 40.0, 4.084368515014648),
            (3, 100.0, 5.538177967071533),
            (10, 0.0, 1.148438811302185),
            (10, 33.3, 4.319849774360657),
            (10, 90.0, 7.40684061050415),
            (1000, 10.0, 1.8893192291259766),
            (1000, 33.3, 4.149890393733978),
            (1000, 40.0, 4.696708106994629),
            (100_003, 10.0, 1.8995631694793702),
            (100_003, 33.3, 3.9913517537117005),
            (100_003, 90.0, 9.100054931640626),
            (100_003, 100.0, 9.999960899353027),
        ];
        for (count, p, value) in expected {
            let result = percentile(&mut values(count), p).unwrap();
            assert_eq!(result, value as f32, "{count} values, percentile {p}");
        }
        assert_eq!(percentile(&mut [], 50.0), None);
    }

    #[test]
    fn values_of_both_signs_are_in_order() {
        let mut values = [
            -1.5,
            f32::INFINITY,
            0.0,
            1e-40,
            -1e-40,
            f32::NEG_INFINITY,
            -0.0,
            2.0,
            f32::MAX,
        ];
        let mut sorted = values;
        sorted.sort_by(f32::total_cmp);
        for (index, expected) in sorted.iter().enumerate() {
            let found = percentile(&mut values, 12.5 * index as f64);
            assert_eq!(found.map(f32::to_bits), Some(expected.to_bits()));
            // They are only in another order.
            let mut again = values;
            again.sort_by(f32::total_cmp);
            assert_eq!(again.map(f32::to_bits), sorted.map(f32::to_bits));
        }
    }

    #[test]
    fn out_of_range_percentiles_are_the_ends() {
        assert_eq!(percentile(&mut [3.0, 1.0, 2.0], -5.0), Some(1.0));
        assert_eq!(percentile(&mut [3.0, 1.0, 2.0], 200.0), Some(3.0));
    }
}
