use pointstream_reconstruction::formats::ply::{size_bound, write_ply};

use crate::sample::{Numbers, Sample};

#[test]
fn ply_has_the_points_of_the_scene() {
    let samples = [0, 1, 5000].map(|limit| (limit, Sample::new(limit)));
    for (limit, sample) in samples.into_iter().chain([(700, Sample::distorted(700))]) {
        let mut file = Vec::new();
        write_ply(&sample.reconstruction(), &mut file).unwrap();
        assert!(file.len() as u64 <= size_bound(&sample.reconstruction()));
        let end = b"end_header\n";
        let header = file.windows(end.len()).position(|part| part == end);
        let (header, vertices) = file.split_at(header.unwrap() + end.len());
        let header = std::str::from_utf8(header).unwrap();
        assert!(header.starts_with("ply\nformat binary_little_endian 1.0\n"));
        assert!(header.contains(&format!("element vertex {limit}\n")));
        let mut numbers = Numbers(vertices);
        for (number, (_, color, confidence, _, _)) in sample.points().enumerate() {
            let position = [0; 3].map(|_| numbers.f32());
            assert_eq!(position, sample.scene.points[number]);
            assert_eq!(numbers.take(), color);
            assert_eq!(numbers.f32(), confidence);
        }
        assert!(numbers.0.is_empty());
    }
}
