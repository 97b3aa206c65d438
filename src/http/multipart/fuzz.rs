//! Fuzzing of bodies with images.

use pointstream_fuzzing::{Corpus, Unstructured, arbitrary, fuzz, fuzz_values};
use tokio::runtime::Runtime;

use super::tests::{HEAD, part, read};
use super::*;

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().build().expect("a runtime")
}

fn body(parts: &[Vec<u8>]) -> Vec<u8> {
    [&parts.concat()[..], b"--b--\r\n"].concat()
}

#[test]
fn bodies() {
    let named = format!("{HEAD}; filename=\"a b.jpg\"\r\nContent-Type: image/jpeg");
    let other = HEAD.replace("images", "file");
    let corpus = Corpus::of([
        body(&[part(HEAD, b"content")]),
        body(&[part(&named, b"\r\n--\r\n--c"), part(&other, b"")]),
        body(&[]),
        [
            b"preamble\r\n",
            &body(&[part(HEAD, &[0; 300])])[..],
            b"epilogue",
        ]
        .concat(),
    ]);
    let corpus = corpus.with_words([
        "--b",
        "--b--",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "filename=\"",
        "filename*=UTF-8''%ff",
        "name=\"images\"",
        "Content-Disposition: form-data; ",
        "Content-Type: ",
        ";",
        "\"",
        "\\\"",
    ]);
    let runtime = runtime();
    fuzz("multipart bodies", &corpus, |body| {
        let whole = runtime.block_on(read(body, body.len().max(1)));
        match &whole {
            Ok(images) => {
                let bytes: usize = images.iter().map(|(_, content)| content.len()).sum();
                assert!(bytes <= body.len());
            }
            Err(error) => assert!(error.to_string().len() < 5000, "{error}"),
        }
        // However the body is cut, the same comes of it.
        for piece in [1, 7] {
            let again = runtime.block_on(read(body, piece));
            assert_eq!(
                again.ok(),
                whole.as_ref().ok().cloned(),
                "in pieces of {piece}"
            );
        }
    });
}

/// Names that need no quotes, and contents.
fn images(random: &mut Unstructured<'_>) -> arbitrary::Result<Vec<(Option<String>, Vec<u8>)>> {
    let count = random.int_in_range(0..=4)?;
    (0..count)
        .map(|_| {
            let name: Option<String> = random.arbitrary()?;
            let plain = |letter: &char| !letter.is_control() && !"\"\\;/".contains(*letter);
            let name = name.map(|name| name.chars().filter(plain).collect::<String>());
            Ok((name.filter(|name| !name.is_empty()), random.arbitrary()?))
        })
        .collect()
}

#[test]
fn images_arrive_as_they_were_sent() {
    let runtime = runtime();
    fuzz_values("multipart images", images, |images| {
        // A boundary is chosen so that it is in no content.
        if images
            .iter()
            .any(|(_, content)| content.windows(3).any(|bytes| bytes == b"--b"))
        {
            return;
        }
        let parts: Vec<_> = images
            .iter()
            .map(|(name, content)| match name {
                Some(name) => part(&format!("{HEAD}; filename=\"{name}\""), content),
                None => part(HEAD, content),
            })
            .collect();
        let found = runtime.block_on(read(&body(&parts), 5));
        assert_eq!(&found.expect("valid"), images);
    });
}

#[test]
fn content_types() {
    let corpus = Corpus::of([
        "multipart/form-data; boundary=b",
        "multipart/form-data; charset=utf-8; boundary=\"a b\"",
        "multipart/mixed; boundary=b",
        "image/jpeg",
    ]);
    let words = [
        "boundary=",
        ";",
        "\"",
        "=",
        "multipart/form-data",
        " ",
        "\u{e9}",
    ];
    fuzz("content types", &corpus.with_words(words), |input| {
        let value = HeaderValue::from_bytes(input).ok();
        if let Ok(boundary) = boundary(value.as_ref()) {
            assert!(boundary.len() <= input.len());
        }
    });
}
