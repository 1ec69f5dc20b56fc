//! Turns a [`Reply`] into bytes of RESP2 or RESP3.
//!
//! Scalars are encoded by the crate redis-protocol. Not left to it: the headers of arrays, maps, sets and pushes,
//! because its maps and sets are hash tables that drop what they hold twice and its RESP2 knows no null array; and
//! doubles, because it writes `1e300` as three hundred digits where Redis writes the shortest text.
//!
//! Replies nest as deep as commands build them: a handful of levels, and those of a JSON value (JSON.RESP, `FORMAT EXPAND`), which
//! `max-document-depth` bounds.

use std::cell::RefCell;

use bytes::{BufMut, BytesMut};
use redis_protocol::{resp2, resp3};
use veddb_commands::Reply;
use veddb_storage::Document;

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// RESP2, until HELLO 3.
    #[default]
    Resp2,
    /// RESP3.
    Resp3,
}

/// Appends the bytes of a reply.
pub fn encode(reply: &Reply, protocol: Protocol, out: &mut BytesMut) {
    match protocol {
        Protocol::Resp2 => encode_2(reply, out),
        Protocol::Resp3 => encode_3(reply, out),
    }
}

fn encode_2(reply: &Reply, out: &mut BytesMut) {
    use resp2::types::BorrowedFrame as Frame;
    match reply {
        Reply::Simple(text) => put_2(Frame::SimpleString(text.as_bytes()), out),
        Reply::Error(error) => put_2(Frame::Error(&error.to_string()), out),
        Reply::Integer(value) => put_2(Frame::Integer(*value), out),
        Reply::Double(value) => put_2(Frame::BulkString(double(*value).as_bytes()), out),
        Reply::Boolean(value) => put_2(Frame::Integer(i64::from(*value)), out),
        Reply::Null => put_2(Frame::Null, out),
        Reply::NullArray => out.put_slice(b"*-1\r\n"),
        Reply::Bulk(bytes) => put_2(Frame::BulkString(bytes), out),
        Reply::Document(document) => put_document(document, out),
        Reply::Verbatim(text) => put_2(Frame::BulkString(text.as_bytes()), out),
        Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => {
            header(b'*', items.len(), out);
            items.iter().for_each(|item| encode_2(item, out));
        }
        Reply::Several(replies) => replies.iter().for_each(|reply| encode_2(reply, out)),
        Reply::Map(pairs) => {
            header(b'*', pairs.len() * 2, out);
            for (key, value) in pairs {
                encode_2(key, out);
                encode_2(value, out);
            }
        }
    }
}

fn encode_3(reply: &Reply, out: &mut BytesMut) {
    use resp3::types::{BorrowedFrame as Frame, VerbatimStringFormat};
    let attributes = None;
    match reply {
        Reply::Simple(text) => put_3(Frame::SimpleString { data: text.as_bytes(), attributes }, out),
        Reply::Error(error) => put_3(Frame::SimpleError { data: &error.to_string(), attributes }, out),
        Reply::Integer(value) => put_3(Frame::Number { data: *value, attributes }, out),
        Reply::Double(value) => {
            out.put_u8(b',');
            out.put_slice(double(*value).as_bytes());
            out.put_slice(b"\r\n");
        }
        Reply::Boolean(value) => put_3(Frame::Boolean { data: *value, attributes }, out),
        Reply::Null | Reply::NullArray => put_3(Frame::Null, out),
        Reply::Bulk(bytes) => put_3(Frame::BlobString { data: bytes, attributes }, out),
        Reply::Document(document) => put_document(document, out),
        Reply::Verbatim(text) => {
            let format = VerbatimStringFormat::Text;
            put_3(Frame::VerbatimString { data: text.as_bytes(), format, attributes }, out);
        }
        Reply::Array(items) => items_3(b'*', items, out),
        Reply::Set(items) => items_3(b'~', items, out),
        Reply::Push(items) => items_3(b'>', items, out),
        Reply::Several(replies) => replies.iter().for_each(|reply| encode_3(reply, out)),
        Reply::Map(pairs) => {
            header(b'%', pairs.len(), out);
            for (key, value) in pairs {
                encode_3(key, out);
                encode_3(value, out);
            }
        }
    }
}

thread_local! {
    /// Where a document's text is written before its length is known.
    static TEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One huge document must not keep its memory for good.
const TEXT_KEPT_MAX: usize = 1 << 20;

/// A bulk string is spelled alike in both protocols.
fn put_document(document: &Document, out: &mut BytesMut) {
    TEXT.with_borrow_mut(|text| {
        text.clear();
        document.write_json(text);
        header(b'$', text.len(), out);
        out.reserve(text.len() + 2);
        out.put_slice(text);
        out.put_slice(b"\r\n");
        if text.capacity() > TEXT_KEPT_MAX {
            *text = Vec::new();
        }
    });
}

fn items_3(kind: u8, items: &[Reply], out: &mut BytesMut) {
    header(kind, items.len(), out);
    items.iter().for_each(|item| encode_3(item, out));
}

fn put_2(frame: resp2::types::BorrowedFrame<'_>, out: &mut BytesMut) {
    // The crate grows the buffer by what it computes the frame to need, so it cannot be too small.
    resp2::encode::extend_encode_borrowed(out, &frame, false).expect("a buffer grown to fit holds the frame");
}

fn put_3(frame: resp3::types::BorrowedFrame<'_>, out: &mut BytesMut) {
    resp3::encode::complete::extend_encode_borrowed(out, &frame, false).expect("a buffer grown to fit holds the frame");
}

fn header(kind: u8, count: usize, out: &mut BytesMut) {
    out.put_u8(kind);
    out.put_slice(itoa::Buffer::new().format(count).as_bytes());
    out.put_slice(b"\r\n");
}

/// A double as Redis spells it: the shortest digits that read back the same, an exponent outside 1e-5 to 1e21.
fn double(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-5..1e21).contains(&magnitude) {
        let text = format!("{value:e}");
        // Redis writes the sign of a positive exponent.
        return if text.contains("e-") { text } else { text.replace('e', "e+") };
    }
    format!("{value}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use veddb_commands::CommandError;

    #[track_caller]
    fn check(reply: Reply, resp2: &str, resp3: &str) {
        for (protocol, expected) in [(Protocol::Resp2, resp2), (Protocol::Resp3, resp3)] {
            let mut out = BytesMut::new();
            encode(&reply, protocol, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected, "{protocol:?}");
        }
    }

    #[test]
    fn every_kind_is_spelled_as_redis_spells_it() {
        check(Reply::OK, "+OK\r\n", "+OK\r\n");
        check(Reply::Error(CommandError::syntax()), "-ERR syntax error\r\n", "-ERR syntax error\r\n");
        check(Reply::Integer(-7), ":-7\r\n", ":-7\r\n");
        check(Reply::Integer(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n");
        check(Reply::Boolean(true), ":1\r\n", "#t\r\n");
        check(Reply::Null, "$-1\r\n", "_\r\n");
        check(Reply::NullArray, "*-1\r\n", "_\r\n");
        check(Reply::constant("a\r\nb"), "$4\r\na\r\nb\r\n", "$4\r\na\r\nb\r\n");
        check(Reply::constant(""), "$0\r\n\r\n", "$0\r\n\r\n");
        check(Reply::Verbatim("hi".into()), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n");
        check(Reply::Array(vec![Reply::Null, Reply::OK]), "*2\r\n$-1\r\n+OK\r\n", "*2\r\n_\r\n+OK\r\n");
        check(Reply::Push(vec![Reply::Integer(1)]), "*1\r\n:1\r\n", ">1\r\n:1\r\n");
        check(Reply::Set(vec![Reply::Integer(1), Reply::Integer(1)]), "*2\r\n:1\r\n:1\r\n", "~2\r\n:1\r\n:1\r\n");
    }

    #[test]
    fn maps_keep_their_order_and_what_they_hold_twice() {
        let pairs = ["z", "a", "z"].map(|key| (Reply::constant(key), Reply::Integer(1)));
        check(
            Reply::Map(pairs.to_vec()),
            "*6\r\n$1\r\nz\r\n:1\r\n$1\r\na\r\n:1\r\n$1\r\nz\r\n:1\r\n",
            "%3\r\n$1\r\nz\r\n:1\r\n$1\r\na\r\n:1\r\n$1\r\nz\r\n:1\r\n",
        );
    }

    #[test]
    fn doubles_are_short_and_read_back() {
        let cases = [
            (1.0, "1"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e300, "1e+300"),
            (1.5e-7, "1.5e-7"),
            (1e20, "100000000000000000000"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (-0.0, "-0"),
        ];
        for (value, text) in cases {
            assert_eq!(double(value), text);
            assert!(value.is_nan() || text.parse::<f64>() == Ok(value));
            check(Reply::Double(value), &format!("${}\r\n{text}\r\n", text.len()), &format!(",{text}\r\n"));
        }
    }
}
