use std::time::UNIX_EPOCH;

use nalgebra::{Isometry3, Matrix3};
use pointstream_reconstruction::cloud::{Alignment, SceneFrame, build_scene};
use pointstream_reconstruction::geometry::{Distortion, Region};
use pointstream_reconstruction::image::CameraTags;
use pointstream_reconstruction::model::Scale;
use pointstream_reconstruction::prediction::{Camera, Prediction};
use pointstream_reconstruction::quality::{Assessment, Quality, RequestImage, Verdict};

use super::*;
use crate::answer::Timings;
use crate::blobs::{BlobKey, BlobName};
use crate::session_config::PointOptions;

const SIZE: FrameSize = FrameSize::new(28, 14);

fn ledger() -> Ledger {
    let config = SessionConfig {
        max_images: 2,
        ..SessionConfig::default()
    };
    Ledger::new(SessionId::nil(), UNIX_EPOCH, config)
}

fn hint() -> CameraHint {
    let tags = CameraTags {
        focal_length_35mm: Some(28.0),
        ..CameraTags::default()
    };
    CameraHint::of_photo(&tags, SIZE)
}

fn image(number: u64) -> Record {
    let camera = KnownCamera {
        intrinsics: Matrix3::new(30.0, 0.0, 13.5, 0.0, 30.0, 6.5, 0.0, 0.0, 1.0),
        extrinsics: Isometry3::translation(0.1, 0.2, 1.0 / 3.0).to_homogeneous(),
    };
    Record::ImageStored(Box::new(Image {
        number,
        name: format!("photo {number}"),
        id: MessageId::new("mine").ok(),
        bytes: 1000 + number,
        size: SIZE,
        camera: (number == 1).then_some(camera),
        statistics: ImageStatistics::of(&picture()),
        hint: hint(),
    }))
}

fn picture() -> image::RgbImage {
    image::RgbImage::from_fn(SIZE.width, SIZE.height, |x, y| {
        image::Rgb([(7 * x + 90 * (y % 2)) as u8; 3])
    })
}

/// The prediction of a slope that a camera sees from these places.
fn prediction(places: &[f64]) -> Prediction {
    let pixels = SIZE.width as usize * SIZE.height as usize * places.len();
    let camera = |place: &f64| Camera {
        extrinsics: Isometry3::translation(-place, 0.0, 0.0).to_homogeneous(),
        intrinsics: Matrix3::new(30.0, 0.0, 13.5, 0.0, 30.0, 6.5, 0.0, 0.0, 1.0),
        distortion: Distortion {
            k1: -0.1,
            k2: 1.0 / 3.0,
        },
        registered: true,
    };
    Prediction {
        size: SIZE,
        cameras: places.iter().map(camera).collect(),
        depth: (0..pixels).map(|index| 2.0 + index as f32 / 7.0).collect(),
        confidence: vec![5.0; pixels],
        report: None,
    }
}

fn frame(id: u64, image: &image::RgbImage) -> SceneFrame<'_> {
    SceneFrame {
        id,
        name: "photo",
        image,
        region: Region::WHOLE,
    }
}

/// The chunk that begins a map, with two frames from this number on.
fn first_chunk(number: u64) -> (FirstChunk, Record) {
    let picture = picture();
    let frames = [frame(number, &picture), frame(number + 1, &picture)];
    let options = SessionConfig::default().cloud_options();
    let made = FirstChunk::make(&mut prediction(&[0.0, 0.3]), &frames, None, &options);
    let (chunk, _, world) = made.expect("a chunk");
    let record = Record::ChunkStored(Box::new(StoredChunk {
        file: Uuid::from_u128(number.into()),
        content: ChunkContent::First {
            chunk: chunk.clone(),
            world: Arc::new(world),
        },
    }));
    (chunk, record)
}

/// A later chunk with one frame.
fn next_chunk(first: &FirstChunk, number: u64) -> Record {
    let picture = picture();
    let frames = [frame(number, &picture)];
    let options = SessionConfig::default().cloud_options();
    let to_glb = &first.world_to_glb;
    let made = NextChunk::make(&mut prediction(&[0.5]), &frames, to_glb, 1, &options);
    let (chunk, _) = made.expect("a chunk");
    Record::ChunkStored(Box::new(StoredChunk {
        file: Uuid::from_u128(number.into()),
        content: ChunkContent::Next(chunk),
    }))
}

/// A result of a slope that one camera sees.
fn result(number: u64, completes: bool) -> Record {
    let mut prediction = prediction(&[0.0]);
    let picture = picture();
    let frame = SceneFrame {
        name: "photo 1",
        ..frame(1, &picture)
    };
    let options = SessionConfig::default().cloud_options();
    let assessment = Assessment::begin(&mut prediction);
    let request = RequestImage {
        name: frame.name,
        statistics: ImageStatistics::of(&picture),
        frame: Some(0),
    };
    let (scene, world) = build_scene(&prediction, &[frame], None, &options).expect("a scene");
    let key = BlobKey {
        session: SessionId::nil(),
        name: BlobName::Prepared(1),
    };
    Record::ResultStored {
        result: Arc::new(ResultRecord {
            number,
            kind: AnswerKind::Delta,
            image_count: 1,
            metadata: Arc::new(metadata(
                &scene.alignment,
                assessment.finish(&[request], scene.points.len()),
            )),
            cameras: Cameras::of(&scene),
            frames: vec![JobFrame {
                blob: key,
                size: SIZE,
                camera: None,
                hint: hint(),
                placed: None,
            }],
            size: SIZE,
            source: ResultSource::Arrays,
        }),
        world: Some(Arc::new(world)),
        completes,
    }
}

fn metadata(alignment: &Alignment, quality: Quality) -> ResultMetadata {
    ResultMetadata {
        num_frames: 1,
        session_id: SessionId::nil(),
        glb_size_bytes: 1234,
        intrinsics: vec![[[0.1; 3]; 3]],
        distortion: vec![[-0.1, 1.0 / 3.0]],
        extrinsics: vec![[[1.0 / 3.0; 4]; 4]],
        world_to_glb: [[0.7; 4]; 4],
        processed_size: [28, 14],
        frames: vec!["photo 1".to_owned()],
        unregistered_frames: Vec::new(),
        num_points: 100,
        confidence_threshold: 1.05,
        aligned: true,
        alignment: alignment.clone(),
        known_cameras: false,
        scale: Scale::Relative,
        model: "fake 1".to_owned(),
        options: PointOptions::default(),
        quality,
        timings: Timings::default(),
    }
}

fn failed() -> Record {
    Record::RequestFailed {
        error: "Out of memory".to_owned(),
    }
}

fn replay(records: &[Record]) -> Ledger {
    let mut ledger = ledger();
    for record in records {
        ledger.apply(record.clone());
    }
    ledger
}

#[test]
fn the_same_records_give_the_same_ledger() {
    let records = [image(1), result(1, false), failed(), image(3)];
    let ledger = replay(&records);
    assert_eq!(replay(&records), ledger);
    let stored = serde_json::to_string(&ledger).expect("JSON");
    let read: Ledger = serde_json::from_str(&stored).expect("a ledger");
    assert_eq!(read, ledger);
    let stored = serde_json::to_string(&records).expect("JSON");
    let read: Vec<Record> = serde_json::from_str(&stored).expect("records");
    assert_eq!(replay(&read), ledger);
}

#[test]
fn chunks_make_a_map_that_can_be_stored_and_replayed() {
    let (first, record) = first_chunk(1);
    let records = [image(1), image(2), record, image(3), next_chunk(&first, 3)];
    let ledger = replay(&records);
    let stored = ledger.map().expect("a map");
    assert_eq!(stored.files, [1, 3].map(Uuid::from_u128));
    assert_eq!(stored.map.chunks().len(), 2);
    let placed: Vec<u64> = stored.map.placed().map(|(number, _)| number).collect();
    assert_eq!(placed, [1, 2, 3]);
    assert!(
        ledger.world().is_some(),
        "the first chunk fixes the coordinates"
    );
    // The map is no result.
    assert_eq!(ledger.next_request(), 1);

    let text = serde_json::to_string(&ledger).expect("JSON");
    let read: Ledger = serde_json::from_str(&text).expect("a ledger");
    assert_eq!(read, ledger);
    let text = serde_json::to_string(&records).expect("JSON");
    let read: Vec<Record> = serde_json::from_str(&text).expect("records");
    assert_eq!(replay(&read), ledger);
}

#[test]
fn a_map_that_begins_anew_has_only_the_new_files() {
    let (_, old) = first_chunk(1);
    let (first, new) = first_chunk(3);
    let ledger = replay(&[old, new, next_chunk(&first, 5)]);
    let stored = ledger.map().expect("a map");
    assert_eq!(stored.files, [3, 5].map(Uuid::from_u128));
    let missed: Vec<u64> = stored.map.missed().collect();
    assert_eq!(missed, [1, 2]);
}

#[test]
fn a_result_of_a_map_keeps_the_coordinates() {
    let (_, record) = first_chunk(1);
    let Record::ResultStored { result, .. } = result(1, false) else {
        unreachable!("it is one")
    };
    let of_map = Record::ResultStored {
        result: Arc::new(ResultRecord {
            source: ResultSource::Chunks(vec![Some((Uuid::from_u128(1), 1)), None]),
            ..(*result).clone()
        }),
        world: None,
        completes: false,
    };
    let ledger = replay(&[record.clone(), of_map]);
    assert_eq!(ledger.world(), replay(&[record]).world());
    let text = serde_json::to_string(&ledger).expect("JSON");
    let read: Ledger = serde_json::from_str(&text).expect("a ledger");
    assert_eq!(read, ledger);
}

#[test]
fn images_are_counted_and_numbered() {
    let mut ledger = ledger();
    assert_eq!((ledger.next_upload(), ledger.image_count()), (1, 0));
    ledger.apply(image(1));
    assert!(!ledger.is_full());
    // Number 2 was refused.
    ledger.apply(image(3));
    assert!(ledger.is_full());
    assert_eq!((ledger.next_upload(), ledger.image_count()), (4, 2));
    assert_eq!(ledger.image_bytes(), 2004);
}

#[test]
fn an_error_lasts_until_a_request_succeeds() {
    let mut ledger = ledger();
    ledger.apply(image(1));
    ledger.apply(failed());
    assert_eq!(ledger.error(), Some("Out of memory"));
    ledger.apply(result(2, false));
    assert_eq!(ledger.error(), None);
    assert!(!ledger.is_completed());
    assert_eq!(ledger.next_request(), 3);
    assert!(ledger.world().is_some());
    let quality = ledger.quality().expect("a result");
    assert_eq!(quality.verdict, Verdict::Good);
}

#[test]
fn the_final_result_completes_the_session_for_good() {
    let ledger = replay(&[image(1), result(1, true), failed()]);
    assert!(ledger.is_completed());
}
