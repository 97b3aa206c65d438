//! What a photo's metadata tell a model about its camera.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::geometry::{FrameSize, Region};
use crate::image::CameraTags;

/// Diagonal of a frame of 35 mm film (36 x 24 mm), in millimetres.
///
/// EXIF does not say which side the equivalent focal length preserves. CIPA's guideline DCG-001
/// preserves the diagonal, and phones follow it. For a 3:2 sensor all sides agree; for the 4:3 sensor
/// of a phone the long side would give a 4 % longer focal length.
const FILM_DIAGONAL: f64 = 43.266_615_305_567_87;

/// Relative standard deviation of a focal length that was computed from its 35 mm equivalent: it is
/// rounded to millimetres, and focusing and the correction of distortion crop the image.
const FILM_DEVIATION: f64 = 0.05;

/// The same for a photo whose sides have not the ratio of a sensor: some camera or program cropped
/// it, which changes the diagonal, and the equivalent may or may not take this into account.
const CROPPED_DEVIATION: f64 = 0.1;

/// Relative standard deviation of a focal length that was computed from the size of the pixels on
/// the sensor.
const PLANE_DEVIATION: f64 = 0.03;

/// Long by short side of sensors, from 4:3 to 3:2, with some room.
const SENSOR_RATIOS: std::ops::RangeInclusive<f64> = 1.3..=1.53;

/// Focal lengths of lenses, in long sides of the image. Others are errors of the metadata.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = 0.2..=100.0;

/// Ratio above which two focal lengths contradict each other.
const CONTRADICTION: f64 = 1.25;

/// Relative difference up to which two ratios of sides are equal.
const SAME_SHAPE: f64 = 0.02;

/// What is known about the camera of a frame without its content.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CameraHint {
    /// Frames of one group were probably taken with the same lens at the same focal length.
    pub group: CameraGroup,
    pub focal_length: Option<FocalLength>,
}

/// Identifies a camera with its settings: a digest, so that the metadata themselves need not be
/// kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CameraGroup(u64);

/// An uncertain focal length.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FocalLength {
    /// In pixels of the frame; the mean of both axes.
    pub pixels: f64,
    /// Relative standard deviation.
    pub deviation: f64,
}

impl CameraHint {
    /// The hint of a photo of this size. Photos of the same size, upright or not, by the same camera
    /// and lens at the same focal length are a group, and so are those without metadata of the same
    /// size.
    pub fn of_photo(tags: &CameraTags, size: FrameSize) -> Self {
        let nothing = CameraTags::default();
        let cropped = tags.size.is_some_and(|taken| !same_shape(taken, size));
        // The focal length is that of the whole photo.
        let tags = if cropped { &nothing } else { tags };
        Self {
            group: CameraGroup::of(tags, size),
            focal_length: focal_length(tags, size),
        }
    }

    /// The hint for an image of size `size` that shows a region of this hint's image, whose size is
    /// `source`.
    #[must_use]
    pub fn of_region(self, source: FrameSize, region: Region, size: FrameSize) -> Self {
        let across = f64::from(size.width) / (region.width * f64::from(source.width));
        let down = f64::from(size.height) / (region.height * f64::from(source.height));
        // Both differ a little where the sides are rounded to multiples of the patch size.
        let scale = (across * down).sqrt();
        Self {
            focal_length: self.focal_length.map(|focal| FocalLength {
                pixels: focal.pixels * scale,
                ..focal
            }),
            ..self
        }
    }
}

impl CameraGroup {
    fn of(tags: &CameraTags, size: FrameSize) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let number = |number: Option<f64>| number.unwrap_or(0.0);
        let key = format!(
            "{}\0{}\0{}\0{}\0{}\0{}\0{}\0{}",
            text(&tags.make),
            text(&tags.model),
            text(&tags.lens),
            number(tags.focal_length),
            number(tags.focal_length_35mm),
            number(tags.digital_zoom),
            size.width.max(size.height),
            size.width.min(size.height),
        );
        let digest: [u8; 32] = Sha256::digest(key).into();
        let (first, _) = digest.as_chunks();
        Self(first.first().copied().map_or(0, u64::from_be_bytes))
    }
}

/// The focal length in pixels of a photo of this size.
fn focal_length(tags: &CameraTags, size: FrameSize) -> Option<FocalLength> {
    let (width, height) = (f64::from(size.width), f64::from(size.height));
    let long = width.max(height);
    let zoom = tags.digital_zoom.unwrap_or(1.0).max(1.0);
    let plausible = |pixels: f64| PLAUSIBLE.contains(&(pixels / long)).then_some(pixels);
    let film = tags
        .focal_length_35mm
        .and_then(|focal| plausible(focal / FILM_DIAGONAL * width.hypot(height) * zoom));
    let plane =
        tags.focal_length
            .zip(tags.focal_plane_resolution)
            .and_then(|(focal, resolution)| {
                // The resolution is that of the photo as it was taken, which may have been resized.
                let taken = tags.size.unwrap_or(size);
                let resized = long / f64::from(taken.width.max(taken.height));
                plausible(focal * resolution * resized * zoom)
            });
    let agree = |a: f64, b: f64| (1.0 / CONTRADICTION..=CONTRADICTION).contains(&(a / b));
    match (plane, film) {
        (Some(plane), film) if film.is_none_or(|film| agree(plane, film)) => Some(FocalLength {
            pixels: plane,
            deviation: PLANE_DEVIATION,
        }),
        (_, Some(film)) => {
            let ratio = long / width.min(height);
            let deviation = match SENSOR_RATIOS.contains(&ratio) {
                true => FILM_DEVIATION,
                false => CROPPED_DEVIATION,
            };
            Some(FocalLength {
                pixels: film,
                // Some cameras have multiplied the equivalent by the zoom already.
                deviation: deviation.hypot(0.5 * zoom.ln()),
            })
        }
        _ => None,
    }
}

/// Whether two sizes have the same ratio of the long to the short side.
fn same_shape(a: FrameSize, b: FrameSize) -> bool {
    let ratio = |size: FrameSize| {
        f64::from(size.width.max(size.height)) / f64::from(size.width.min(size.height))
    };
    (ratio(a) / ratio(b) - 1.0).abs() <= SAME_SHAPE
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: FrameSize = FrameSize::new(4032, 3024);

    fn phone() -> CameraTags {
        CameraTags {
            make: Some("Maker".to_owned()),
            model: Some("Phone".to_owned()),
            focal_length: Some(4.2),
            focal_length_35mm: Some(26.0),
            ..CameraTags::default()
        }
    }

    fn reflex() -> CameraTags {
        CameraTags {
            focal_length: Some(50.0),
            // A sensor of 36 mm with 6000 pixels.
            focal_plane_resolution: Some(6000.0 / 36.0),
            size: Some(FrameSize::new(6000, 4000)),
            ..CameraTags::default()
        }
    }

    fn focal(tags: &CameraTags, size: FrameSize) -> (f64, f64) {
        let focal = CameraHint::of_photo(tags, size).focal_length.unwrap();
        (focal.pixels, focal.deviation)
    }

    #[test]
    fn the_35_mm_equivalent_preserves_the_diagonal() {
        let (pixels, deviation) = focal(&phone(), SIZE);
        // The diagonal of the photo is 5040 pixels.
        assert!((pixels - 26.0 * 5040.0 / 43.2666).abs() < 0.01, "{pixels}");
        assert_eq!(deviation, 0.05);
        assert_eq!(focal(&phone(), FrameSize::new(3024, 4032)), (pixels, 0.05));
        let (_, deviation) = focal(&phone(), FrameSize::new(4032, 2268));
        assert_eq!(deviation, 0.1, "16:9 is the shape of a crop");
    }

    #[test]
    fn pixels_on_the_sensor_are_more_certain() {
        let size = FrameSize::new(6000, 4000);
        let (pixels, deviation) = focal(&reflex(), size);
        assert!((pixels - 50.0 / 36.0 * 6000.0).abs() < 1e-6);
        assert_eq!(deviation, 0.03);
        // The photo was made smaller, and turned.
        let (smaller, _) = focal(&reflex(), FrameSize::new(1000, 1500));
        assert!((smaller - pixels / 4.0).abs() < 1e-6);
        // An equivalent that agrees changes nothing; one that does not is believed.
        let with_film = |film| CameraTags {
            focal_length_35mm: Some(film),
            ..reflex()
        };
        assert_eq!(focal(&with_film(52.0), size), (pixels, 0.03));
        let (film, deviation) = focal(&with_film(75.0), size);
        assert!((film / pixels - 1.5).abs() < 0.01);
        assert_eq!(deviation, 0.05);
    }

    #[test]
    fn digital_zoom_multiplies() {
        let zoomed = |tags: CameraTags| CameraTags {
            digital_zoom: Some(2.0),
            ..tags
        };
        let (plain, _) = focal(&phone(), SIZE);
        let (pixels, deviation) = focal(&zoomed(phone()), SIZE);
        assert!((pixels / plain - 2.0).abs() < 1e-9);
        assert!(deviation > 0.3, "the equivalent may include the zoom");
        let size = FrameSize::new(6000, 4000);
        let (pixels, deviation) = focal(&zoomed(reflex()), size);
        assert!((pixels / focal(&reflex(), size).0 - 2.0).abs() < 1e-9);
        assert_eq!(deviation, 0.03);
    }

    #[test]
    fn cropped_and_senseless_photos_have_no_focal_length() {
        let square = FrameSize::new(3000, 3000);
        let cropped = CameraHint::of_photo(&reflex(), square);
        let plain = CameraHint::of_photo(&CameraTags::default(), square);
        assert_eq!(cropped, plain);
        assert_eq!(plain.focal_length, None);
        for film in [1e-3, 1e9] {
            let tags = CameraTags {
                focal_length_35mm: Some(film),
                ..CameraTags::default()
            };
            assert_eq!(CameraHint::of_photo(&tags, SIZE).focal_length, None);
        }
    }

    #[test]
    fn a_group_is_a_camera_a_lens_a_focal_length_and_a_size() {
        let group = |tags: &CameraTags, size| CameraHint::of_photo(tags, size).group;
        let one = group(&phone(), SIZE);
        assert_eq!(one, group(&phone(), FrameSize::new(3024, 4032)));
        assert_ne!(one, group(&phone(), FrameSize::new(2016, 1512)));
        assert_ne!(one, group(&CameraTags::default(), SIZE));
        let change = |change: fn(&mut CameraTags)| {
            let mut tags = phone();
            change(&mut tags);
            group(&tags, SIZE)
        };
        for other in [
            change(|tags| tags.make = None),
            change(|tags| tags.model = Some("Phone 2".to_owned())),
            change(|tags| tags.lens = Some("Back".to_owned())),
            change(|tags| tags.focal_length = Some(2.2)),
            change(|tags| tags.focal_length_35mm = Some(27.0)),
            change(|tags| tags.digital_zoom = Some(1.5)),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(
            group(&CameraTags::default(), SIZE),
            group(&CameraTags::default(), FrameSize::new(3024, 4032))
        );
    }

    #[test]
    fn of_region_follows_a_resize_and_a_crop() {
        let hint = CameraHint::of_photo(&reflex(), FrameSize::new(6000, 4000));
        let source = FrameSize::new(6000, 4000);
        let half = hint.of_region(source, Region::WHOLE, FrameSize::new(3000, 2000));
        let (before, after) = (hint.focal_length.unwrap(), half.focal_length.unwrap());
        assert!((after.pixels - before.pixels / 2.0).abs() < 1e-9);
        assert_eq!(
            (after.deviation, half.group),
            (before.deviation, hint.group)
        );
        let square = FrameSize::new(4000, 4000);
        let region = Region::of_center_crop(source, square);
        let cropped = hint.of_region(source, region, square);
        assert!((cropped.focal_length.unwrap().pixels - before.pixels).abs() < 1e-9);
    }
}
