use std::io::Cursor;

use las::Reader;
use pointstream_reconstruction::formats::las::{Compression, write_las};

use crate::sample::Sample;

#[test]
fn las_and_laz_have_the_points_of_the_scene() {
    for limit in [0, 1, 5000] {
        let sample = Sample::new(limit);
        let files = [Compression::Las, Compression::Laz].map(|compression| {
            let file = Cursor::new(Vec::new());
            let file = write_las(&sample.reconstruction(), compression, file).unwrap();
            file.into_inner()
        });
        if limit == 5000 {
            assert!(files[1].len() * 4 < files[0].len() * 3, "it is compressed");
        }
        for file in files {
            let mut reader = Reader::new(Cursor::new(file)).unwrap();
            let header = reader.header();
            assert_eq!(header.number_of_points(), limit as u64);
            let step = header.transforms().x.scale;
            let software = header.generating_software().to_owned();
            assert!(software.starts_with("pointstream "), "{software}");
            let points = reader.read_all().unwrap();
            let points: Vec<_> = points.points().map(Result::unwrap).collect();
            assert_eq!(points.len(), limit);
            for (point, (position, color, confidence, _, _)) in points.iter().zip(sample.points()) {
                let expected = [position.x, position.y, position.z];
                for (found, expected) in [point.x, point.y, point.z].into_iter().zip(expected) {
                    assert!(
                        (found - expected).abs() <= 0.51 * step,
                        "{found} {expected}"
                    );
                }
                let found = point.color.unwrap();
                let found = [found.red, found.green, found.blue];
                assert_eq!(found, color.map(|value| u16::from(value) * 257));
                assert_eq!(point.extra_bytes, confidence.to_le_bytes());
            }
        }
    }
}
