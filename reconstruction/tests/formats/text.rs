use pointstream_reconstruction::formats::text::{Columns, write_text};

use crate::sample::Sample;

/// The numbers of each line.
fn lines(text: &str, separator: &str) -> Vec<Vec<f64>> {
    let numbers = |line: &str| {
        let numbers = line.split(separator).map(|number| number.parse());
        numbers.collect::<Result<_, _>>().unwrap()
    };
    text.lines().map(numbers).collect()
}

#[test]
fn text_has_the_points_of_the_scene() {
    for limit in [0, 1, 2000] {
        let sample = Sample::new(limit);
        let write = |columns| {
            let mut file = Vec::new();
            write_text(&sample.reconstruction(), columns, &mut file).unwrap();
            String::from_utf8(file).unwrap()
        };
        let (xyz, csv) = (write(Columns::Xyz), write(Columns::Csv));
        let (header, csv) = csv.split_once("\r\n").unwrap();
        assert_eq!(header, "x,y,z,red,green,blue,confidence");
        assert!(csv.is_empty() || csv.ends_with("\r\n"));
        let (xyz, csv) = (lines(&xyz, " "), lines(csv, ","));
        assert_eq!((xyz.len(), csv.len()), (limit, limit));
        for (number, (_, color, confidence, _, _)) in sample.points().enumerate() {
            let mut expected: Vec<_> = sample.scene.points[number].map(f64::from).into();
            // The shortest digits of a float give the same float.
            let close = |found: &[f64], expected: &[f64]| {
                let floats = |numbers: &[f64]| numbers.iter().map(|one| *one as f32).collect();
                let (found, expected): (Vec<_>, Vec<_>) = (floats(found), floats(expected));
                assert_eq!(found, expected);
            };
            expected.extend(color.map(f64::from));
            close(&xyz[number], &expected);
            expected.push(f64::from(confidence));
            close(&csv[number], &expected);
        }
    }
}
