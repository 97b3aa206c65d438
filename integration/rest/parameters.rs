//! The parameters of a new session.

use serde_json::json;

use super::keys;
use crate::support::server::Server;

fn now() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("the clock is right").as_secs_f64()
}

#[tokio::test]
async fn a_session_is_created_with_the_defaults_of_the_protocol() {
    let server = Server::start(&[]).await;
    let before = now();
    let reply = server.post("/ws/session/create").await;
    assert_eq!(reply.status, 200);
    let content_type = reply.header("content-type").expect("a type");
    assert!(content_type.starts_with("application/json"));
    let created = reply.json();
    assert_eq!(
        keys(&created),
        [
            "config",
            "created_at",
            "max_images",
            "session_id",
            "success"
        ]
    );
    assert_eq!(created["success"], true);
    assert_eq!(created["max_images"], 100);
    assert_eq!(
        created["config"],
        json!({
            "process_res": 504,
            "process_res_method": "upper_bound_resize",
            "conf_thresh_percentile": 10.0,
            "num_max_points": 10_000_000,
            "show_cameras": true,
            "window": 0,
            "finalize_mode": "auto",
            "filter_edges": false,
            "voxel_size": 0.0,
            "filter_black_bg": false,
            "filter_white_bg": false,
            "glb_compression": "none"
        })
    );
    let at = created["created_at"].as_f64().expect("seconds since 1970");
    assert!(before - 1.0 <= at && at <= now() + 1.0);
    assert!(created["session_id"].as_str().expect("text").len() >= 32);
}

#[tokio::test]
async fn a_session_is_created_as_asked() {
    let server = Server::start(&[]).await;
    for method in [
        "upper_bound_resize",
        "upper_bound_crop",
        "lower_bound_resize",
        "lower_bound_crop",
    ] {
        let query = format!(
            "max_images=7&process_res=336&process_res_method={method}\
             &conf_thresh_percentile=42.5&num_max_points=1234&show_cameras=false\
             &window=12&finalize_mode=refine&filter_edges=true&voxel_size=0.25&filter_black_bg=true&filter_white_bg=true\
             &glb_compression=quantized"
        );
        let reply = server.post(&format!("/ws/session/create?{query}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let created = reply.json();
        assert_eq!(created["max_images"], 7);
        assert_eq!(
            created["config"],
            json!({
                "process_res": 336,
                "process_res_method": method,
                "conf_thresh_percentile": 42.5,
                "num_max_points": 1234,
                "show_cameras": false,
                "window": 12,
                "finalize_mode": "refine",
                "filter_edges": true,
                "voxel_size": 0.25,
                "filter_black_bg": true,
                "filter_white_bg": true,
                "glb_compression": "quantized"
            })
        );
        let shown = server
            .info(created["session_id"].as_str().expect("text"))
            .await;
        assert_eq!(shown["config"], created["config"]);
    }
}

#[tokio::test]
async fn parameters_out_of_range_are_named_with_their_range() {
    let server = Server::start(&["--max-images-limit", "50", "--max-points-limit", "2000"]).await;
    // A parameter in the query, and its range in the error.
    let cases = [
        ("max_images=0", ["1", "50"]),
        ("max_images=51", ["1", "50"]),
        ("max_images=-3", ["1", "50"]),
        ("max_images=99999999999999999999", ["1", "50"]),
        ("process_res=13", ["14", "1008"]),
        ("process_res=1009", ["14", "1008"]),
        ("process_res=-14", ["14", "1008"]),
        ("conf_thresh_percentile=-0.1", ["0", "100"]),
        ("conf_thresh_percentile=100.1", ["0", "100"]),
        ("conf_thresh_percentile=NaN", ["0", "100"]),
        ("conf_thresh_percentile=inf", ["0", "100"]),
        ("num_max_points=0", ["1", "2000"]),
        ("num_max_points=2001", ["1", "2000"]),
        ("voxel_size=-0.001", ["0", "1000000"]),
        ("voxel_size=1000001", ["0", "1000000"]),
        ("voxel_size=NaN", ["0", "1000000"]),
        ("voxel_size=inf", ["0", "1000000"]),
    ];
    for (query, range) in cases {
        // Set the other parameters too: their defaults exceed these narrow ranges.
        let others = ["max_images=5", "num_max_points=1000"]
            .into_iter()
            .filter(|other| !query.starts_with(&other[..8]));
        let query = others.chain([query]).collect::<Vec<_>>().join("&");
        let reply = server.post(&format!("/ws/session/create?{query}")).await;
        assert_eq!(reply.status, 422, "{query}: {}", reply.text());
        let detail = reply.detail();
        let parameter = query
            .rsplit('&')
            .next()
            .and_then(|last| last.split('=').next());
        for word in [parameter.expect("a name"), range[0], range[1]] {
            assert!(detail.contains(word), "{word} is missing: {detail}");
        }
    }
    assert_eq!(
        server.get("/ws/sessions").await.json()["sessions"],
        json!([])
    );
}

#[tokio::test]
async fn parameters_that_are_none() {
    let server = Server::start(&[]).await;
    let cases = [
        ("max_images=many", &["max_images"][..]),
        ("max_images=", &["max_images"]),
        ("max_images=2.5", &["max_images"]),
        ("process_res=big", &["process_res"]),
        ("show_cameras=perhaps", &["show_cameras"]),
        ("filter_edges=perhaps", &["filter_edges"]),
        ("filter_black_bg=", &["filter_black_bg"]),
        ("filter_white_bg=2", &["filter_white_bg"]),
        ("voxel_size=small", &["voxel_size"]),
        (
            "glb_compression=gzip",
            &["glb_compression", "none", "quantized", "meshopt"],
        ),
        ("conf_thresh_percentile=low", &["conf_thresh_percentile"]),
        (
            "process_res_method=stretch",
            &[
                "process_res_method",
                "upper_bound_resize",
                "upper_bound_crop",
                "lower_bound_resize",
                "lower_bound_crop",
            ],
        ),
    ];
    for (query, words) in cases {
        let reply = server.post(&format!("/ws/session/create?{query}")).await;
        assert_eq!(reply.status, 422, "{query}: {}", reply.text());
        let detail = reply.detail();
        for word in words {
            assert!(detail.contains(word), "{word} is missing: {detail}");
        }
    }
}
