use std::io::Cursor;

use nalgebra::Matrix4;
use pointstream_reconstruction::formats::nerfstudio::write_nerfstudio;
use pointstream_reconstruction::formats::ply::write_ply;
use serde_json::Value;

use crate::sample::{Sample, TOLERANCE, entry};

#[test]
fn nerfstudio_rays_meet_the_points() {
    check(&Sample::new(4000), "PINHOLE");
    check(&Sample::distorted(4000), "OPENCV");
}

fn check(sample: &Sample, camera_model: &str) {
    let file = write_nerfstudio(&sample.reconstruction(), Cursor::new(Vec::new()));
    let file = file.unwrap().into_inner();
    let transforms: Value = serde_json::from_slice(&entry(&file, "transforms.json")).unwrap();
    let mut ply = Vec::new();
    write_ply(&sample.reconstruction(), &mut ply).unwrap();
    assert_eq!(transforms["camera_model"], camera_model);
    assert_eq!(transforms["ply_file_path"], "points.ply");
    assert_eq!(entry(&file, "points.ply"), ply);
    let frames = transforms["frames"].as_array().unwrap();
    assert_eq!(frames.len(), 2);
    assert_eq!(frames[0]["original_name"], "a b.jpg");
    assert_eq!(frames[1]["file_path"], "images/a_b_2.png");
    for (position, _, _, frame, pixel) in sample.points() {
        let frame = &frames[usize::from(frame == 2)];
        let number = |name: &str| frame[name].as_f64().unwrap();
        let rows: Vec<Vec<f64>> =
            serde_json::from_value(frame["transform_matrix"].clone()).unwrap();
        let to_world = Matrix4::from_row_iterator(rows.into_iter().flatten());
        let camera = to_world.try_inverse().unwrap().transform_point(&position);
        // OpenGL: the camera looks along -z, and y goes up.
        assert!(camera.z < 0.0);
        let (mut x, mut y) = (camera.x / -camera.z, -camera.y / -camera.z);
        if camera_model == "OPENCV" {
            let squared = x * x + y * y;
            let factor = 1.0 + squared * (number("k1") + squared * number("k2"));
            (x, y) = (x * factor, y * factor);
            assert_eq!([number("p1"), number("p2")], [0.0, 0.0]);
        } else {
            assert!(frame.get("k1").is_none());
        }
        let x = number("fl_x") * x + number("cx");
        let y = number("fl_y") * y + number("cy");
        for (found, index) in [x, y].into_iter().zip(pixel) {
            assert!(
                (found - (f64::from(index) + 0.5)).abs() < TOLERANCE,
                "{found} {index}"
            );
        }
    }
}
