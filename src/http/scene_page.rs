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

/// The page of a point cloud, with the metadata of its result as JSON.
pub fn content(metadata: &str, glb: BlobView) -> Content {
    let [before, between, after] = *PAGE;
    // A name with "</script" would end the block.
    let metadata = metadata.replace('<', "\\u003c");
    Content::Page {
        before: [before, &metadata, between].concat().into(),
        file: glb,
        after: Bytes::from_static(after.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_both_blocks_and_names_do_not_end_them() {
        assert!(
            PAGE.iter()
                .all(|part| part.contains("<script") || part.contains("</script>"))
        );
        let names = r#"{"frames":["</script><script>alert(1)</script>"]}"#;
        let Content::Page { before, .. } = content(names, Bytes::new().into()) else {
            panic!("it is a page");
        };
        let text = String::from_utf8(before.into()).expect("text");
        assert!(!text.contains("alert(1)</script>") && !text.contains("><script>alert"));
        let (_, block) = text
            .rsplit_once("id=\"scene\" type=\"text/plain\">")
            .expect("a block");
        let (json, _) = block.split_once("</script>").expect("its end");
        let read: serde_json::Value = serde_json::from_str(json).expect("JSON");
        assert_eq!(read["frames"][0], "</script><script>alert(1)</script>");
    }
}
