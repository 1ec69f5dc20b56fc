//! What the targets share: an input is JSON texts, one a line, of which the last is a document.

use veddb_commands::context::Limits;
use veddb_storage::document::json::{ParseLimits, parse_value, render_value};
use veddb_storage::document::{Packed, RawObject, Value, ValueRef, codec};

/// The time that every target runs at, milliseconds since 1970.
pub const NOW_MS: u64 = 1_767_225_600_000;

/// What a server with its defaults reads a text under.
pub fn text_limits() -> ParseLimits {
    let limits = Limits::default();
    ParseLimits { size: limits.max_document_size, depth: limits.max_document_depth }
}

/// The lines of an input, if there are so many.
pub fn lines<const N: usize>(input: &[u8]) -> Option<[&[u8]; N]> {
    input.splitn(N, |byte| *byte == b'\n').collect::<Vec<_>>().try_into().ok()
}

/// A document, if the text is one.
pub fn document(text: &[u8]) -> Option<Packed> {
    parse_value(text, text_limits()).ok().filter(|packed| matches!(packed.get(), ValueRef::Object(_)))
}

/// The object that a packed document is.
pub fn root(packed: &Packed) -> RawObject<'_> {
    match packed.get() {
        ValueRef::Object(object) => object,
        _ => RawObject::from_body(&[]),
    }
}

/// Whatever is answered can be read again, and is the same then.
pub fn check_text(value: &Value) {
    let packed = codec::pack_value(value);
    let mut text = Vec::new();
    render_value(&mut text, packed.get());
    // What is made may be nested more deeply than what may be sent.
    let limits = ParseLimits { size: usize::MAX, depth: 1000 };
    let again =
        parse_value(&text, limits).unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(&text)));
    let mut second = Vec::new();
    render_value(&mut second, again.get());
    assert_eq!(String::from_utf8_lossy(&text), String::from_utf8_lossy(&second));
}
