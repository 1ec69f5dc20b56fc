//! JSON text to packed documents and back. MongoDB's Extended JSON v2 is the notation of typed values.

mod extended;
mod parse;
mod render;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::any_value;

pub use extended::is_wrapper;
pub use parse::{IdSource, ParseLimits, ParsedDocument, pack_document, parse_document, parse_plain, parse_value};
pub use render::{put_double, put_string, render_object, render_value};
