//! Templates of routes, as labels of metrics: few names for all paths.

use super::openapi;

/// The template of the route that a path has; `unknown` if it has none.
pub fn template_of(path: &str) -> &'static str {
    openapi::ROUTES
        .iter()
        .find(|template| matches(template, path))
        .map_or("unknown", String::as_str)
}

/// Whether a path matches a template. A segment in braces matches any segment.
fn matches(template: &str, path: &str) -> bool {
    let mut wanted = template.split('/');
    let mut found = path.split('/');
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some(wanted), Some(found)) if wanted == found || wanted.starts_with('{') => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_route_have_the_same_template() {
        for (path, template) in [
            ("/ws/session/create", "/ws/session/create"),
            ("/ws/session/1234", "/ws/session/{session_id}"),
            ("/ws/session/1234/result", "/ws/session/{session_id}/result"),
            (
                "/actors/workers/0/restart",
                "/actors/workers/{index}/restart",
            ),
            ("/", "/"),
            ("/ws/session", "unknown"),
            ("/ws/session/1/result/2", "unknown"),
            ("/../../etc/passwd", "unknown"),
        ] {
            assert_eq!(template_of(path), template, "{path}");
        }
    }
}
