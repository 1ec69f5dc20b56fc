//! A reply as JSON, for the console's page.
//!
//! Every reply has one form, and nothing is lost on the way: bytes that are no text become `{"base64": ..}`, integers that JavaScript
//! would round become strings, and so do numbers that JSON does not have. The order of a map is kept.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use redis_protocol::resp3::types::BytesFrame;

/// Integers from here on are rounded by JavaScript.
const EXACT_MAX: u64 = 1 << 53;

/// `{"ok": ..}`, or `{"error": ..}` where the reply as a whole is an error.
pub(super) fn reply(frame: &BytesFrame) -> String {
    let mut out = String::new();
    match frame {
        BytesFrame::SimpleError { data, .. } => field("error", data.as_bytes(), &mut out),
        BytesFrame::BlobError { data, .. } => field("error", data, &mut out),
        _ => {
            out.push_str("{\"ok\":");
            value(frame, &mut out);
            out.push('}');
        }
    }
    out
}

/// Replies nest no deeper than commands build them (see `encode`), so this does not either.
fn value(frame: &BytesFrame, out: &mut String) {
    match frame {
        BytesFrame::BlobString { data, .. }
        | BytesFrame::SimpleString { data, .. }
        | BytesFrame::BigNumber { data, .. }
        | BytesFrame::VerbatimString { data, .. }
        | BytesFrame::ChunkedString(data) => bytes(data, out),
        // One among others, as in what EXEC answers.
        BytesFrame::BlobError { data, .. } => field("error", data, out),
        BytesFrame::SimpleError { data, .. } => field("error", data.as_bytes(), out),
        BytesFrame::Boolean { data, .. } => out.push_str(if *data { "true" } else { "false" }),
        BytesFrame::Null | BytesFrame::Hello { .. } => out.push_str("null"),
        BytesFrame::Number { data, .. } => {
            let quote = if data.unsigned_abs() >= EXACT_MAX { "\"" } else { "" };
            put(out, format_args!("{quote}{data}{quote}"));
        }
        BytesFrame::Double { data, .. } => {
            let quote = if data.is_finite() { "" } else { "\"" };
            put(out, format_args!("{quote}{data}{quote}"));
        }
        BytesFrame::Array { data, .. } | BytesFrame::Push { data, .. } => items(data.iter(), out),
        BytesFrame::Set { data, .. } => items(data.iter(), out),
        BytesFrame::Map { data, .. } => {
            out.push('{');
            // The decoder takes pairs from the end on.
            for (at, (key, value_of)) in data.iter().rev().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                name(key, out);
                out.push(':');
                value(value_of, out);
            }
            out.push('}');
        }
    }
}

fn items<'a>(frames: impl Iterator<Item = &'a BytesFrame>, out: &mut String) {
    out.push('[');
    for (at, frame) in frames.enumerate() {
        out.push_str(if at == 0 { "" } else { "," });
        value(frame, out);
    }
    out.push(']');
}

/// The name of a member, which has to be text: what is none is shown as such.
fn name(key: &BytesFrame, out: &mut String) {
    match key {
        BytesFrame::BlobString { data, .. } | BytesFrame::SimpleString { data, .. } => {
            text(&String::from_utf8_lossy(data), out);
        }
        other => {
            let mut shown = String::new();
            value(other, &mut shown);
            text(shown.trim_matches('"'), out);
        }
    }
}

fn field(name: &str, of: &[u8], out: &mut String) {
    put(out, format_args!("{{\"{name}\":"));
    text(&String::from_utf8_lossy(of), out);
    out.push('}');
}

fn bytes(data: &[u8], out: &mut String) {
    match std::str::from_utf8(data) {
        Ok(shown) => text(shown, out),
        Err(_) => put(out, format_args!("{{\"base64\":\"{}\"}}", STANDARD.encode(data))),
    }
}

fn text(shown: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(shown).to_string());
}

fn put(out: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = out.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use redis_protocol::resp3::decode::complete::decode_bytes;

    use super::*;

    #[track_caller]
    fn check(resp: &[u8], expected: &str) {
        let (frame, _) = decode_bytes(&bytes::Bytes::copy_from_slice(resp)).unwrap().unwrap();
        assert_eq!(reply(&frame), expected);
        serde_json::from_str::<serde_json::Value>(expected).unwrap();
    }

    #[test]
    fn every_reply_has_its_form() {
        check(b"+OK\r\n", r#"{"ok":"OK"}"#);
        check(b"-NOPERM no\r\n", r#"{"error":"NOPERM no"}"#);
        check(b"_\r\n", r#"{"ok":null}"#);
        check(b"#t\r\n", r#"{"ok":true}"#);
        check(b":-7\r\n", r#"{"ok":-7}"#);
        check(b":9007199254740993\r\n", r#"{"ok":"9007199254740993"}"#);
        check(b",1.5\r\n", r#"{"ok":1.5}"#);
        check(b",inf\r\n", r#"{"ok":"inf"}"#);
        check(b"=6\r\ntxt:ab\r\n", r#"{"ok":"ab"}"#);
        check(b"*2\r\n$1\r\na\r\n-ERR x\r\n", r#"{"ok":["a",{"error":"ERR x"}]}"#);
        check(b"%2\r\n+z\r\n:1\r\n:2\r\n~1\r\n+b\r\n", r#"{"ok":{"z":1,"2":["b"]}}"#);
    }

    #[test]
    fn whatever_bytes_there_are_it_is_json() {
        check(b"$9\r\n</script>\r\n", r#"{"ok":"</script>"}"#);
        check(b"$3\r\n\"\\\n\r\n", r#"{"ok":"\"\\\n"}"#);
        check(b"$2\r\n\0\x1b\r\n", r#"{"ok":"\u0000\u001b"}"#);
        check(b"$2\r\n\xff\xfe\r\n", r#"{"ok":{"base64":"//4="}}"#);
        check(b"%1\r\n$1\r\n\xff\r\n:1\r\n", "{\"ok\":{\"\u{fffd}\":1}}");
    }
}
