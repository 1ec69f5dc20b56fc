//! The console's page: its files, which are within the program.
//!
//! There is no build step: a browser is sent what lies in `server/console`.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// By the path behind `/console/`.
const ASSETS: &[(&str, &str, &str)] = &[
    ("", HTML, include_str!("../../../console/index.html")),
    ("style.css", STYLE, include_str!("../../../console/style.css")),
    ("icon.svg", IMAGE, include_str!("../../../console/icon.svg")),
    ("app.js", SCRIPT, include_str!("../../../console/app.js")),
    ("server.js", SCRIPT, include_str!("../../../console/server.js")),
    ("parts.js", SCRIPT, include_str!("../../../console/parts.js")),
    ("json.js", SCRIPT, include_str!("../../../console/json.js")),
    ("plot.js", SCRIPT, include_str!("../../../console/plot.js")),
    ("figures.js", SCRIPT, include_str!("../../../console/figures.js")),
    ("overview.js", SCRIPT, include_str!("../../../console/overview.js")),
    ("collections.js", SCRIPT, include_str!("../../../console/collections.js")),
    ("document.js", SCRIPT, include_str!("../../../console/document.js")),
    ("reader.js", SCRIPT, include_str!("../../../console/reader.js")),
    ("query.js", SCRIPT, include_str!("../../../console/query.js")),
    ("explain.js", SCRIPT, include_str!("../../../console/explain.js")),
    ("keys.js", SCRIPT, include_str!("../../../console/keys.js")),
    ("replication.js", SCRIPT, include_str!("../../../console/replication.js")),
    ("clients.js", SCRIPT, include_str!("../../../console/clients.js")),
    ("slow.js", SCRIPT, include_str!("../../../console/slow.js")),
    ("audit.js", SCRIPT, include_str!("../../../console/audit.js")),
];

/// The file of a path, if there is one.
pub(super) fn get(path: &str) -> Option<Response<Full<Bytes>>> {
    let name = path.strip_prefix("/console/")?;
    let (_, kind, text) = ASSETS.iter().find(|(asset, ..)| *asset == name)?;
    let mut answer = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_needs_anything_from_elsewhere() {
        for (name, _, text) in ASSETS {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for sign in [
                "http://",
                "https://",
                "innerHTML",
                "outerHTML",
                "insertAdjacent",
                "document.write",
                "eval(",
                "new Function",
            ] {
                assert!(!text.contains(sign), "{name} has {sign}");
            }
        }
    }

    #[test]
    fn what_a_file_imports_is_there() {
        for (name, kind, text) in ASSETS.iter().filter(|(_, kind, _)| *kind == SCRIPT) {
            assert_eq!(*kind, SCRIPT);
            for line in text.lines().filter(|line| line.starts_with("import ")) {
                let path = line.split('\'').nth(1).unwrap();
                let path = path.strip_prefix("./").unwrap();
                assert!(ASSETS.iter().any(|(asset, ..)| *asset == path), "{name} imports {path}");
            }
        }
    }
}
