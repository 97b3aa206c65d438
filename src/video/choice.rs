//! Which frames of a video are taken.

/// How much sharper a frame must be to be taken in place of the one at its place.
const CLEARLY: f32 = 1.2;
/// Comparisons in a row of a filter.
const ROW: usize = 16;

/// The numbers of `count` frames, in order: all if there are not more. Their places are spread evenly. At each
/// place the sharpest frame is taken that is no further away than a quarter of the distance of two places, if
/// it is clearly sharper than the one at the place.
pub fn choose(sharpness: &[f32], count: u32) -> Vec<usize> {
    let (all, count) = (sharpness.len(), count as usize);
    if count >= all {
        return (0..all).collect();
    }
    let reach = all / (4 * count);
    let places = (0..count).map(|part| place(part, count, all));
    let chosen = places.map(|place| {
        let near = place.saturating_sub(reach)..(place + reach + 1).min(all);
        let sharpest = near.max_by(|one, other| sharpness[*one].total_cmp(&sharpness[*other]));
        let sharpest = sharpest.unwrap_or(place);
        match sharpness[sharpest] > CLEARLY * sharpness[place] {
            true => sharpest,
            false => place,
        }
    });
    chosen.collect()
}

/// The first frame whose middle lies in a part of `count` parts of the same length.
fn place(part: usize, count: usize, all: usize) -> usize {
    let twice = (2 * part * all).saturating_sub(count);
    twice.div_ceil(2 * count)
}

/// An expression of ffmpeg's filters that is true for these numbers `n`, which are in order. It is a tree: not
/// all are compared with each frame, and its text stays short.
pub fn expression(chosen: &[usize]) -> String {
    if chosen.len() <= ROW {
        let each: Vec<_> = chosen.iter().map(|one| format!("eq(n,{one})")).collect();
        return each.join("+");
    }
    let (before, after) = chosen.split_at(chosen.len() / 2);
    let (left, right) = (expression(before), expression(after));
    format!("if(lt(n,{}),{left},{right})", after[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evenly_sharp_frames_are_spread_evenly() {
        let same = [5.0; 8];
        assert_eq!(choose(&same, 4), [0, 2, 4, 6]);
        assert_eq!(choose(&same, 3), [0, 3, 5]);
        assert_eq!(choose(&same, 1), [0]);
        assert_eq!(choose(&same, 8), (0..8).collect::<Vec<_>>());
        assert_eq!(choose(&same, 20), (0..8).collect::<Vec<_>>());
        assert_eq!(choose(&[], 3), Vec::<usize>::new());
    }

    #[test]
    fn sharp_frames_are_taken_in_place_of_blurred_neighbours() {
        // Every third frame, to begin with the first, is blurred.
        let sharpness: Vec<f32> = (0..48)
            .map(|frame| if frame % 3 == 0 { 10.0 } else { 100.0 })
            .collect();
        let chosen = choose(&sharpness, 4);
        assert!(chosen.iter().all(|frame| frame % 3 != 0), "{chosen:?}");
        for (frame, place) in chosen.iter().zip([0, 12, 24, 36]) {
            assert!(frame.abs_diff(place) <= 3, "{chosen:?}");
        }
        // No frame that is a little sharper.
        let sharpness: Vec<f32> = (0..48).map(|frame| 100.0 + (frame % 10) as f32).collect();
        assert_eq!(choose(&sharpness, 4), [0, 12, 24, 36]);
        // Not too far away.
        let mut sharpness = [10.0; 48];
        sharpness[16] = 100.0;
        assert_eq!(choose(&sharpness, 4), [0, 12, 24, 36]);
        sharpness[15] = 100.0;
        assert_eq!(choose(&sharpness, 4), [0, 15, 24, 36]);
    }

    #[test]
    fn chosen_frames_are_in_order_whatever_their_sharpness() {
        let mut state = 1_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        for _ in 0..200 {
            let all = 1 + random() as usize % 300;
            let sharpness: Vec<f32> = (0..all).map(|_| (random() % 1000) as f32).collect();
            let count = 1 + random() % 40;
            let chosen = choose(&sharpness, count);
            assert_eq!(chosen.len(), all.min(count as usize));
            assert!(chosen.is_sorted_by(|one, next| one < next), "{chosen:?}");
            assert!(chosen.iter().all(|frame| *frame < all));
        }
    }

    #[test]
    fn an_expression_is_a_tree() {
        assert_eq!(expression(&[3, 5]), "eq(n,3)+eq(n,5)");
        let many: Vec<_> = (0..5000).map(|one| one * 400).collect();
        let text = expression(&many);
        assert!(text.starts_with("if(lt(n,1000000),if("), "{text}");
        // Longer arguments are refused by the system.
        assert!(text.len() < 120 << 10, "{}", text.len());
    }
}
