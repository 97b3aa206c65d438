use futures_util::stream;

use super::*;
use crate::rates::Buckets;

/// Reads a body that is received in pieces of this many bytes: names and contents of images.
pub(super) async fn read(
    body: &[u8],
    piece: usize,
) -> Result<Vec<(Option<String>, Vec<u8>)>, MultipartError> {
    let pieces: Vec<_> = body.chunks(piece).map(Bytes::copy_from_slice).collect();
    let mut body = stream::iter(pieces).map(Ok).boxed();
    let timeout = Duration::from_secs(60);
    let pace = Pace::new(Arc::new(Buckets::unlimited()), None);
    let mut images = Images::new(&mut body, "b".to_owned(), None, timeout, pace);
    let mut waited = Duration::ZERO;
    let mut read = Vec::new();
    while let Some(mut image) = images.next().await? {
        let mut content = Vec::new();
        while let Some(chunk) = image.chunk(0, &mut waited).await? {
            content.extend_from_slice(&chunk);
        }
        read.push((image.name, content));
    }
    Ok(read)
}

#[test]
fn other_content_types_are_refused() {
    let boundary = |text| boundary(Some(&HeaderValue::from_static(text)));
    assert_eq!(
        boundary("multipart/form-data; boundary=\"a b\"").expect("valid"),
        "a b"
    );
    for other in [
        "",
        "image/jpeg",
        "multipart/form-data",
        "multipart/mixed; boundary=b",
    ] {
        let refused = boundary(other).expect_err(other);
        assert!(refused.to_string().contains("multipart/form-data"));
    }
}

pub(super) fn part(head: &str, content: &[u8]) -> Vec<u8> {
    [b"--b\r\n", head.as_bytes(), b"\r\n\r\n", content, b"\r\n"].concat()
}

pub(super) const HEAD: &str = "Content-Disposition: form-data; name=\"images\"";

#[tokio::test]
async fn images_are_read_from_pieces_of_any_size() {
    let content: Vec<u8> = (0..3000).map(|index| (index % 7) as u8 + 10).collect();
    let named = format!("{HEAD}; filename=\"a b.jpg\"\r\nContent-Type: image/jpeg");
    let other = HEAD.replace("images", "file");
    let body = [
        part(&named, &content),
        part(&other, b"\r\n--\r\n--c"),
        b"--b--\r\n".to_vec(),
    ]
    .concat();
    for piece in [1, 3, 100, 10_000] {
        let images = read(&body, piece).await.expect("valid");
        assert_eq!(images.len(), 2, "{piece}");
        assert_eq!(images[0], (Some("a b.jpg".to_owned()), content.clone()));
        assert_eq!(images[1], (None, b"\r\n--\r\n--c".to_vec()));
    }
}

#[tokio::test]
async fn errors_name_their_cause() {
    let refusal = async |body: &[u8]| {
        let read = read(body, 5000).await;
        read.expect_err("should be refused").to_string()
    };
    let field = part(
        "Content-Disposition: form-data; name=\"process_res\"",
        b"504",
    );
    assert!(refusal(&field).await.contains("\"process_res\""));
    let cut = part(HEAD, b"whole");
    assert!(refusal(&cut).await.contains("ended early"));
    let endless_head = format!("--b\r\n{HEAD}; filename=\"{}", "x".repeat(1 << 20));
    assert!(refusal(endless_head.as_bytes()).await.contains("131072"));
    let endless_preamble = vec![b'x'; 1 << 20];
    assert!(refusal(&endless_preamble).await.contains("131072"));
}
