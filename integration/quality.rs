//! The verdict on a result: what is wrong with it, wherever a client may look.

use nalgebra::Point3;
use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::glb;
use crate::support::pictures::{black, dim, photo, plain, sized};
use crate::support::rest::{self, FORM, Part, Reply};
use crate::support::scrape::Scrape;
use crate::support::server::Server;
use crate::workflows;

/// The result of these images, in one request.
async fn result(server: &Server, images: &[(&str, Vec<u8>)]) -> (Answer, Value) {
    let mut client = server.client("process_res=56").await;
    assert_eq!(server.info(&client.session).await["quality"], Value::Null);
    for (name, image) in images {
        client.upload(name, image).await;
    }
    client.generate(true).await;
    let answer = client.result("delta").await;
    (answer, server.info(&client.session).await)
}

/// The verdict, the reasons, and each image with whether it is used and its reason.
fn told(answer: &Answer) -> (Value, Value, Vec<(Value, Value, Value)>) {
    let quality = &answer.metadata()["quality"];
    let reasons = quality["reasons"].as_array().expect("a list");
    let advice = quality["advice"].as_array().expect("a list");
    assert_eq!(reasons.len(), advice.len());
    assert!(
        advice
            .iter()
            .all(|advice| advice.as_str().is_some_and(|text| text.len() > 20))
    );
    let frames = quality["frames"].as_array().expect("a list");
    let frame = |frame: &Value| {
        let field = |name: &str| frame[name].clone();
        (field("name"), field("used"), field("reason"))
    };
    (
        quality["verdict"].clone(),
        quality["reasons"].clone(),
        frames.iter().map(frame).collect(),
    )
}

fn entry(name: &str, used: bool, reason: Option<&str>) -> (Value, Value, Value) {
    (json!(name), json!(used), json!(reason))
}

#[tokio::test]
async fn a_result_without_faults_is_good_everywhere() {
    let server = Server::start(&[]).await;
    let images = [("a.png", photo(0)), ("b.png", photo(1))];
    let before = Scrape::of(&server).await;
    let (answer, info) = result(&server, &images).await;
    let expected = vec![entry("a.png", true, None), entry("b.png", true, None)];
    assert_eq!(told(&answer), (json!("good"), json!([]), expected));
    let quality = &answer.metadata()["quality"];
    assert_eq!(quality["pieces"], 1);
    assert!(quality["known_share"].as_f64() > Some(0.3));
    // This model does not say.
    for name in [
        "reprojection_error",
        "parallax_degrees",
        "depth_uncertainty",
    ] {
        assert_eq!(quality[name], Value::Null, "{name}");
    }
    assert_eq!(info["quality"], json!({"verdict": "good", "reasons": []}));
    let after = Scrape::of(&server).await;
    let counted = |verdict| {
        let labels = [("verdict", verdict)];
        let of = |scrape: &Scrape| scrape.value("pointstream_results_total", &labels);
        of(&after) - of(&before)
    };
    assert_eq!(["good", "partial", "failed"].map(counted), [1.0, 0.0, 0.0]);
}

#[tokio::test]
async fn photos_that_are_dark_blurred_or_copies_are_named() {
    let server = Server::start(&[]).await;
    let images = [
        ("a.png", photo(0)),
        ("b.png", photo(1)),
        ("dark.png", black()),
        ("wall.png", plain([120, 130, 140])),
        ("again.png", photo(0)),
    ];
    let (answer, info) = result(&server, &images).await;
    let reasons = json!(["too_dark", "blurred", "duplicates"]);
    let expected = vec![
        entry("a.png", true, None),
        entry("b.png", true, None),
        entry("dark.png", true, Some("too_dark")),
        entry("wall.png", true, Some("blurred")),
        entry("again.png", true, Some("duplicates")),
    ];
    assert_eq!(told(&answer), (json!("partial"), reasons.clone(), expected));
    assert_eq!(
        info["quality"],
        json!({"verdict": "partial", "reasons": reasons})
    );
    // Copies alone take nothing from a result.
    let images = [
        ("a.png", photo(0)),
        ("b.png", photo(1)),
        ("c.png", photo(0)),
    ];
    let (answer, _) = result(&server, &images).await;
    let (verdict, reasons, _) = told(&answer);
    assert_eq!((verdict, reasons), (json!("good"), json!(["duplicates"])));
}

#[tokio::test]
async fn the_models_own_report_reaches_the_client() {
    let server = Server::with_model("reporting", &[]).await;
    let images = [
        ("a.png", photo(0)),
        ("blue.png", plain([0, 0, 200])),
        ("b.png", photo(1)),
    ];
    let (answer, _) = result(&server, &images).await;
    let expected = vec![
        entry("a.png", true, None),
        entry("blue.png", false, Some("rotation_only")),
        entry("b.png", true, None),
    ];
    let (verdict, reasons, frames) = told(&answer);
    assert_eq!((verdict, frames), (json!("partial"), expected));
    assert_eq!(reasons, json!(["rotation_only"]));
    let metadata = answer.metadata();
    assert_eq!(metadata["unregistered_frames"], json!(["blue.png"]));
    let quality = &metadata["quality"];
    assert_eq!(quality["pieces"], 2);
    assert_eq!(quality["reprojection_error"], 0.5);
    assert_eq!(quality["parallax_degrees"], 4.0);
    assert_eq!(quality["depth_uncertainty"], Value::Null);
    let frames = &quality["frames"];
    assert_eq!(frames[0]["observations"], 120);
    assert_eq!(
        (&frames[0]["piece"], &frames[1]["piece"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(frames[1]["known_share"], 0.0);
}

#[tokio::test]
async fn a_report_that_breaks_the_contract_is_an_error() {
    let server = Server::with_model("misreporting", &[]).await;
    let mut client = server.client("process_res=56").await;
    client.upload("a.png", &photo(0)).await;
    client.generate(true).await;
    let (_, error) = client.up_to(&["error"]).await;
    let message = error["message"].as_str().expect("an error has a message");
    assert!(message.contains("contract in report"), "{message}");
}

#[tokio::test]
async fn impossible_depth_is_not_drawn() {
    let server = Server::with_model("stuck", &[]).await;
    let good = [("a.png", photo(0)), ("b.png", photo(1))];
    let (expected, _) = result(&server, &good).await;
    let images = [&good[..], &[("dim.png", dim(0))]].concat();
    let (answer, _) = result(&server, &images).await;
    let (verdict, reasons, frames) = told(&answer);
    assert_eq!(verdict, "partial");
    assert_eq!(reasons, json!(["implausible_geometry"]));
    assert_eq!(
        frames[2],
        entry("dim.png", false, Some("implausible_geometry"))
    );
    assert_eq!(answer.metadata()["unregistered_frames"], json!(["dim.png"]));
    assert_eq!(points(&answer), points(&expected));

    let images = [("a.png", dim(0)), ("b.png", dim(1)), ("c.png", photo(2))];
    let (answer, info) = result(&server, &images).await;
    let (verdict, reasons, _) = told(&answer);
    assert_eq!(
        (verdict, reasons),
        (json!("failed"), json!(["implausible_geometry"]))
    );
    assert_eq!(answer.metadata()["num_points"], 0);
    assert_eq!(points(&answer), []);
    assert_eq!(info["quality"]["verdict"], "failed");
    // The request was answered, but it is no success.
    let totals = server.get("/stats").await.json()["totals"].clone();
    assert_eq!(totals["generations_succeeded"], 2);
    assert_eq!(totals["generations_failed"], 1);
    assert_eq!(totals["errors"], 0);
}

fn points(answer: &Answer) -> Vec<Point3<f32>> {
    glb::read(&answer.glb()).points
}

#[tokio::test]
async fn an_odd_shape_is_set_aside_and_the_others_are_as_without_it() {
    let server = Server::start(&[]).await;
    let photos = [
        ("a.png", photo(0)),
        ("b.png", photo(1)),
        ("c.png", photo(2)),
    ];
    let (expected, _) = result(&server, &photos).await;
    let banner = ("banner.png", sized(1120, 280));
    let images = [&photos[..1], &[banner], &photos[1..]].concat();
    let (answer, _) = result(&server, &images).await;
    assert_eq!(answer.message["image_count"], 4);
    let (verdict, reasons, frames) = told(&answer);
    assert_eq!((verdict, reasons), (json!("partial"), json!(["odd_shape"])));
    assert_eq!(frames[1], entry("banner.png", false, Some("odd_shape")));
    assert_eq!(
        answer.metadata()["quality"]["frames"][1]["known_share"],
        Value::Null
    );
    // What the metadata lists per frame is that of the frames that ran.
    let metadata = answer.metadata();
    assert_eq!(metadata["unregistered_frames"], json!(["banner.png"]));
    for name in [
        "num_frames",
        "frames",
        "intrinsics",
        "extrinsics",
        "processed_size",
        "num_points",
        "confidence_threshold",
    ] {
        assert_eq!(metadata[name], expected.metadata()[name], "{name}");
    }
    assert_eq!(metadata["num_frames"], 3);
    assert_eq!(points(&answer), points(&expected));
    // Where the banner comes last, the frames have the same numbers, too.
    let images = [&images[..1], &images[2..], &images[1..2]].concat();
    let (answer, _) = result(&server, &images).await;
    assert!(answer.glb() == expected.glb(), "the GLB must be the same");
}

async fn reconstruct(server: &Server, query: &str, parts: &[Part<'_>]) -> Reply {
    let url = format!("{}/reconstruct?{query}", server.base());
    rest::request_with("POST", &url, &[("content-type", FORM)], rest::form(parts)).await
}

#[tokio::test]
async fn headers_tell_the_verdict_on_a_file() {
    let server = Server::start(&[]).await;
    let [first, second] = [photo(0), photo(1)];
    let parts: &[Part<'_>] = &[("images", None, &first), ("images", None, &second)];
    let reply = reconstruct(&server, "process_res=56&format=ply", parts).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("x-quality"), Some("good"));
    assert_eq!(reply.header("x-quality-reasons"), None);
    assert_eq!(reply.header("x-quality-advice"), None);
    let night = black();
    let parts: &[Part<'_>] = &[
        ("images", None, &first),
        ("images", None, &night),
        ("images", None, &night),
    ];
    let reply = reconstruct(&server, "process_res=56&format=json", parts).await;
    assert_eq!(reply.header("x-quality"), Some("partial"));
    assert_eq!(
        reply.header("x-quality-reasons"),
        Some("too_dark, duplicates")
    );
    let quality = &reply.json()["metadata"]["quality"];
    assert_eq!(quality["verdict"], "partial");
    let advice = quality["advice"].as_array().expect("a list").iter();
    let advice: Vec<&str> = advice.map(|one| one.as_str().expect("text")).collect();
    assert_eq!(advice.len(), 2);
    assert_eq!(
        reply.header("x-quality-advice"),
        Some(advice.join("; ").as_str())
    );
}

#[tokio::test]
async fn photos_of_nothing_fail_with_the_embedded_model() {
    let server = workflows::start().await;
    let [first, second] = [[100, 110, 120], [101, 110, 120]].map(plain);
    let parts: &[Part<'_>] = &[("images", None, &first), ("images", None, &second)];
    let reply = reconstruct(&server, "process_res=112&format=json", parts).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("x-quality"), Some("failed"));
    let metadata = &reply.json()["metadata"];
    assert_eq!(metadata["num_points"], 0);
    assert_eq!(metadata["quality"]["verdict"], "failed");
    let reasons = metadata["quality"]["reasons"].as_array().expect("a list");
    assert!(reasons.contains(&json!("blurred")), "{reasons:?}");

    // One photo is too few for this model.
    let only = photo(0);
    let reply = reconstruct(
        &server,
        "process_res=112&format=json",
        &[("images", None, &only)],
    )
    .await;
    let metadata = &reply.json()["metadata"];
    assert_eq!(metadata["quality"]["verdict"], "failed");
    let reasons = metadata["quality"]["reasons"].as_array().expect("a list");
    assert!(reasons.contains(&json!("too_few_images")), "{reasons:?}");
}

#[tokio::test]
async fn filters_that_remove_everything_are_blamed() {
    let server = Server::start(&[]).await;
    let mut client = server.client("process_res=56&filter_black_bg=true").await;
    client.upload("a.png", &black()).await;
    client.generate(true).await;
    let answer = client.result("delta").await;
    let (verdict, reasons, _) = told(&answer);
    assert_eq!(verdict, "failed");
    let reasons = reasons.as_array().expect("a list").clone();
    assert!(reasons.contains(&json!("all_filtered")), "{reasons:?}");
}
