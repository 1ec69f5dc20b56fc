//! An update with its array filters is read, applied to a document that a filter matches, and makes one by an upsert.

#![no_main]

use libfuzzer_sys::fuzz_target;
use veddb_commands::context::Limits;
use veddb_commands::query::update::{Terms, Update};
use veddb_fuzz::{NOW_MS, check_text, document, lines, root, text_limits};
use veddb_storage::document::expression::Work;
use veddb_storage::document::filter::{Filter, FilterLimits};
use veddb_storage::document::{RawObject, Value};

fuzz_target!(|input: &[u8]| {
    let Some([update, array_filters, filter, text]) = lines(input) else { return };
    let limits = Limits::default();
    let terms = Terms { limits: &limits, now_ms: NOW_MS };
    let array_filters = Some(array_filters).filter(|text| !text.is_empty());
    let Ok(update) = Update::parse(update, array_filters, &terms) else { return };
    let filter_limits = FilterLimits { text: text_limits(), ..FilterLimits::default() };
    let Ok(filter) = Filter::parse(filter, &filter_limits) else { return };
    if let Ok(parsed) = update.upsert(&filter, &|| "made".to_owned(), &limits, &Work::default()) {
        check_text(&Value::Object(RawObject::from_body(&parsed.body).to_object()));
    }
    let Some(packed) = document(text) else { return };
    if let Ok(Some(body)) = update.apply(root(&packed), &filter, &limits, &Work::default()) {
        check_text(&Value::Object(RawObject::from_body(&body).to_object()));
    }
});
