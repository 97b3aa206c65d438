//! Colours of files with a colour profile (ICC), converted to sRGB.

use ::image::RgbImage;
use moxcms::{
    ColorProfile, DataColorSpace, Layout, ParsingOptions, Transform8BitExecutor, TransformOptions,
};

/// Larger profiles are none of cameras. Their tables take several times as much memory.
pub(super) const MAX_PROFILE: usize = 512 << 10;
/// Samples along each axis of the colours that are tried.
const STEPS: u8 = 5;
/// Differences that only come from rounding: the profile is one of the many that mean sRGB.
const ROUNDING: u8 = 2;

/// Converts an image to sRGB by the profile of its file. A profile that cannot be read, one of another
/// kind than RGB, and one of sRGB change nothing.
pub(super) fn to_srgb(image: &mut RgbImage, profile: &[u8]) {
    let Some(transform) = transform(profile) else {
        return;
    };
    let width = image.width() as usize * 3;
    let mut converted = vec![0; width];
    for row in image.chunks_exact_mut(width.max(1)) {
        // Fails only for rows that are no whole pixels.
        if transform.transform(row, &mut converted).is_ok() {
            row.copy_from_slice(&converted);
        }
    }
}

fn transform(profile: &[u8]) -> Option<Box<Transform8BitExecutor>> {
    let limits = ParsingOptions {
        max_profile_size: MAX_PROFILE,
        ..ParsingOptions::default()
    };
    let profile = ColorProfile::new_from_slice_with_options(profile, limits).ok()?;
    if profile.color_space != DataColorSpace::Rgb {
        return None;
    }
    let (srgb, options) = (ColorProfile::new_srgb(), TransformOptions::default());
    let transform = profile.create_transform_8bit(Layout::Rgb, &srgb, Layout::Rgb, options);
    transform
        .ok()
        .filter(|transform| changes(transform.as_ref()))
}

/// Whether colours become other ones.
fn changes(transform: &Transform8BitExecutor) -> bool {
    let steps = || (0..STEPS).map(|step| step * (u8::MAX / (STEPS - 1)));
    let colours: Vec<u8> = steps()
        .flat_map(|red| steps().map(move |green| (red, green)))
        .flat_map(|(red, green)| steps().flat_map(move |blue| [red, green, blue]))
        .collect();
    let mut converted = vec![0; colours.len()];
    transform.transform(&colours, &mut converted).is_ok()
        && colours
            .iter()
            .zip(&converted)
            .any(|(before, after)| before.abs_diff(*after) > ROUNDING)
}
