//! How much an update adds to a value, known before it is added.
//!
//! A value that comes once may be put in many places. What that makes is judged as a whole when it is there
//! ([`super::update`]); here is refused what could not pass, before it takes the memory.

use veddb_storage::document::{Object, Value};

use super::update::too_long;
use crate::context::Limits;
use crate::error::CommandError;

/// Bytes of JSON text that a value has at the least, so that nothing is refused here that would pass later. Recursion is bounded
/// by the depth of a document.
pub(super) fn text_bytes_min(value: &Value) -> usize {
    match value {
        // What is gone has no text.
        Value::MinKey => 0,
        Value::String(text) => 2 + text.len(),
        Value::Array(elements) => {
            2 + elements.iter().map(text_bytes_min).sum::<usize>() + elements.len().saturating_sub(1)
        }
        Value::Object(Object(members)) => {
            let members_bytes: usize = members.iter().map(|(name, value)| name.len() + 3 + text_bytes_min(value)).sum();
            2 + members_bytes + members.len().saturating_sub(1)
        }
        _ => 1,
    }
}

/// What was added so far, less what went.
pub(super) struct Growth<'l> {
    limits: &'l Limits,
    added_bytes: usize,
    gone_bytes: usize,
}

impl<'l> Growth<'l> {
    /// Nothing yet.
    pub(super) fn new(limits: &'l Limits) -> Growth<'l> {
        Growth { limits, added_bytes: 0, gone_bytes: 0 }
    }

    /// So many bytes at each of so many places.
    pub(super) fn add(&mut self, bytes: usize, places: usize) -> Result<(), CommandError> {
        self.added_bytes = self.added_bytes.saturating_add(bytes.saturating_mul(places));
        if self.added_bytes.saturating_sub(self.gone_bytes) > self.limits.max_document_size {
            return Err(too_long(self.limits));
        }
        Ok(())
    }

    /// So many bytes that others take the place of.
    pub(super) fn drop(&mut self, bytes: usize) {
        self.gone_bytes = self.gone_bytes.saturating_add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use veddb_storage::document::json::{ParseLimits, parse_plain};

    #[test]
    fn no_text_is_shorter() {
        for text in ["0", "null", "\"\"", "[]", "{}", "[1,2]", r#"{"a":1,"b":[{}]}"#, r#"["x",-1.5,true]"#] {
            let value = parse_plain(text.as_bytes(), ParseLimits::default()).unwrap().get().to_value();
            assert!(text_bytes_min(&value) <= text.len(), "{text}");
        }
    }

    #[test]
    fn growth_is_what_came_less_what_went() {
        let limits = Limits { max_document_size: 100, ..Limits::default() };
        let mut growth = Growth::new(&limits);
        growth.add(50, 2).unwrap();
        assert!(growth.add(1, 1).is_err());
        growth.drop(10);
        growth.add(9, 1).unwrap();
        assert!(Growth::new(&limits).add(usize::MAX, 2).is_err());
    }
}
