//! Reads what EXIF says about a photo's camera.
//!
//! EXIF is a TIFF file without an image: directories of tagged values. Anyone can send one, so the
//! reader is bounded: it reads each entry of two directories once, keeps a dozen values, and follows
//! no other pointer. General EXIF readers follow every pointer to a directory, so that a few
//! kilobytes of pointers to one large directory become gigabytes of entries. Nothing here is an
//! error: a value that cannot be read counts as missing.

use crate::geometry::FrameSize;

/// Longest text that is kept, in bytes.
const MAX_TEXT: usize = 64;

/// Bytes of a directory's entry.
const ENTRY: usize = 12;

/// What a photo's metadata say about the camera and the lens that took it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CameraTags {
    /// Maker of the camera.
    pub make: Option<String>,
    pub model: Option<String>,
    pub lens: Option<String>,
    /// In millimetres.
    pub focal_length: Option<f64>,
    /// Focal length in millimetres of the lens with the same angle of view on 35 mm film.
    pub focal_length_35mm: Option<f64>,
    /// Pixels per millimetre of the sensor, along a row.
    pub focal_plane_resolution: Option<f64>,
    /// Factor by which the camera enlarged the middle of the image.
    pub digital_zoom: Option<f64>,
    /// Size of the photo when the camera wrote it, before its orientation is applied.
    pub size: Option<FrameSize>,
}

impl CameraTags {
    /// Reads the content of an EXIF segment or chunk.
    pub fn read(exif: &[u8]) -> Self {
        // Some writers of WebP and PNG keep the header of the JPEG segment.
        let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
        Self::parse(exif).unwrap_or_default()
    }

    fn parse(exif: &[u8]) -> Option<Self> {
        let tiff = Tiff::open(exif)?;
        let mut tags = Self::default();
        let mut exif_directory = None;
        for entry in tiff.directory(tiff.long(4)?) {
            match entry.tag {
                0x010f => keep(&mut tags.make, || tiff.text(&entry)),
                0x0110 => keep(&mut tags.model, || tiff.text(&entry)),
                0x8769 => keep(&mut exif_directory, || tiff.long(entry.at)),
                _ => {}
            }
        }
        let mut unit = None;
        let mut resolution = None;
        let (mut width, mut height) = (None, None);
        for entry in exif_directory.into_iter().flat_map(|at| tiff.directory(at)) {
            let number = || tiff.positive(&entry);
            match entry.tag {
                0x920a => keep(&mut tags.focal_length, number),
                0xa002 => keep(&mut width, number),
                0xa003 => keep(&mut height, number),
                0xa20e => keep(&mut resolution, number),
                0xa210 => keep(&mut unit, number),
                0xa404 => keep(&mut tags.digital_zoom, number),
                0xa405 => keep(&mut tags.focal_length_35mm, number),
                0xa434 => keep(&mut tags.lens, || tiff.text(&entry)),
                _ => {}
            }
        }
        tags.focal_plane_resolution = resolution
            .zip(millimetres(unit))
            .map(|(pixels, unit)| pixels / unit);
        tags.size = width
            .zip(height)
            .map(|(width, height)| FrameSize::new(width as u32, height as u32))
            .filter(|size| !size.is_empty());
        Some(tags)
    }
}

/// The unit of the focal plane's resolution in millimetres; inches if the tag is missing.
fn millimetres(unit: Option<f64>) -> Option<f64> {
    match unit {
        None => Some(25.4),
        Some(unit) => match unit as u32 {
            2 => Some(25.4),
            3 => Some(10.0),
            4 => Some(1.0),
            5 => Some(1e-3),
            _ => None,
        },
    }
}

/// Sets a value unless an earlier entry has set it.
fn keep<T>(value: &mut Option<T>, read: impl FnOnce() -> Option<T>) {
    if value.is_none() {
        *value = read();
    }
}

/// An entry of a directory.
struct Entry {
    tag: u16,
    kind: u16,
    count: usize,
    /// Where its value is.
    at: usize,
}

struct Tiff<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl<'a> Tiff<'a> {
    fn open(bytes: &'a [u8]) -> Option<Self> {
        let big_endian = match bytes.get(..4)? {
            b"MM\0*" => true,
            b"II*\0" => false,
            _ => return None,
        };
        Some(Self { bytes, big_endian })
    }

    /// The entries of a directory, as far as the bytes go.
    fn directory(&self, at: usize) -> impl Iterator<Item = Entry> {
        let count = self.short(at).unwrap_or(0);
        (0..count).map_while(move |index| self.entry(at + 2 + index * ENTRY))
    }

    fn entry(&self, at: usize) -> Option<Entry> {
        let kind = self.short(at + 2)? as u16;
        let count = self.long(at + 4)?;
        let unit = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            5 | 10 | 12 => 8,
            _ => 4,
        };
        // Up to four bytes are in the entry itself.
        let inline = count <= 4 / unit;
        Some(Entry {
            tag: self.short(at)? as u16,
            kind,
            count,
            at: if inline { at + 8 } else { self.long(at + 8)? },
        })
    }

    /// The first number of an entry, if it is finite and above 0: 0 means unknown in EXIF.
    fn positive(&self, entry: &Entry) -> Option<f64> {
        if entry.count == 0 {
            return None;
        }
        let value = match entry.kind {
            3 => self.short(entry.at)? as f64,
            4 => self.long(entry.at)? as f64,
            5 => self.long(entry.at)? as f64 / self.long(entry.at + 4)? as f64,
            _ => return None,
        };
        (value.is_finite() && value > 0.0).then_some(value)
    }

    /// The text of an entry without its padding; `None` if it is empty.
    fn text(&self, entry: &Entry) -> Option<String> {
        if entry.kind != 2 {
            return None;
        }
        let bytes = self.bytes.get(entry.at..)?;
        let bytes = &bytes[..entry.count.min(MAX_TEXT).min(bytes.len())];
        let text = bytes.split(|&byte| byte == 0).next()?;
        let text = String::from_utf8_lossy(text).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    fn short(&self, at: usize) -> Option<usize> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(usize::from(match self.big_endian {
            true => u16::from_be_bytes(bytes),
            false => u16::from_le_bytes(bytes),
        }))
    }

    fn long(&self, at: usize) -> Option<usize> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        let number = match self.big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        };
        usize::try_from(number).ok()
    }
}
