//! Binaries as text and as numbers, for `$convert`.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::super::value::{Kind, Value};

/// How text stands for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Base64 or, for UUIDs, their own form.
    Auto,
    /// Base64 with padding.
    Base64,
    /// Base64 as it may stand in a URL.
    Base64Url,
    /// Hexadecimal digits.
    Hex,
    /// The text itself.
    Utf8,
    /// `00112233-4455-6677-8899-aabbccddeeff`.
    Uuid,
}

const UUID: u8 = 4;

/// The old subtype whose bytes begin with their number.
const OLD: u8 = 2;

/// The bytes as BSON has them.
fn content(bytes: &[u8], subtype: u8) -> Cow<'_, [u8]> {
    match u32::try_from(bytes.len()) {
        Ok(length) if subtype == OLD => Cow::Owned([&length.to_le_bytes(), bytes].concat()),
        _ => Cow::Borrowed(bytes),
    }
}

impl Format {
    pub(super) fn parse(name: &str) -> Option<Format> {
        Some(match name {
            "auto" => Format::Auto,
            "base64" => Format::Base64,
            "base64url" => Format::Base64Url,
            "hex" => Format::Hex,
            "utf8" => Format::Utf8,
            "uuid" => Format::Uuid,
            _ => return None,
        })
    }
}

/// Bytes as text; none where the format has no text for them.
pub(super) fn write(bytes: &[u8], subtype: u8, format: Format) -> Option<String> {
    match format {
        Format::Auto if subtype == UUID && bytes.len() == 16 => write(bytes, subtype, Format::Uuid),
        Format::Auto | Format::Base64 => Some(STANDARD.encode(&*content(bytes, subtype))),
        Format::Base64Url => Some(URL_SAFE_NO_PAD.encode(&*content(bytes, subtype))),
        Format::Hex => Some(hex::encode_upper(&*content(bytes, subtype))),
        Format::Utf8 => String::from_utf8(bytes.to_vec()).ok(),
        Format::Uuid => {
            let text = hex::encode(bytes);
            let (true, true) = (subtype == UUID, bytes.len() == 16) else { return None };
            let group = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
            Some([group(0, 8), group(8, 12), group(12, 16), group(16, 20), group(20, 32)].join("-"))
        }
    }
}

/// The bytes that text stands for.
pub(super) fn read(text: &str, format: Format, subtype: u8) -> Option<Vec<u8>> {
    match format {
        // UUIDs have no other form, and no other binary has theirs.
        _ if (format == Format::Uuid) != (subtype == UUID) => None,
        Format::Auto => None,
        Format::Base64 => STANDARD.decode(text).ok(),
        Format::Base64Url => URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok(),
        Format::Hex => hex::decode(text).ok(),
        Format::Utf8 => Some(text.as_bytes().to_vec()),
        Format::Uuid => {
            let dash = |at: usize| [8, 13, 18, 23].contains(&at);
            let shaped = text.len() == 36 && text.bytes().enumerate().all(|(at, b)| (b == b'-') == dash(at));
            hex::decode(text.replace('-', "")).ok().filter(|_| shaped)
        }
    }
}

/// The number that bytes are.
pub(super) fn number(bytes: &[u8], subtype: u8, to: Kind, big: bool) -> Option<Value> {
    let mut bytes = content(bytes, subtype).into_owned();
    if big {
        bytes.reverse();
    }
    let value = match (to, bytes.as_slice()) {
        (Kind::Double, [a, b, c, d]) => Value::Double(f64::from(f32::from_le_bytes([*a, *b, *c, *d]))),
        (Kind::Double, bytes) => Value::Double(f64::from_le_bytes(bytes.try_into().ok()?)),
        (_, bytes) => {
            let n = match bytes {
                [a] => i64::from(i8::from_le_bytes([*a])),
                [a, b] => i64::from(i16::from_le_bytes([*a, *b])),
                [a, b, c, d] => i64::from(i32::from_le_bytes([*a, *b, *c, *d])),
                bytes if to == Kind::Int64 => i64::from_le_bytes(bytes.try_into().ok()?),
                _ => return None,
            };
            if to == Kind::Int32 { Value::Int32(i32::try_from(n).ok()?) } else { Value::Int64(n) }
        }
    };
    Some(value)
}
