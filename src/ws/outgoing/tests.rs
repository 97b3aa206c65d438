use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pointstream_actors::{
    Deltas, ErrorCode, PointOptions, Progress, Quality, ResultMetadata, Timings, Verdict,
};
use pointstream_reconstruction::cloud::Alignment;
use pointstream_reconstruction::model::Scale;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::super::fragments::FRAGMENT;
use super::*;

/// Puts frames together as a client does, and checks that they are well formed.
fn receive(mut message: Fragments, first: Data) -> Bytes {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut frames: Vec<Frame> = Vec::new();
    while let Some(frame) = runtime.block_on(message.next()).expect("in memory") {
        frames.push(frame);
    }
    let mut bytes = Vec::new();
    for (index, frame) in frames.iter().enumerate() {
        let header = frame.header();
        let opcode = if index == 0 { first } else { Data::Continue };
        assert_eq!(header.opcode, OpCode::Data(opcode));
        assert_eq!(header.is_final, index + 1 == frames.len());
        assert!(frame.payload().len() <= FRAGMENT);
        bytes.extend_from_slice(frame.payload());
    }
    bytes.into()
}

fn form(results: ResultFrames) -> Form {
    Form {
        session_id: SessionId::nil(),
        results,
        prefix: "/a".parse().expect("a path"),
    }
}

fn typed(event: &SessionEvent, results: ResultFrames) -> (SentKind, Fragments) {
    message(event, &form(results))
        .expect("valid")
        .expect("a message")
}

fn outgoing(event: &SessionEvent, results: ResultFrames) -> Fragments {
    typed(event, results).1
}

fn received(event: &SessionEvent) -> Value {
    let (kind, message) = typed(event, ResultFrames::Json);
    let bytes = receive(message, Data::Text);
    let value: Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(value["type"], kind.name());
    value
}

fn answer(glb: Vec<u8>, frames: usize) -> SessionEvent {
    let metadata = ResultMetadata {
        num_frames: frames,
        session_id: SessionId::nil(),
        glb_size_bytes: glb.len(),
        intrinsics: vec![[[1.0, 0.0, 0.5]; 3]; frames],
        distortion: vec![[0.0, 0.0]; frames],
        extrinsics: vec![[[0.0, 1.0, 0.0, 0.25]; 4]; frames],
        world_to_glb: [[1.0; 4]; 4],
        processed_size: [504, 378],
        frames: (0..frames)
            .map(|index| format!("ф{index}.jpg").into())
            .collect(),
        unregistered_frames: Vec::new(),
        still_frames: Vec::new(),
        num_points: 7,
        contradicted_points: None,
        confidence_threshold: 1.05,
        aligned: true,
        known_cameras: false,
        anchors: None,
        alignment: Alignment::Origin,
        scale: Scale::Relative,
        scale_spread: None,
        model: "mvs 1".to_owned(),
        options: PointOptions::default(),
        quality: Quality {
            verdict: Verdict::Good,
            reasons: Vec::new(),
            advice: Vec::new(),
            frames: Vec::new(),
            pieces: 1,
            known_share: 0.5,
            reprojection_error: None,
            parallax_degrees: None,
            focal_uncertainty: None,
            depth_uncertainty: None,
        },
        timings: Timings::default(),
        append: None,
    };
    SessionEvent::Result {
        number: 3,
        answer: Arc::new(Answer {
            number: 1,
            kind: AnswerKind::Delta,
            image_count: 5,
            glb: glb.into(),
            metadata: Arc::new(metadata),
            description: Arc::default(),
        }),
        id: MessageId::new("a\"b").ok(),
        request: 1,
    }
}

#[test]
fn small_messages_have_the_fields_of_the_protocol() {
    let id = SessionId::nil().to_string();
    let cases = [
        (
            SessionEvent::Connected {
                image_count: 0,
                max_images: 100,
                joined: AttachOptions::default(),
            },
            json!({"type": "connected", "session_id": id, "image_count": 0, "max_images": 100}),
        ),
        (
            SessionEvent::Connected {
                image_count: 0,
                max_images: 100,
                joined: AttachOptions::Use {
                    resume: true,
                    deltas: Deltas::Append { since: Some(3) },
                },
            },
            json!({
                "type": "connected", "session_id": id, "image_count": 0, "max_images": 100,
                "deltas": "append",
            }),
        ),
        (
            SessionEvent::Connected {
                image_count: 2,
                max_images: 100,
                joined: AttachOptions::Watch,
            },
            json!({
                "type": "connected", "session_id": id, "image_count": 2, "max_images": 100,
                "watch": true,
            }),
        ),
        (
            SessionEvent::Changed {
                image_count: 2,
                status: SessionStatus::Active,
                number: None,
            },
            json!({
                "type": "changed", "session_id": id, "image_count": 2, "status": "active",
                "number": null,
            }),
        ),
        (
            SessionEvent::Poses {
                poses: Arc::default(),
                id: None,
            },
            json!({"type": "poses", "processed_size": null, "frames": []}),
        ),
        (
            SessionEvent::Acknowledged {
                image_count: 5,
                image_path: "a\"b.png".into(),
                id: None,
            },
            json!({
                "type": "ack", "image_count": 5, "session_id": id, "image_path": "a\"b.png",
            }),
        ),
        (
            SessionEvent::Progress {
                progress: Progress {
                    stage: Stage::Inference,
                    fraction: 0.1,
                    message: "Processing frame 5/10".to_owned(),
                },
                id: MessageId::new("7").ok(),
            },
            json!({
                "type": "progress", "stage": "inference", "progress": 0.1,
                "message": "Processing frame 5/10", "id": "7",
            }),
        ),
        (
            SessionEvent::Error {
                code: ErrorCode::ModelFailed,
                message: "no".to_owned(),
                id: None,
                filename: None,
                request: Some(1),
            },
            json!({"type": "error", "message": "no", "code": "model_failed"}),
        ),
        (
            SessionEvent::Error {
                code: ErrorCode::InvalidImage,
                message: "no".to_owned(),
                id: MessageId::new("7").ok(),
                filename: Some("a.png".to_owned()),
                request: None,
            },
            json!({
                "type": "error", "message": "no", "code": "invalid_image", "id": "7",
                "filename": "a.png",
            }),
        ),
        (
            SessionEvent::ResultToFetch {
                number: 3,
                bytes: 4321,
                id: MessageId::new("7").ok(),
                request: 1,
            },
            json!({
                "type": "error", "code": "result_too_large", "id": "7",
                "message": "The result has 4321 bytes, more than the client took in a message; \
                            fetch it from result_url",
                "result_url": format!("/a/ws/session/{id}/result"),
            }),
        ),
        (
            SessionEvent::Pong,
            json!({"type": "pong", "session_id": id}),
        ),
    ];
    for (event, expected) in cases {
        assert_eq!(received(&event), expected);
    }
}

#[test]
fn the_end_of_a_session_has_no_message() {
    let event = SessionEvent::Closed(pointstream_actors::CloseReason::Deleted);
    assert!(
        message(&event, &form(ResultFrames::Json))
            .expect("valid")
            .is_none()
    );
}

#[test]
fn a_result_of_any_length_is_put_together_again() {
    // Around the borders of a fragment, and every remainder by 3.
    let lengths = (0..4)
        .chain(FRAGMENT / 4 * 3 - 100..FRAGMENT / 4 * 3 + 4)
        .chain([3 * FRAGMENT + 1]);
    for length in lengths {
        let glb: Vec<u8> = (0..length).map(|index| (index * 31 % 251) as u8).collect();
        let value = received(&answer(glb.clone(), 2));
        let encoded = value["glb_base64"].as_str().expect("a string");
        assert_eq!(STANDARD.decode(encoded).expect("base64"), glb, "{length}");
        assert_eq!(value["type"], "delta");
        assert_eq!(value["image_count"], 5);
        assert_eq!(value["number"], 3);
        assert_eq!(value["id"], "a\"b");
        assert_eq!(value["metadata"]["num_frames"], 2);
        assert_eq!(value["metadata"]["extrinsics"][1][3][3], 0.25);
    }
}

#[test]
fn a_binary_result_has_the_same_fields_and_then_the_glb() {
    for length in [0, 1, FRAGMENT, 3 * FRAGMENT + 1] {
        let glb: Vec<u8> = (0..length).map(|index| (index * 31 % 251) as u8).collect();
        let event = answer(glb.clone(), 5000);
        let bytes = receive(outgoing(&event, ResultFrames::Binary), Data::Binary);
        let (header, payload) = binary::split(&bytes, usize::MAX).expect("a header");
        let header: Value = serde_json::from_str(header).expect("JSON");
        assert_eq!(payload, glb, "{length}");
        let mut expected = received(&event);
        expected
            .as_object_mut()
            .and_then(|fields| fields.remove("glb_base64"))
            .expect("a field");
        assert_eq!(header, expected);
    }
}

#[test]
fn only_results_are_binary() {
    let event = SessionEvent::Connected {
        image_count: 1,
        max_images: 2,
        joined: AttachOptions::default(),
    };
    let bytes = receive(outgoing(&event, ResultFrames::Binary), Data::Text);
    let value: Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(value["binary"], true);
    assert_eq!(received(&event).get("binary"), None);
}

#[test]
fn long_metadata_is_cut_into_frames() {
    let value = received(&answer(vec![1; 10], 5000));
    assert_eq!(value["metadata"]["frames"][4999], "ф4999.jpg");
}
