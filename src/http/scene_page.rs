//! A result as a web page: one file that shows the point cloud without a server.

use std::sync::LazyLock;

use bytes::Bytes;
use pointstream_actors::BlobView;

use super::download::Content;

/// The page before its two blocks of data, between them, and after them.
static PAGE: LazyLock<[&str; 3]> = LazyLock::new(|| {
    let page = include_str!("../../web/dist/scene.html");
    let (before, rest) = page.split_once("/* scene */").unwrap_or((page, ""));
    let (between, after) = rest.split_once("/* glb */").unwrap_or((rest, ""));
    [before, between, after]
});

/// The page of a point cloud. `description` is JSON without `<`, which could end its block.
pub fn content(description: Bytes, glb: BlobView) -> Content {
    let [before, between, after] = PAGE.map(|part| Bytes::from_static(part.as_bytes()));
    Content::Page {
        before: vec![before, description, between],
        file: glb,
        after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_both_blocks_and_readers_share_what_is_in_them() {
        let [before, between, after] = *PAGE;
        assert!(before.ends_with("<script id=\"scene\" type=\"text/plain\">"));
        assert!(between.ends_with("<script id=\"glb\" type=\"text/plain\">"));
        assert!(after.starts_with("</script>"));
        let description = Bytes::from(b"{}".to_vec());
        let Content::Page { before, .. } = content(description.clone(), Bytes::new().into()) else {
            panic!("it is a page");
        };
        assert_eq!(before[1].as_ptr(), description.as_ptr());
    }
}
