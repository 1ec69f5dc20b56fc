//! JSON text as a client wants it laid out: what stands before each level, after a name's colon and at an end of line.

use bytes::Bytes;
use veddb_storage::document::ValueRef;
use veddb_storage::document::json::{put_string, render_value};

use crate::error::CommandError;
use crate::reply::Reply;

/// INDENT, NEWLINE and SPACE.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) indent: Bytes,
    pub(super) newline: Bytes,
    pub(super) space: Bytes,
}

impl Layout {
    pub(super) fn is_compact(&self) -> bool {
        self.indent.is_empty() && self.newline.is_empty() && self.space.is_empty()
    }

    /// Begins a line `level` levels deep.
    pub(super) fn line(&self, out: &mut Vec<u8>, level: usize) {
        out.extend_from_slice(&self.newline);
        (0..level).for_each(|_| out.extend_from_slice(&self.indent));
    }

    /// How many bytes the laying out of a value adds to its text. Recursion is bounded by the depth of a document.
    pub(super) fn added(&self, value: ValueRef<'_>, level: usize) -> usize {
        let line = |level: usize| self.newline.len() + level * self.indent.len();
        match value {
            ValueRef::Array(elements) if !elements.is_empty() => {
                let inner = elements.iter().map(|value| line(level + 1) + self.added(value, level + 1));
                line(level) + inner.sum::<usize>()
            }
            ValueRef::Object(members) if !members.is_empty() => {
                let one = line(level + 1) + self.space.len();
                line(level) + members.iter().map(|(_, value)| one + self.added(value, level + 1)).sum::<usize>()
            }
            _ => 0,
        }
    }

    /// Appends a value that stands `level` levels deep. Recursion is bounded by the depth of a document.
    pub(super) fn put(&self, out: &mut Vec<u8>, value: ValueRef<'_>, level: usize) {
        match value {
            ValueRef::Array(elements) if !self.is_compact() => {
                self.put_array(out, elements.iter(), level);
            }
            ValueRef::Object(members) if !self.is_compact() => {
                self.put_object(out, members.iter(), level, |out, value| self.put(out, value, level + 1));
            }
            value => render_value(out, value),
        }
    }

    /// Appends an array of these values.
    pub(super) fn put_array<'v>(&self, out: &mut Vec<u8>, values: impl Iterator<Item = ValueRef<'v>>, level: usize) {
        out.push(b'[');
        let mut any = false;
        for value in values {
            if any {
                out.push(b',');
            }
            any = true;
            self.line(out, level + 1);
            self.put(out, value, level + 1);
        }
        if any {
            self.line(out, level);
        }
        out.push(b']');
    }

    /// Appends an object of these members, each of whose values `put` appends.
    pub(super) fn put_object<'n, V>(
        &self,
        out: &mut Vec<u8>,
        members: impl Iterator<Item = (&'n str, V)>,
        level: usize,
        put: impl Fn(&mut Vec<u8>, V),
    ) {
        out.push(b'{');
        let mut any = false;
        for (name, value) in members {
            if any {
                out.push(b',');
            }
            any = true;
            self.line(out, level + 1);
            put_string(out, name);
            out.push(b':');
            out.extend_from_slice(&self.space);
            put(out, value);
        }
        if any {
            self.line(out, level);
        }
        out.push(b'}');
    }
}

/// How RESP3 is answered values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// As JSON text.
    Text,
    /// Numbers, strings, booleans and null as the protocol's own, objects and arrays as JSON text.
    Scalars,
    /// All as the protocol's own.
    All,
}

impl Format {
    /// Reads its name.
    pub(super) fn parse(name: &[u8]) -> Option<Format> {
        match name {
            b"STRING" => Some(Format::Text),
            b"EXPAND1" => Some(Format::Scalars),
            b"EXPAND" => Some(Format::All),
            _ => None,
        }
    }

    /// RedisJSON's answer to another name.
    pub(super) fn unknown() -> CommandError {
        CommandError::err("wrong reply format")
    }

    /// A value as a reply. Recursion is bounded by the depth of a document.
    pub(super) fn reply(self, value: ValueRef<'_>, layout: &Layout) -> Reply {
        match value {
            ValueRef::Null => Reply::Null,
            ValueRef::Bool(value) => Reply::Boolean(value),
            ValueRef::Int32(n) => Reply::Integer(i64::from(n)),
            ValueRef::Int64(n) => Reply::Integer(n),
            ValueRef::Double(n) => Reply::Double(n),
            ValueRef::String(text) if self == Format::All => Reply::text(text),
            ValueRef::Array(elements) if self == Format::All => {
                Reply::Array(elements.iter().map(|element| self.reply(element, layout)).collect())
            }
            ValueRef::Object(members) if self == Format::All => {
                let pair = |(name, value)| (Reply::text(name), self.reply(value, layout));
                Reply::Map(members.iter().map(pair).collect())
            }
            value => {
                let mut out = Vec::new();
                layout.put(&mut out, value, 0);
                Reply::Bulk(out.into())
            }
        }
    }
}
