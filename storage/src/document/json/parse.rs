//! JSON text to packed form, in one pass and without a tree between.
//!
//! Strict RFC 8259 over UTF-8. Of members with one name the last one's value wins, at the first one's place.
//! Nesting is counted here (serde_json's own limit is off): typed values such as `{"$date": ..}` are no level.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::extended::{Wrapper, wrapper};
use crate::Error;
use crate::document::codec::{Packed, RawObject, ValueRef, close, open, put_name, put_payload, tag};
use crate::document::id::{check_id, id_text};

/// Bounds of one JSON text.
#[derive(Debug, Clone, Copy)]
pub struct ParseLimits {
    /// Bytes of text.
    pub size: usize,
    /// Levels of nesting; exactly this many are allowed.
    pub depth: usize,
}

impl Default for ParseLimits {
    fn default() -> ParseLimits {
        ParseLimits { size: 16 << 20, depth: 128 }
    }
}

/// Where the id of a document comes from that is parsed.
#[derive(Clone, Copy)]
pub enum IdSource<'a> {
    /// It is this; an `_id` inside must agree, a missing one is added as a string.
    Given(&'a str),
    /// A missing one is made by this.
    Generate(&'a dyn Fn() -> String),
}

/// A document ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedDocument {
    /// The text of its id.
    pub id: Vec<u8>,
    /// Its packed form, `_id` first.
    pub body: Box<[u8]>,
}

/// Reads one document.
pub fn parse_document(text: &[u8], limits: ParseLimits, ids: IdSource<'_>) -> Result<ParsedDocument, Error> {
    let packed = parse(text, limits, Notation::Extended)?;
    let Some((&tag::OBJECT, body)) = packed.split_first() else {
        let kind = Packed(packed.into_boxed_slice()).get().kind().name();
        return Err(Error::BadDocument(format!("a document is a JSON object, not {kind}")));
    };
    pack_document(RawObject::from_body(body), ids)
}

/// Reads any JSON value.
pub fn parse_value(text: &[u8], limits: ParseLimits) -> Result<Packed, Error> {
    Ok(Packed(parse(text, limits, Notation::Extended)?.into_boxed_slice()))
}

/// Reads any JSON value as what it says: `{"$oid": ..}` is an object of one member. Its text is that again when it is rendered,
/// since nothing else is made of it.
pub fn parse_plain(text: &[u8], limits: ParseLimits) -> Result<Packed, Error> {
    Ok(Packed(parse(text, limits, Notation::Plain)?.into_boxed_slice()))
}

/// The stored form of an object: the same members with `_id` first, added where it is missing.
pub fn pack_document(object: RawObject<'_>, ids: IdSource<'_>) -> Result<ParsedDocument, Error> {
    let RawObject(members) = object;
    let found = object.get("_id");
    let id = match (found, ids) {
        (Some(value), IdSource::Given(given)) => {
            let id = id_text(value)?.into_owned();
            if id != given.as_bytes() {
                let inner = String::from_utf8_lossy(&id);
                return Err(Error::BadDocument(format!("the document's _id is {inner}, not {given}")));
            }
            id
        }
        (Some(value), IdSource::Generate(_)) => id_text(value)?.into_owned(),
        (None, IdSource::Given(given)) => given.as_bytes().to_vec(),
        (None, IdSource::Generate(make)) => make().into_bytes(),
    };
    check_id(&id)?;
    let mut body = Vec::with_capacity(members.len() + id.len() + 16);
    let start = open(&mut body);
    match found {
        None => {
            body.push(tag::STRING);
            put_name(&mut body, b"_id");
            put_name(&mut body, &id);
            body.extend_from_slice(members);
        }
        Some(_) if object.iter().next().is_some_and(|(name, _)| name == "_id") => body.extend_from_slice(members),
        Some(value) => {
            put_member(&mut body, "_id", value);
            for (name, value) in object.iter().filter(|(name, _)| *name != "_id") {
                put_member(&mut body, name, value);
            }
        }
    }
    close(&mut body, start);
    Ok(ParsedDocument { id, body: body.into_boxed_slice() })
}

fn put_member(out: &mut Vec<u8>, name: &str, value: ValueRef<'_>) {
    let tag_at = out.len();
    out.push(0);
    put_name(out, name.as_bytes());
    let tag = put_payload(out, value);
    set(out, tag_at, tag);
}

fn set(out: &mut [u8], at: usize, byte: u8) {
    if let Some(place) = out.get_mut(at) {
        *place = byte;
    }
}

/// What an object that looks like a typed value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notation {
    /// The typed value.
    Extended,
    /// An object.
    Plain,
}

/// The text as tag and payload.
fn parse(text: &[u8], limits: ParseLimits, notation: Notation) -> Result<Vec<u8>, Error> {
    if text.len() > limits.size {
        return Err(Error::TooBig(format!("{} bytes of JSON, more than {}", text.len(), limits.size)));
    }
    let text =
        std::str::from_utf8(text).map_err(|e| Error::BadDocument(format!("not UTF-8 at byte {}", e.valid_up_to())))?;
    let mut sink = Sink {
        out: Vec::with_capacity(text.len() + text.len() / 4 + 32),
        members: Vec::new(),
        fault: None,
        depth_max: limits.depth,
        wrapped: 0,
        notation,
    };
    let mut source = serde_json::Deserializer::from_str(text);
    source.disable_recursion_limit();
    sink.out.push(0);
    let value = ValueSeed { sink: &mut sink, tag_at: 0, depth: 0 };
    match value.deserialize(&mut source).and_then(|()| source.end()) {
        Ok(()) => Ok(sink.out),
        Err(error) => Err(match sink.fault.take() {
            Some(Fault::Depth) => Error::TooBig(format!("more than {} levels of nesting", limits.depth)),
            Some(Fault::Wrapper(name, what)) => {
                Error::BadDocument(format!("bad {name} before byte {}: {what}", offset(text, &error) + 1))
            }
            None => Error::BadDocument(not_json(text, &error)),
        }),
    }
}

/// serde_json's message without its line and column, which one-line input cannot use.
fn not_json(text: &str, error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or(&message);
    let at = if error.is_eof() { text.len() } else { offset(text, error) };
    format!("not JSON: {message} at byte {at}")
}

/// The byte that a serde_json error points at, counted from 0.
fn offset(text: &str, error: &serde_json::Error) -> usize {
    let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    (before + error.column()).saturating_sub(1)
}

/// What serde_json cannot say for us.
enum Fault {
    Depth,
    Wrapper(&'static str, &'static str),
}

/// Where the packed form grows.
struct Sink {
    out: Vec<u8>,
    /// The members of all objects that are open, innermost last; for finding names that come twice.
    members: Vec<Member>,
    fault: Option<Fault>,
    depth_max: usize,
    /// How many Extended JSON wrappers we are inside of.
    wrapped: u8,
    notation: Notation,
}

/// One member that was written.
#[derive(Clone, Copy)]
struct Member {
    /// A hash of the name: different keys, different names.
    key: u64,
    /// Where its tag is.
    at: usize,
}

/// A quick hash. Names made to collide cost their object one merge and change nothing.
fn key(name: &[u8]) -> u64 {
    let mut hash = name.len() as u64;
    for chunk in name.chunks(8) {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
    }
    hash
}

impl Sink {
    fn fail<E: serde::de::Error>(&mut self, fault: Fault) -> E {
        self.fault = Some(fault);
        E::custom("refused")
    }

    /// Starts a member: room for the tag, and the name.
    fn member(&mut self, name: &str) {
        self.members.push(Member { key: key(name.as_bytes()), at: self.out.len() });
        self.out.push(0);
        put_name(&mut self.out, name.as_bytes());
    }

    /// Ends an object whose members are those from `first` on.
    fn end_object(&mut self, start: usize, first: usize) {
        if self.has_twins(first) {
            self.merge_twins(start, first);
        }
        self.members.truncate(first);
        close(&mut self.out, start);
    }

    /// Whether two names may be equal; the merge looks again.
    fn has_twins(&mut self, first: usize) -> bool {
        let members = self.members.get_mut(first..).unwrap_or_default();
        if members.len() > 16 {
            let mut keys: Vec<u64> = members.iter().map(|m| m.key).collect();
            keys.sort_unstable();
            return keys.iter().zip(keys.iter().skip(1)).any(|(a, b)| a == b);
        }
        members.iter().enumerate().any(|(i, a)| members.iter().skip(i + 1).any(|b| a.key == b.key))
    }

    /// Rewrites the open object with each name once: the place of the first, the value of the last.
    fn merge_twins(&mut self, start: usize, first: usize) {
        let Some(written) = self.out.get(start..) else { return };
        let object = RawObject(written);
        let mut last = std::collections::HashMap::new();
        let mut order = Vec::with_capacity(self.members.len() - first);
        for (name, value) in object.iter() {
            if last.insert(name, value).is_none() {
                order.push(name);
            }
        }
        if order.len() == self.members.len() - first {
            return;
        }
        let mut merged = Vec::with_capacity(written.len());
        for name in order {
            put_member(&mut merged, name, last.get(name).copied().unwrap_or(ValueRef::Null));
        }
        self.out.truncate(start);
        self.out.extend_from_slice(&merged);
    }
}

/// Writes one value; its tag goes to `tag_at`.
struct ValueSeed<'s> {
    sink: &'s mut Sink,
    tag_at: usize,
    depth: usize,
}

impl ValueSeed<'_> {
    fn put(self, tag: u8, payload: &[u8]) {
        set(&mut self.sink.out, self.tag_at, tag);
        self.sink.out.extend_from_slice(payload);
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.put(tag::NULL, &[]);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.put(if value { tag::TRUE } else { tag::FALSE }, &[]);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        match i32::try_from(value) {
            Ok(small) => self.put(tag::INT32, &small.to_le_bytes()),
            Err(_) => self.put(tag::INT64, &value.to_le_bytes()),
        }
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => self.visit_f64(value as f64),
        }
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.put(tag::DOUBLE, &value.to_le_bytes());
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        set(&mut self.sink.out, self.tag_at, tag::STRING);
        put_name(&mut self.sink.out, value.as_bytes());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let ValueSeed { sink, tag_at, depth } = self;
        if depth >= sink.depth_max {
            return Err(sink.fail(Fault::Depth));
        }
        set(&mut sink.out, tag_at, tag::ARRAY);
        let start = open(&mut sink.out);
        loop {
            // The element's tag: taken back when there is no further element.
            let tag_at = sink.out.len();
            sink.out.push(0);
            let element = ValueSeed { sink, tag_at, depth: depth + 1 };
            if elements.next_element_seed(element)?.is_none() {
                sink.out.truncate(tag_at);
                break;
            }
        }
        close(&mut sink.out, start);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let ValueSeed { sink, tag_at, depth } = self;
        let payload = sink.out.len();
        let start = open(&mut sink.out);
        let first = sink.members.len();
        set(&mut sink.out, tag_at, tag::OBJECT);
        let mut name = members.next_key_seed(NameSeed { sink, first: true })?;
        if let Some(Some(wrapper)) = name {
            sink.out.truncate(payload);
            return typed(sink, tag_at, wrapper, members);
        }
        if depth >= sink.depth_max {
            return Err(sink.fail(Fault::Depth));
        }
        while name.is_some() {
            let tag_at = sink.members.last().map_or(0, |m| m.at);
            members.next_value_seed(ValueSeed { sink, tag_at, depth: depth + 1 })?;
            name = members.next_key_seed(NameSeed { sink, first: false })?;
        }
        sink.end_object(start, first);
        Ok(())
    }
}

/// Reads the rest of an Extended JSON wrapper whose name was read, and writes the typed value.
fn typed<'de, A: MapAccess<'de>>(
    sink: &mut Sink,
    tag_at: usize,
    wrapper: Wrapper,
    mut members: A,
) -> Result<(), A::Error> {
    let (name, read) = *wrapper;
    // `{"$date":{"$numberLong":..}}` is the deepest there is; the bound keeps hostile nesting off the stack.
    if sink.wrapped >= 2 {
        return Err(sink.fail(Fault::Wrapper(name, "it stands inside other typed values")));
    }
    let mut content = Sink {
        out: vec![0],
        members: Vec::new(),
        fault: None,
        depth_max: 1,
        wrapped: sink.wrapped + 1,
        notation: sink.notation,
    };
    if let Err(error) = members.next_value_seed(ValueSeed { sink: &mut content, tag_at: 0, depth: 0 }) {
        sink.fault = content.fault.map(|fault| match fault {
            Fault::Depth => Fault::Wrapper(name, "its content nests too deep"),
            inner => inner,
        });
        return Err(error);
    }
    if members.next_key::<serde::de::IgnoredAny>()?.is_some() {
        return Err(sink.fail(Fault::Wrapper(name, "it must be the only member")));
    }
    match read(&Packed(content.out.into_boxed_slice()).get().to_value()) {
        Ok(value) => {
            let packed = crate::document::codec::pack_value(&value);
            let Some((&tag, payload)) = packed.0.split_first() else {
                return Err(A::Error::custom("a packed value has a tag"));
            };
            set(&mut sink.out, tag_at, tag);
            sink.out.extend_from_slice(payload);
            Ok(())
        }
        Err(what) => Err(sink.fail(Fault::Wrapper(name, what))),
    }
}

/// Writes a member's name, unless it is the first and opens an Extended JSON wrapper: then it is handed back.
struct NameSeed<'s> {
    sink: &'s mut Sink,
    first: bool,
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = Option<Wrapper>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed<'_> {
    type Value = Option<Wrapper>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        if self.first
            && self.sink.notation == Notation::Extended
            && let Some(wrapper) = wrapper(name)
        {
            return Ok(Some(wrapper));
        }
        self.sink.member(name);
        Ok(None)
    }
}
