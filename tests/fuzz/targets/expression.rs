//! An expression is read and evaluated on a document.

#![no_main]

use libfuzzer_sys::fuzz_target;
use veddb_fuzz::{NOW_MS, check_text, document, lines, root, text_limits};
use veddb_storage::document::Expression;
use veddb_storage::document::expression::{ExpressionLimits, Root, Scope};
use veddb_storage::document::json::parse_value;

fuzz_target!(|input: &[u8]| {
    let Some([expression, text]) = lines(input) else { return };
    let Ok(packed) = parse_value(expression, text_limits()) else { return };
    let Ok(expression) = Expression::parse(packed.get(), &ExpressionLimits::default()) else { return };
    let Some(packed) = document(text) else { return };
    let scope = Scope { root: Root::Packed(root(&packed)), now_ms: NOW_MS as i64, variables: &[], watch: None };
    if let Ok(Some(value)) = expression.evaluate(&scope) {
        check_text(&value);
    }
});
