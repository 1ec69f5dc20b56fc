//! Packed values as JSON text: compact, members in order, relaxed Extended JSON v2 for what JSON has no word for.
//!
//! The answer to a read is written here, straight into the reply's buffer.

use base64::Engine;

use crate::document::codec::{Piece, RawObject, ValueRef};

/// Appends an object.
pub fn render_object(out: &mut Vec<u8>, object: RawObject<'_>) {
    out.push(b'{');
    let mut first = true;
    for (name, value) in object.pieces() {
        if !first {
            out.push(b',');
        }
        first = false;
        put_text(out, name);
        out.push(b':');
        render_piece(out, value);
    }
    out.push(b'}');
}

fn render_piece(out: &mut Vec<u8>, piece: Piece<'_>) {
    match piece {
        Piece::Text(text) => put_text(out, text),
        Piece::Other(value) => render_value(out, value),
    }
}

/// Appends any value.
pub fn render_value(out: &mut Vec<u8>, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => out.extend_from_slice(b"null"),
        ValueRef::Bool(true) => out.extend_from_slice(b"true"),
        ValueRef::Bool(false) => out.extend_from_slice(b"false"),
        ValueRef::Int32(n) => out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes()),
        ValueRef::Int64(n) => out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes()),
        ValueRef::Double(n) if n.is_finite() => put_double(out, n),
        ValueRef::Double(n) => {
            let name = match n {
                n if n.is_nan() => "NaN",
                n if n > 0.0 => "Infinity",
                _ => "-Infinity",
            };
            put_wrapped(out, "$numberDouble", name);
        }
        ValueRef::String(text) => put_string(out, text),
        ValueRef::Object(object) => render_object(out, object),
        ValueRef::Array(array) => {
            out.push(b'[');
            let mut first = true;
            for element in array.pieces() {
                if !first {
                    out.push(b',');
                }
                first = false;
                render_piece(out, element);
            }
            out.push(b']');
        }
        ValueRef::Decimal(n) => put_wrapped(out, "$numberDecimal", &n.to_string()),
        ValueRef::ObjectId(id) => put_wrapped(out, "$oid", &hex::encode(id)),
        ValueRef::Date(ms) => put_date(out, ms),
        ValueRef::Binary { subtype, bytes } => {
            out.extend_from_slice(b"{\"$binary\":{\"base64\":\"");
            out.extend_from_slice(base64::engine::general_purpose::STANDARD.encode(bytes).as_bytes());
            out.extend_from_slice(b"\",\"subType\":\"");
            out.extend_from_slice(hex::encode([subtype]).as_bytes());
            out.extend_from_slice(b"\"}}");
        }
        ValueRef::Timestamp { seconds, increment } => {
            out.extend_from_slice(format!("{{\"$timestamp\":{{\"t\":{seconds},\"i\":{increment}}}}}").as_bytes());
        }
        ValueRef::Regex { pattern, options } => {
            out.extend_from_slice(b"{\"$regularExpression\":{\"pattern\":");
            put_string(out, pattern);
            out.extend_from_slice(b",\"options\":");
            put_string(out, options);
            out.extend_from_slice(b"}}");
        }
        ValueRef::MinKey => out.extend_from_slice(b"{\"$minKey\":1}"),
        ValueRef::MaxKey => out.extend_from_slice(b"{\"$maxKey\":1}"),
    }
}

/// Appends a finite double: the shortest text that reads back as the same double, and as a double (`1.0`).
pub fn put_double(out: &mut Vec<u8>, n: f64) {
    let start = out.len();
    serde_json::to_writer(&mut *out, &n).expect("writing a number to memory cannot fail");
    // `1e+300` is one byte longer than it need be.
    if let Some(plus) = out.iter().skip(start).position(|&b| b == b'+') {
        out.remove(start + plus);
    }
}

/// Appends a JSON string with its quotes.
pub fn put_string(out: &mut Vec<u8>, text: &str) {
    put_text(out, text.as_bytes());
}

/// Whether no byte needs an escape, as is so of most strings. Eight bytes at a time: a byte's high bit comes out set where it
/// is below 0x20, a quotation mark or a backslash (Alan Mycroft's test for a zero byte).
fn is_plain(text: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x80 * ONES;
    let special = |word: u64| {
        let zero = |v: u64| v.wrapping_sub(ONES) & !v;
        let control = word.wrapping_sub(0x20 * ONES) & !word;
        (control | zero(word ^ (u64::from(b'"') * ONES)) | zero(word ^ (u64::from(b'\\') * ONES))) & HIGHS != 0
    };
    let (words, rest) = text.as_chunks::<8>();
    let mut last = [b' '; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    !words.iter().any(|word| special(u64::from_le_bytes(*word))) && !special(u64::from_le_bytes(last))
}

/// Appends UTF-8 text as a JSON string.
fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    let needs_escape = |b: u8| b < 0x20 || b == b'"' || b == b'\\';
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text;
    if is_plain(rest) {
        out.extend_from_slice(rest);
        out.push(b'"');
        return;
    }
    while let Some(at) = rest.iter().position(|b| needs_escape(*b)) {
        let (run, tail) = rest.split_at(at);
        out.extend_from_slice(run);
        let Some((&byte, tail)) = tail.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            other => out.extend_from_slice(format!("\\u{other:04x}").as_bytes()),
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn put_wrapped(out: &mut Vec<u8>, name: &str, text: &str) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\"}");
}

/// The first millisecond of the year 10000, which ISO 8601 cannot write in four digits.
const YEAR_10000_MS: i64 = 253_402_300_800_000;

fn put_date(out: &mut Vec<u8>, ms: i64) {
    if !(0..YEAR_10000_MS).contains(&ms) {
        out.extend_from_slice(format!("{{\"$date\":{{\"$numberLong\":\"{ms}\"}}}}").as_bytes());
        return;
    }
    let (days, ms_of_day) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = civil(days);
    let (seconds, fraction) = (ms_of_day / 1000, ms_of_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if fraction != 0 {
        text.push_str(&format!(".{fraction:03}"));
    }
    text.push('Z');
    put_wrapped(out, "$date", &text);
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant's `civil_from_days`, for days from then on).
fn civil(days: i64) -> (i64, i64, i64) {
    // Counted from 0000-03-01, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn every_byte_at_every_place_is_judged() {
        for byte in 0..=255_u8 {
            for length in 1..20 {
                for at in 0..length {
                    let mut text = vec![b'x'; length];
                    text[at] = byte;
                    let plain = byte >= 0x20 && byte != b'"' && byte != b'\\';
                    assert_eq!(is_plain(&text), plain, "{byte:#x} at {at} of {length}");
                }
            }
        }
        assert!(is_plain(b""));
    }
}
