//! A request's arguments, and the ways commands read them.
//!
//! Argument 0 is the command's name as it was sent. Indexes count as in Redis's documentation.

use bytes::Bytes;

use crate::error::CommandError;

/// One request: the name and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args(Vec<Bytes>);

static EMPTY: Bytes = Bytes::new();

impl Args {
    /// A request from its parts; the first is the command's name.
    pub fn new(parts: Vec<Bytes>) -> Args {
        Args(parts)
    }

    /// How many there are, the name included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is not even a name.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Argument `at`; empty when there is none (arity is checked before a command runs).
    pub fn bytes(&self, at: usize) -> &Bytes {
        self.0.get(at).unwrap_or(&EMPTY)
    }

    /// Argument `at`, if there is one.
    pub fn get(&self, at: usize) -> Option<&Bytes> {
        self.0.get(at)
    }

    /// The arguments from `at` on.
    pub fn from(&self, at: usize) -> &[Bytes] {
        self.0.get(at..).unwrap_or(&[])
    }

    /// Argument `at` as UTF-8 text.
    pub fn text(&self, at: usize) -> Result<&str, CommandError> {
        std::str::from_utf8(self.bytes(at)).map_err(|_| CommandError::err("argument is not valid UTF-8"))
    }

    /// Argument `at` as a signed integer, as Redis reads it (no plus sign, no spaces, no leading zeros).
    pub fn integer(&self, at: usize) -> Result<i64, CommandError> {
        parse_integer(self.bytes(at)).ok_or_else(CommandError::not_an_integer)
    }

    /// Argument `at` as an unsigned integer.
    pub fn unsigned(&self, at: usize) -> Result<u64, CommandError> {
        let bytes = self.bytes(at);
        let digits = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
        let plain = digits && (bytes.len() == 1 || bytes.first() != Some(&b'0'));
        let text = std::str::from_utf8(bytes).ok().filter(|_| plain);
        text.and_then(|t| t.parse().ok()).ok_or_else(CommandError::not_an_integer)
    }

    /// Whether argument `at` is this keyword, in any case.
    pub fn is(&self, at: usize, keyword: &str) -> bool {
        self.get(at).is_some_and(|a| a.eq_ignore_ascii_case(keyword.as_bytes()))
    }
}

/// A signed 64-bit integer exactly as Redis's `string2ll` takes it.
pub fn parse_integer(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let leading_zero = digits.first() == Some(&b'0') && bytes.len() > 1;
    if !plain || leading_zero {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parse_integer;

    #[test]
    fn integers_are_read_as_redis_reads_them() {
        let good: [(&[u8], i64); 4] = [(b"0", 0), (b"-1", -1), (b"42", 42), (b"-9223372036854775808", i64::MIN)];
        for (text, value) in good {
            assert_eq!(parse_integer(text), Some(value));
        }
        for text in [&b""[..], b"-", b"+1", b" 1", b"01", b"-0", b"1.0", b"9223372036854775808"] {
            assert_eq!(parse_integer(text), None, "{}", String::from_utf8_lossy(text));
        }
    }
}
