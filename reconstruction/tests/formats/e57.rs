use std::error::Error;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

use e57::{CartesianCoordinate, E57Reader, RecordName};
use pointstream_reconstruction::formats::e57::write_e57;

use crate::sample::Sample;

fn written(sample: &Sample) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    write_e57(&sample.reconstruction(), "a-1", &mut file).unwrap();
    file.into_inner()
}

#[test]
fn it_has_the_points_of_the_scene() {
    for limit in [0, 1, 5000] {
        let sample = Sample::new(limit);
        let file = written(&sample);
        E57Reader::validate_crc(Cursor::new(&file)).unwrap();
        let mut reader = E57Reader::new(Cursor::new(file)).unwrap();
        assert_eq!(reader.guid(), "a-1");
        let scans = reader.pointclouds();
        assert_eq!(scans.len(), 1);
        let scan = &scans[0];
        assert_eq!(scan.guid.as_deref(), Some("a-1-points"));
        assert_eq!(scan.records, limit as u64);
        assert!(scan.transform.is_none(), "positions are those of the GLB");
        let names: Vec<_> = scan.prototype.iter().map(|record| &record.name).collect();
        assert!(!names.contains(&&RecordName::Intensity));
        let mut points = reader.pointcloud_simple(scan).unwrap();
        points.normalize_color(false);
        let points: Vec<_> = points.map(Result::unwrap).collect();
        assert_eq!(points.len(), limit);
        for (point, (position, color, _, _, _)) in points.iter().zip(sample.points()) {
            let CartesianCoordinate::Valid { x, y, z } = point.cartesian else {
                panic!("{:?}", point.cartesian);
            };
            assert_eq!([x, y, z], [position.x, position.y, position.z]);
            let found = point.color.as_ref().unwrap();
            let found = [found.red, found.green, found.blue];
            assert_eq!(found, color.map(f32::from));
        }
    }
}

#[test]
fn its_bounds_are_those_of_its_points() {
    let sample = Sample::new(500);
    let reader = E57Reader::new(Cursor::new(written(&sample))).unwrap();
    let scan = &reader.pointclouds()[0];
    let bounds = scan.cartesian_bounds.as_ref().unwrap();
    let xs = || sample.points().map(|(position, ..)| position.x);
    assert_eq!(bounds.x_min, xs().reduce(f64::min));
    assert_eq!(bounds.x_max, xs().reduce(f64::max));
    let limits = scan.color_limits.as_ref().unwrap();
    let range = [limits.red_min.clone(), limits.red_max.clone()];
    let expected = [0, 255].map(|value| Some(e57::RecordValue::Integer(value)));
    assert_eq!(range, expected);
}

#[test]
fn the_same_result_gives_the_same_bytes() {
    let sample = Sample::new(500);
    assert_eq!(written(&sample), written(&sample));
}

/// A disk that is full after so many bytes.
struct Full {
    file: Cursor<Vec<u8>>,
    size: u64,
}

impl Read for Full {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.file.read(bytes)
    }
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.position() + bytes.len() as u64 > self.size {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => self.file.write(bytes),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Full {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

#[test]
fn a_full_disk_is_told_from_other_errors() {
    let sample = Sample::new(5000);
    let size = written(&sample).len() as u64;
    for size in [0, 1500, size / 2, size - 1] {
        let file = Full {
            file: Cursor::new(Vec::new()),
            size,
        };
        let error = write_e57(&sample.reconstruction(), "a-1", file).unwrap_err();
        let mut next: Option<&(dyn Error + 'static)> = Some(&error);
        let mut kinds = Vec::new();
        while let Some(error) = next {
            kinds.extend(error.downcast_ref().map(io::Error::kind));
            next = error.source();
        }
        assert_eq!(kinds, [io::ErrorKind::StorageFull], "{size}: {error}");
    }
}
