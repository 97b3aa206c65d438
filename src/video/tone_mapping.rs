//! HDR videos: which ones are, and how ffmpeg makes sRGB of them.
//!
//! Phones record with the transfer functions HLG or PQ. Taken as sRGB, such frames are grey and flat.

/// Filters that not every build of ffmpeg has.
pub const NEEDED: [&str; 2] = ["zscale", "tonemap"];

/// Luminance of white paper in HDR video, in cd/m² (ITU-R BT.2408). It becomes the white of sRGB.
const WHITE: u32 = 203;
/// Brightest luminance that is told from white.
const PEAK: u32 = 1000;
/// Linear light up to which colours stay as they are; brighter ones are compressed.
const UNCHANGED: f32 = 0.7;

/// The colours of an HDR video, as ffprobe names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hdr {
    transfer: &'static str,
    knows_matrix: bool,
    knows_primaries: bool,
}

impl Hdr {
    /// Reads ffprobe's lines `name=value`; `None` for other videos.
    pub fn find(lines: &str) -> Option<Self> {
        let value = |name: &str| {
            let mut values = lines.lines().filter_map(|line| line.split_once('='));
            let found = values.find(|(found, _)| *found == name);
            found
                .map(|(_, value)| value.trim())
                .filter(|value| *value != "unknown")
        };
        let transfer = match value("color_transfer")? {
            "smpte2084" => "smpte2084",
            "arib-std-b67" => "arib-std-b67",
            _ => return None,
        };
        Some(Self {
            transfer,
            knows_matrix: value("color_space").is_some(),
            knows_primaries: value("color_primaries").is_some(),
        })
    }

    /// The usual name of the transfer function.
    pub fn name(&self) -> &'static str {
        match self.transfer {
            "smpte2084" => "PQ",
            _ => "HLG",
        }
    }

    /// The filters that make sRGB of the frames.
    pub fn filters(&self) -> String {
        // What the file does not tell is that of nearly all HDR videos.
        let matrix = if self.knows_matrix {
            ""
        } else {
            ":matrixin=2020_ncl"
        };
        let primaries = if self.knows_primaries {
            ""
        } else {
            ":primariesin=2020"
        };
        let peak = f64::from(PEAK) / f64::from(WHITE);
        // The first format: zscale takes no odd sides of subsampled colours.
        format!(
            "format=yuv444p16le,zscale=transferin={}{matrix}{primaries}:transfer=linear:npl={WHITE},format=gbrpf32le,\
             zscale=primaries=bt709,tonemap=mobius:param={UNCHANGED}:peak={peak:.3},\
             zscale=transfer=iec61966-2-1:range=full,format=gbrp",
            self.transfer
        )
    }
}

/// The needed filters that ffmpeg's list of its filters lacks.
pub fn missing(list: &str) -> Vec<&'static str> {
    let has = |name: &str| {
        let mut words = list
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1));
        words.any(|found| found == name)
    };
    NEEDED.into_iter().filter(|name| !has(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hdr_is_found_by_the_transfer_function() {
        let pq = "color_space=bt2020nc\ncolor_transfer=smpte2084\ncolor_primaries=bt2020\n";
        let pq = Hdr::find(pq).expect("HDR");
        assert_eq!(pq.name(), "PQ");
        assert!(!pq.filters().contains("primariesin"), "{}", pq.filters());
        let hlg = "color_space=unknown\ncolor_transfer=arib-std-b67\ncolor_primaries=unknown";
        let hlg = Hdr::find(hlg).expect("HDR");
        assert_eq!(hlg.name(), "HLG");
        let filters = hlg.filters();
        assert!(
            filters.contains("matrixin=2020_ncl:primariesin=2020"),
            "{filters}"
        );
        for other in [
            "",
            "color_transfer=bt709",
            "color_transfer=unknown",
            "smpte2084",
        ] {
            assert_eq!(Hdr::find(other), None, "{other}");
        }
    }

    #[test]
    fn filters_are_found_by_their_whole_names() {
        let list =
            " TS. scale   V->V  Scale\n .S. tonemap  V->V  Convert\n ... zscaler V->V  zscale\n";
        assert_eq!(missing(list), ["zscale"]);
        assert_eq!(missing(""), NEEDED);
        assert!(missing(" ... tonemap V->V\n .SC zscale V->V\n").is_empty());
    }
}
