//! Writing packed documents.

use super::tag;
use super::{Packed, RawArray, RawObject, ValueRef};
use crate::document::value::{Object, Value};

/// The stored body of an object.
pub fn pack_object(object: &Object) -> Box<[u8]> {
    let mut out = Vec::with_capacity(256);
    put_object(&mut out, object);
    out.into_boxed_slice()
}

/// The stored body of an object of these members, which are packed elsewhere.
pub fn pack_members(members: &[(&str, ValueRef<'_>)]) -> Box<[u8]> {
    let mut out = Vec::with_capacity(256);
    let start = open(&mut out);
    for (name, value) in members {
        let tag = out.len();
        out.push(0);
        put_name(&mut out, name.as_bytes());
        let found = put_payload(&mut out, *value);
        if let Some(place) = out.get_mut(tag) {
            *place = found;
        }
    }
    close(&mut out, start);
    out.into_boxed_slice()
}

/// The stored body of an object that stands in another one.
pub fn pack_inner(object: RawObject<'_>) -> Box<[u8]> {
    let mut out = Vec::with_capacity(object.0.len() + 4);
    put_payload(&mut out, ValueRef::Object(object));
    out.into_boxed_slice()
}

/// One value, packed.
pub fn pack_value(value: &Value) -> Packed {
    let mut out = vec![tag_of(value)];
    put_value(&mut out, value);
    Packed(out.into_boxed_slice())
}

/// The body of an object with an array of objects at a member: in its place if there is one of this name, else at the
/// end. Everything else is copied as it is.
pub fn pack_with_array<'e>(
    object: RawObject<'_>,
    name: &str,
    elements: impl Iterator<Item = RawObject<'e>>,
) -> Box<[u8]> {
    pack_with(object, name, |out| {
        let start = open(out);
        for RawObject(members) in elements {
            out.push(tag::OBJECT);
            let start = open(out);
            out.extend_from_slice(members);
            close(out, start);
        }
        close(out, start);
        tag::ARRAY
    })
}

/// The same with any value.
pub fn pack_with_member(object: RawObject<'_>, name: &str, value: ValueRef<'_>) -> Box<[u8]> {
    pack_with(object, name, |out| put_payload(out, value))
}

fn pack_with(object: RawObject<'_>, name: &str, payload: impl FnOnce(&mut Vec<u8>) -> u8) -> Box<[u8]> {
    let mut out = Vec::with_capacity(object.0.len() + 256);
    let start = open(&mut out);
    let mut payload = Some(payload);
    if object.get(name).is_none() {
        out.extend_from_slice(object.0);
    } else {
        for (member, value) in object.iter() {
            match payload.take_if(|_| member == name) {
                Some(payload) => put_member(&mut out, member, payload),
                None => put_member(&mut out, member, |out| put_payload(out, value)),
            }
        }
    }
    if let Some(payload) = payload {
        put_member(&mut out, name, payload);
    }
    close(&mut out, start);
    out.into_boxed_slice()
}

fn put_member(out: &mut Vec<u8>, name: &str, payload: impl FnOnce(&mut Vec<u8>) -> u8) {
    let at = out.len();
    out.push(0);
    put_name(out, name.as_bytes());
    let tag = payload(out);
    if let Some(place) = out.get_mut(at) {
        *place = tag;
    }
}

impl Packed {
    /// A packed copy of a value that is packed elsewhere.
    pub fn from_ref(value: ValueRef<'_>) -> Packed {
        let mut out = vec![0];
        let tag = put_payload(&mut out, value);
        if let Some(first) = out.first_mut() {
            *first = tag;
        }
        Packed(out.into_boxed_slice())
    }
}

/// Starts an object or array; the answer goes to [`close`].
pub(crate) fn open(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; 4]);
    out.len()
}

/// Ends the object or array that [`open`] started, filling its length in.
pub(crate) fn close(out: &mut [u8], start: usize) {
    let length = u32::try_from(out.len() - start).expect("max-document-size keeps a document far below 4 GiB");
    if let Some(place) = out.get_mut(start - 4..start) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A length and the bytes: names, strings, binaries.
pub(crate) fn put_name(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Writes a borrowed value's payload and answers its tag.
pub(crate) fn put_payload(out: &mut Vec<u8>, value: ValueRef<'_>) -> u8 {
    match value {
        ValueRef::Object(RawObject(members)) => {
            let start = open(out);
            out.extend_from_slice(members);
            close(out, start);
            tag::OBJECT
        }
        ValueRef::Array(RawArray(elements)) => {
            let start = open(out);
            out.extend_from_slice(elements);
            close(out, start);
            tag::ARRAY
        }
        ValueRef::String(text) => {
            put_name(out, text.as_bytes());
            tag::STRING
        }
        ValueRef::Binary { subtype, bytes } => {
            out.push(subtype);
            put_name(out, bytes);
            tag::BINARY
        }
        ValueRef::Regex { pattern, options } => {
            put_name(out, pattern.as_bytes());
            put_name(out, options.as_bytes());
            tag::REGEX
        }
        scalar => {
            let scalar = scalar.to_value();
            put_value(out, &scalar);
            tag_of(&scalar)
        }
    }
}

fn put_object(out: &mut Vec<u8>, object: &Object) {
    let start = open(out);
    for (name, value) in &object.0 {
        out.push(tag_of(value));
        put_name(out, name.as_bytes());
        put_value(out, value);
    }
    close(out, start);
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null | Value::Bool(_) | Value::MinKey | Value::MaxKey => {}
        Value::Int32(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::Int64(n) | Value::Date(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::Double(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::Decimal(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::String(text) => put_name(out, text.as_bytes()),
        Value::Object(object) => put_object(out, object),
        Value::Array(values) => {
            let start = open(out);
            for value in values {
                out.push(tag_of(value));
                put_value(out, value);
            }
            close(out, start);
        }
        Value::Binary { subtype, bytes } => {
            out.push(*subtype);
            put_name(out, bytes);
        }
        Value::ObjectId(id) => out.extend_from_slice(id),
        Value::Timestamp { seconds, increment } => {
            out.extend_from_slice(&seconds.to_le_bytes());
            out.extend_from_slice(&increment.to_le_bytes());
        }
        Value::Regex { pattern, options } => {
            put_name(out, pattern.as_bytes());
            put_name(out, options.as_bytes());
        }
    }
}

fn tag_of(value: &Value) -> u8 {
    match value {
        Value::Null => tag::NULL,
        Value::Bool(false) => tag::FALSE,
        Value::Bool(true) => tag::TRUE,
        Value::Int32(_) => tag::INT32,
        Value::Int64(_) => tag::INT64,
        Value::Double(_) => tag::DOUBLE,
        Value::Decimal(_) => tag::DECIMAL,
        Value::String(_) => tag::STRING,
        Value::Object(_) => tag::OBJECT,
        Value::Array(_) => tag::ARRAY,
        Value::Binary { .. } => tag::BINARY,
        Value::ObjectId(_) => tag::OBJECT_ID,
        Value::Date(_) => tag::DATE,
        Value::Timestamp { .. } => tag::TIMESTAMP,
        Value::Regex { .. } => tag::REGEX,
        Value::MinKey => tag::MIN_KEY,
        Value::MaxKey => tag::MAX_KEY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::json::{ParseLimits, parse_value, render_object};

    #[test]
    fn members_are_put_in_their_place() {
        for (document, name, array, member) in [
            ("{}", "a", r#"{"a":[{"x":1},{}]}"#, r#"{"a":5}"#),
            (r#"{"b":"t"}"#, "a", r#"{"b":"t","a":[{"x":1},{}]}"#, r#"{"b":"t","a":5}"#),
            (r#"{"a":{"y":2},"b":[1]}"#, "a", r#"{"a":[{"x":1},{}],"b":[1]}"#, r#"{"a":5,"b":[1]}"#),
        ] {
            let packed = parse_value(document.as_bytes(), ParseLimits::default()).unwrap();
            let one = parse_value(br#"{"x":1}"#, ParseLimits::default()).unwrap();
            let (ValueRef::Object(root), ValueRef::Object(one)) = (packed.get(), one.get()) else {
                panic!("no object")
            };
            let text = |body: &[u8]| {
                let mut text = Vec::new();
                render_object(&mut text, RawObject::from_body(body));
                String::from_utf8(text).unwrap()
            };
            let elements = [one, RawObject::EMPTY].into_iter();
            assert_eq!(text(&pack_with_array(root, name, elements)), array, "{document}");
            assert_eq!(text(&pack_with_member(root, name, ValueRef::Int32(5))), member, "{document}");
        }
    }
}
