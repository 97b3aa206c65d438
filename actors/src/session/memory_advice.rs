//! The error text for a request that does not fit into memory.

use std::fmt;

use pointstream_reconstruction::model::Shortage;

/// A shortage of memory, in terms of the session's parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoryAdvice {
    pub shortage: Shortage,
    pub process_res: u32,
    pub patch_size: u32,
}

impl MemoryAdvice {
    /// A processing resolution at which all images fit, if there is one.
    fn fitting_process_res(&self) -> Option<u32> {
        let side = f64::from(self.process_res) * self.shortage.fitting_scale?;
        let patches = (side / f64::from(self.patch_size)).floor();
        // Sides are rounded to whole patches, perhaps up: one less is on the safe side.
        let patches = (patches as u32).saturating_sub(1);
        (patches > 0).then(|| patches * self.patch_size)
    }
}

impl fmt::Display for MemoryAdvice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shortage {
            frames,
            needed,
            free,
            fitting_frames,
            ..
        } = self.shortage;
        write!(
            formatter,
            "{frames} {} at process_res {} {} about {} of memory; {} are free; ",
            if frames == 1 { "image" } else { "images" },
            self.process_res,
            if frames == 1 { "needs" } else { "need" },
            Gigabytes(needed),
            Gigabytes(free)
        )?;
        match (fitting_frames, self.fitting_process_res()) {
            (0, None) => formatter.write_str("use a smaller process_res and fewer images"),
            (0, Some(process_res)) => write!(formatter, "process_res {process_res} fits"),
            (1, None) => formatter.write_str("1 image fits"),
            (images, None) => write!(formatter, "{images} images fit"),
            (1, Some(process_res)) => {
                write!(formatter, "1 image or process_res {process_res} fits")
            }
            (images, Some(process_res)) => {
                write!(
                    formatter,
                    "{images} images or process_res {process_res} fit"
                )
            }
        }
    }
}

/// Bytes as a decimal number of GB.
struct Gigabytes(u64);

impl fmt::Display for Gigabytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gigabytes = self.0 as f64 / 1e9;
        let digits = usize::from(gigabytes < 10.0);
        write!(formatter, "{gigabytes:.digits$} GB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(fitting_frames: usize, fitting_scale: Option<f64>) -> String {
        MemoryAdvice {
            shortage: Shortage {
                frames: 100,
                needed: 31_200_000_000,
                free: 22_000_000_000,
                fitting_frames,
                fitting_scale,
            },
            process_res: 504,
            patch_size: 14,
        }
        .to_string()
    }

    #[test]
    fn names_what_fits() {
        let asked = "100 images at process_res 504 need about 31 GB of memory; 22 GB are free; ";
        for (frames, scale, advice) in [
            (60, Some(0.84), "60 images or process_res 406 fit"),
            (60, None, "60 images fit"),
            (1, None, "1 image fits"),
            (0, Some(0.5), "process_res 238 fits"),
            (0, Some(0.01), "use a smaller process_res and fewer images"),
        ] {
            assert_eq!(text(frames, scale), format!("{asked}{advice}"));
        }
    }

    #[test]
    fn small_amounts_have_a_digit_more() {
        assert_eq!(Gigabytes(9_940_000_000).to_string(), "9.9 GB");
        assert_eq!(Gigabytes(120_000_000).to_string(), "0.1 GB");
    }
}
