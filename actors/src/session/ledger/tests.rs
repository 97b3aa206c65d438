mod journal;

use std::sync::{Arc, LazyLock};
use std::time::UNIX_EPOCH;

use nalgebra::{Isometry3, Matrix3, Similarity3, Vector3};
use pointstream_reconstruction::anchors::KnownWorld;
use pointstream_reconstruction::cloud::{Alignment, SceneFrame, build_scene};
use pointstream_reconstruction::formats::Cameras;
use pointstream_reconstruction::geometry::{Distortion, FrameSize, Region};
use pointstream_reconstruction::image::{CameraTags, ImageStatistics};
use pointstream_reconstruction::map::{
    ChunkNode, Corrections, FirstChunk, FrameCorrection, NextChunk, PieceJoin, WorldChange,
};
use pointstream_reconstruction::model::{CameraDeviations, CameraHint, KnownCamera, Scale};
use pointstream_reconstruction::prediction::{Camera, Prediction};
use pointstream_reconstruction::quality::{Assessment, Quality, RequestImage, Verdict};

use super::*;
use crate::answer::{AnswerKind, ResultMetadata, Timings};
use crate::blobs::{BlobKey, BlobName};
use crate::jobs::JobFrame;
use crate::session::requests::RequestKind;
use crate::session_config::PointOptions;

const SIZE: FrameSize = FrameSize::new(28, 14);

fn ledger() -> Ledger {
    let config = SessionConfig {
        max_images: 2,
        ..SessionConfig::default()
    };
    Ledger::new(NewSession {
        session: SessionId::nil(),
        place: 0,
        created_at: UNIX_EPOCH,
        config,
        creator: None,
        webhook: None,
    })
}

fn hint() -> CameraHint {
    let tags = CameraTags {
        focal_length_35mm: Some(28.0),
        ..CameraTags::default()
    };
    CameraHint::of_photo(&tags, SIZE)
}

pub(in crate::session) fn image(number: u64) -> Record {
    let camera = KnownCamera {
        intrinsics: Matrix3::new(30.0, 0.0, 13.5, 0.0, 30.0, 6.5, 0.0, 0.0, 1.0),
        extrinsics: Isometry3::translation(0.1, 0.2, 1.0 / 3.0).to_homogeneous(),
        deviations: CameraDeviations {
            position: Some(0.02),
            rotation: None,
        },
    };
    Record::ImageStored(Box::new(Image {
        number,
        name: format!("photo {number}").into(),
        id: MessageId::new("mine").ok(),
        bytes: 1000 + number,
        size: SIZE,
        has_hidden: number == 2,
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
        links: None,
    }
}

static PHOTO: LazyLock<Arc<str>> = LazyLock::new(|| "photo".into());

fn frame(id: u64, image: &image::RgbImage) -> SceneFrame<'_> {
    SceneFrame {
        id,
        name: &PHOTO,
        image,
        region: Region::WHOLE,
    }
}

/// The chunk that begins a map, with two frames from this number on.
pub(in crate::session) fn first_chunk(number: u64) -> (FirstChunk, Record) {
    let picture = picture();
    let frames = [frame(number, &picture), frame(number + 1, &picture)];
    let options = SessionConfig::default().cloud_options();
    let made = FirstChunk::make(&mut prediction(&[0.0, 0.3]), &frames, None, &options);
    let (chunk, _, world) = made.expect("a chunk");
    let record = Record::ChunkStored(Box::new(StoredChunk {
        file: Uuid::from_u128(number.into()),
        run: vec![number, number + 1],
        comes_back: false,
        content: ChunkContent::First {
            chunk: chunk.clone(),
            world: Arc::new(world),
        },
    }));
    (chunk, record)
}

/// A later chunk with one frame.
pub(in crate::session) fn next_chunk(first: &FirstChunk, number: u64) -> Record {
    let picture = picture();
    let frames = [frame(number, &picture)];
    let options = SessionConfig::default().cloud_options();
    let to_glb = &first.world_to_glb;
    let made = NextChunk::make(&mut prediction(&[0.5]), &frames, to_glb, 1, &options);
    let (chunk, _) = made.expect("a chunk");
    Record::ChunkStored(Box::new(StoredChunk {
        file: Uuid::from_u128(number.into()),
        run: vec![number],
        comes_back: false,
        content: ChunkContent::Next(chunk),
    }))
}

/// A result of a slope that one camera sees.
pub(in crate::session) fn result(number: u64, completes: bool) -> Record {
    let mut prediction = prediction(&[0.0]);
    let picture = picture();
    let frame = SceneFrame {
        name: &"photo 1".into(),
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
        request: number,
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
                has_hidden: false,
                camera: None,
                hint: hint(),
                placed: None,
            }],
            size: SIZE,
            source: ResultSource::Arrays,
            as_of: 1,
            has_contradicted: false,
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
        frames: vec!["photo 1".into()],
        unregistered_frames: Vec::new(),
        still_frames: Vec::new(),
        num_points: 100,
        contradicted_points: None,
        confidence_threshold: 1.05,
        aligned: true,
        alignment: alignment.clone(),
        known_cameras: false,
        anchors: None,
        scale: Scale::Relative,
        scale_spread: None,
        model: "fake 1".to_owned(),
        options: PointOptions::default(),
        quality,
        timings: Timings::default(),
        append: None,
    }
}

pub(in crate::session) fn failed() -> Record {
    Record::RequestFailed {
        request: 9,
        number: None,
        code: ErrorCode::OutOfMemory,
        error: "Out of memory".to_owned(),
    }
}

/// The records as a journal gives them back.
fn read_back(records: &[Record]) -> Vec<Record> {
    let read = records.iter().map(|record| {
        let bytes = rmp_serde::to_vec_named(record).expect("it can be stored");
        rmp_serde::from_slice(&bytes).expect("it can be read")
    });
    read.collect()
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
    assert_eq!(replay(&read_back(&records)), ledger);
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

    assert_eq!(replay(&read_back(&records)), ledger);
}

#[test]
fn a_larger_piece_of_the_map_gives_the_session_its_coordinates() {
    let (_, begin) = first_chunk(1);
    let (piece, record) = first_chunk(3);
    let Record::ChunkStored(stored) = record else {
        unreachable!("it is one")
    };
    let ChunkContent::First { world, .. } = stored.content else {
        unreachable!("it begins a map")
    };
    let piece_record = Record::ChunkStored(Box::new(StoredChunk {
        file: stored.file,
        content: ChunkContent::Piece {
            chunk: piece.clone(),
            world: world.clone(),
        },
        run: stored.run,
        comes_back: false,
    }));
    let Record::ChunkStored(mut next) = next_chunk(&piece, 5) else {
        unreachable!("it is one")
    };
    if let ChunkContent::Next(chunk) = &mut next.content {
        chunk.piece = 1;
    }
    let join = Record::PiecesJoined(PieceJoin {
        from: 0,
        to: 1,
        similarity: piece.world_to_glb,
        link: None,
    });
    let records = [begin, piece_record, Record::ChunkStored(next), join];
    let ledger = replay(&records[..2]);
    assert_ne!(ledger.world(), Some(&world), "both have two frames");
    let ledger = replay(&records[..3]);
    assert_eq!(ledger.world(), Some(&world));
    let map = &ledger.map().expect("a map").map;
    assert_eq!(
        map.placed().map(|(number, _)| number).collect::<Vec<_>>(),
        [3, 4, 5]
    );
    assert_eq!(map.missed().next(), None, "the others are only apart");
    let ledger = replay(&records);
    assert_eq!(ledger.map().expect("a map").map.placed().count(), 5);

    assert_eq!(replay(&read_back(&records)), ledger);
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

/// A correction of the second frame of a map, by one unit of length to the left.
pub(in crate::session) fn correction(begins: &Record) -> Record {
    let ledger = replay(std::slice::from_ref(begins));
    let map = &ledger.map().expect("a map").map;
    let mut camera = map.camera(2).expect("it is placed");
    camera.extrinsics[(0, 3)] += 1.0;
    let mut corrections = Corrections::default();
    let correction = FrameCorrection::new(&camera, 1.5).expect("it is possible");
    corrections.insert(2, correction);
    Record::MapCorrected(corrections)
}

/// A chunk whose window had a world of its own, which joins pieces and moves chunks.
pub(in crate::session) fn joined(first: &FirstChunk, number: u64) -> Record {
    let Record::ChunkStored(mut stored) = next_chunk(first, number) else {
        unreachable!("it is one")
    };
    if let ChunkContent::Next(chunk) = &mut stored.content {
        let similarity = first.world_to_glb;
        chunk.still = 1;
        chunk.moves = vec![(0, similarity), (1, similarity)];
        chunk.joins = vec![PieceJoin {
            from: 1,
            to: 0,
            similarity,
            link: None,
        }];
        chunk.node = Some(ChunkNode {
            similarity,
            edges: Vec::new(),
        });
    }
    Record::ChunkStored(stored)
}

#[test]
fn a_correction_moves_the_frames_of_the_map() {
    let (_, record) = first_chunk(1);
    let before = replay(std::slice::from_ref(&record));
    let before = &before.map().expect("a map").map;
    let mut camera = before.camera(2).expect("it is placed");
    camera.extrinsics[(0, 3)] += 1.0;
    let correction = correction(&record);
    let records = [record, correction];
    let corrected = replay(&records);
    let moved = &corrected.map().expect("a map").map;
    let frame = moved.frame(2).expect("it is there");
    assert_eq!(frame.depth_factor, 1.5);
    let moved = moved.camera(2).expect("it is placed").extrinsics;
    assert!((moved - camera.extrinsics).amax() < 1e-9);

    assert_eq!(replay(&read_back(&records)), corrected);
}

/// Known cameras give the piece of a map another world.
pub(in crate::session) fn world_change(piece: usize) -> Record {
    Record::WorldChanged(WorldChange {
        piece,
        similarity: Similarity3::new(Vector3::new(1.0, 2.0, 3.0), Vector3::y(), 4.0),
        known: KnownWorld {
            unit: 1.0,
            model_unit: 4.0,
        },
    })
}

#[test]
fn another_world_of_the_map_moves_no_points() {
    let (_, record) = first_chunk(1);
    let before = replay(std::slice::from_ref(&record));
    let records = [record, world_change(0)];
    let ledger = replay(&records);
    assert!(before.fits(&records[1]));
    assert!(!before.fits(&world_change(1)), "there is no such piece");
    let [before, after] = [&before, &ledger].map(|ledger| &ledger.map().expect("a map").map);
    assert_eq!(after.model_unit(0), 4.0);
    assert!(after.has_known_world() && !before.has_known_world());
    for (number, frame) in before.placed() {
        let same = after.frame(number).expect("it is there");
        assert_eq!(same.depth_factor, 4.0 * frame.depth_factor);
        assert_eq!(same.camera.pose, frame.camera.pose, "to the bit");
        let points = [before.points_to_glb(frame), after.points_to_glb(same)];
        let [old, new] = points.map(|points| *points.expect("it is placed").matrix());
        assert!((new - old).amax() < 1e-9, "{old} {new}");
        let moved = after.camera(number).expect("it is placed").extrinsics;
        assert!((moved - frame.camera.extrinsics).amax() > 0.1);
    }
    assert_eq!(replay(&read_back(&records)), ledger);
}

#[test]
fn a_result_of_a_map_keeps_the_coordinates() {
    let (_, record) = first_chunk(1);
    let Record::ResultStored { result, .. } = result(1, false) else {
        unreachable!("it is one")
    };
    let chunk_frame = ChunkFrame {
        file: Uuid::from_u128(1),
        row: 1,
        depth_factor: 0.9,
    };
    let of_map = Record::ResultStored {
        request: 1,
        result: Arc::new(ResultRecord {
            source: ResultSource::Chunks(vec![Some(chunk_frame), None]),
            has_contradicted: true,
            ..(*result).clone()
        }),
        world: None,
        completes: false,
    };
    let records = [record.clone(), of_map];
    let ledger = replay(&records);
    assert_eq!(ledger.world(), replay(&[record]).world());
    assert_eq!(replay(&read_back(&records)), ledger);
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

pub(in crate::session) fn made(key: RequestKey, text: &str) -> Record {
    Record::RequestMade(RequestRecord {
        key,
        id: MessageId::new(text).ok(),
        kind: RequestKind::Generate { incremental: true },
        before: 2,
    })
}

#[test]
fn a_request_waits_until_it_is_answered_and_its_answer_until_it_is_delivered() {
    let mut ledger = replay(&[image(1), made(1, "one"), made(2, "two"), made(3, "three")]);
    assert_eq!(ledger.next_key(), 4);
    ledger.apply(result(1, false));
    let Record::RequestFailed { code, error, .. } = failed() else {
        unreachable!("it is one")
    };
    // The last one does not wait for its turn.
    ledger.apply(Record::RequestFailed {
        request: 3,
        number: None,
        code,
        error,
    });
    let waiting: Vec<_> = ledger
        .requests()
        .iter()
        .map(|request| request.key)
        .collect();
    assert_eq!(waiting, [2]);
    let owed = |ledger: &Ledger| -> Vec<(RequestKey, String)> {
        let owed = ledger.owed().iter();
        owed.map(|owed| {
            (
                owed.request,
                owed.id.as_ref().map_or("", |id| id.as_str()).to_owned(),
            )
        })
        .collect()
    };
    assert_eq!(
        owed(&ledger),
        [(1, "one".to_owned()), (3, "three".to_owned())]
    );
    let glb = BlobName::Result(1, ResultFormat::Glb);
    assert!(ledger.files().contains(&glb));
    ledger.apply(result(2, false));
    assert!(ledger.files().contains(&glb), "it is owed");
    ledger.apply(Record::AnswerDelivered { request: 1 });
    assert!(!ledger.files().contains(&glb));
    assert_eq!(owed(&ledger)[0], (3, "three".to_owned()));
    assert_eq!(ledger.next_request(), 3);
}

#[test]
fn records_of_the_session_read_back() {
    let records = [
        image(1),
        Record::SessionKept,
        Record::SessionRestored,
        Record::SessionUsed { at: UNIX_EPOCH },
        made(1, "one"),
        failed(),
        Record::AnswerDelivered { request: 9 },
    ];
    assert_eq!(read_back(&records), records);
    let ledger = replay(&records);
    assert!(ledger.is_kept());
    assert_eq!((ledger.restored(), ledger.map_changes()), (1, 0));
}

#[test]
fn a_key_that_no_count_reaches_contradicts() {
    let with_key = |key| {
        let mut record = failed();
        if let Record::RequestFailed { request, .. } = &mut record {
            *request = key;
        }
        record
    };
    let ledger = ledger();
    assert!(ledger.fits(&with_key(i64::MAX as u64)));
    assert!(!ledger.fits(&with_key(i64::MAX as u64 + 1)));
}
