//! A projection is read and shows a document that a filter matches.

#![no_main]

use libfuzzer_sys::fuzz_target;
use veddb_commands::context::Limits;
use veddb_commands::query::project::{Project, Sight};
use veddb_fuzz::{NOW_MS, document, lines, root, text_limits};
use veddb_storage::document::filter::{Filter, FilterLimits};
use veddb_storage::document::json::{ParseLimits, parse_value};

fuzz_target!(|input: &[u8]| {
    let Some([project, filter, text]) = lines(input) else { return };
    let Ok(Some(project)) = Project::parse(project, &Limits::default()) else { return };
    let limits = FilterLimits { text: text_limits(), ..FilterLimits::default() };
    let Ok(filter) = Filter::parse(filter, &limits) else { return };
    let Some(packed) = document(text) else { return };
    if project.check_filter(&filter).is_err() {
        return;
    }
    let mut out = Vec::new();
    let sight = Sight { filter: Some(&filter), now_ms: NOW_MS, variables: &[], watch: None };
    if project.render(&mut out, root(&packed), sight).is_ok() {
        let limits = ParseLimits { size: usize::MAX, depth: 1000 };
        assert!(parse_value(&out, limits).is_ok(), "{}", String::from_utf8_lossy(&out));
    }
});
