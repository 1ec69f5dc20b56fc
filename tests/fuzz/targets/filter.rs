//! A filter is read and asked of a document, by value as well as from its plan's side.

#![no_main]

use libfuzzer_sys::fuzz_target;
use veddb_fuzz::{NOW_MS, document, lines, root, text_limits};
use veddb_storage::document::filter::{Filter, FilterLimits};
use veddb_storage::document::path::Path;

fuzz_target!(|input: &[u8]| {
    let Some([filter, text]) = lines(input) else { return };
    let limits = FilterLimits { text: text_limits(), ..FilterLimits::default() };
    let Ok(filter) = Filter::parse(filter, &limits) else { return };
    let Some(packed) = document(text) else { return };
    let matches = filter.test(root(&packed), NOW_MS);
    if !filter.reads_documents() {
        assert_eq!(matches, Ok(filter.matches(root(&packed))));
    }
    if matches == Ok(true) {
        filter.matched_element(root(&packed), &Path::new("a"));
    }
    filter.id_keys();
    filter.equalities();
});
