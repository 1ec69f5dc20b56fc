//! Reading packed documents in place.

use dec::Decimal128;

use super::tag;
use crate::document::value::{Kind, Object, Value};

/// A value inside a packed document. Cheap to copy; strings and containers borrow from the body.
#[derive(Debug, Clone, Copy)]
pub enum ValueRef<'a> {
    /// Sorts before everything.
    MinKey,
    /// `null`
    Null,
    /// A 32-bit integer.
    Int32(i32),
    /// A 64-bit integer.
    Int64(i64),
    /// A double.
    Double(f64),
    /// A decimal of 34 digits.
    Decimal(Decimal128),
    /// Text.
    String(&'a str),
    /// Named members, in order.
    Object(RawObject<'a>),
    /// Values in order.
    Array(RawArray<'a>),
    /// Bytes with BSON's subtype.
    Binary {
        /// BSON's subtype.
        subtype: u8,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// A MongoDB ObjectId.
    ObjectId([u8; 12]),
    /// A boolean.
    Bool(bool),
    /// Milliseconds since 1970, UTC.
    Date(i64),
    /// MongoDB's internal timestamp.
    Timestamp {
        /// Seconds since 1970.
        seconds: u32,
        /// Ordinal within the second.
        increment: u32,
    },
    /// A regular expression.
    Regex {
        /// The pattern.
        pattern: &'a str,
        /// Its options, sorted.
        options: &'a str,
    },
    /// Sorts after everything.
    MaxKey,
}

impl ValueRef<'_> {
    /// Its type.
    pub fn kind(&self) -> Kind {
        match self {
            ValueRef::MinKey => Kind::MinKey,
            ValueRef::Null => Kind::Null,
            ValueRef::Int32(_) => Kind::Int32,
            ValueRef::Int64(_) => Kind::Int64,
            ValueRef::Double(_) => Kind::Double,
            ValueRef::Decimal(_) => Kind::Decimal,
            ValueRef::String(_) => Kind::String,
            ValueRef::Object(_) => Kind::Object,
            ValueRef::Array(_) => Kind::Array,
            ValueRef::Binary { .. } => Kind::Binary,
            ValueRef::ObjectId(_) => Kind::ObjectId,
            ValueRef::Bool(_) => Kind::Bool,
            ValueRef::Date(_) => Kind::Date,
            ValueRef::Timestamp { .. } => Kind::Timestamp,
            ValueRef::Regex { .. } => Kind::Regex,
            ValueRef::MaxKey => Kind::MaxKey,
        }
    }

    /// An owned copy. Recursion is bounded by the nesting the parser allowed.
    pub fn to_value(self) -> Value {
        match self {
            ValueRef::MinKey => Value::MinKey,
            ValueRef::Null => Value::Null,
            ValueRef::Int32(n) => Value::Int32(n),
            ValueRef::Int64(n) => Value::Int64(n),
            ValueRef::Double(n) => Value::Double(n),
            ValueRef::Decimal(n) => Value::Decimal(n),
            ValueRef::String(text) => Value::String(text.to_owned()),
            ValueRef::Object(object) => Value::Object(object.to_object()),
            ValueRef::Array(array) => Value::Array(array.iter().map(ValueRef::to_value).collect()),
            ValueRef::Binary { subtype, bytes } => Value::Binary { subtype, bytes: bytes.to_vec() },
            ValueRef::ObjectId(id) => Value::ObjectId(id),
            ValueRef::Bool(b) => Value::Bool(b),
            ValueRef::Date(ms) => Value::Date(ms),
            ValueRef::Timestamp { seconds, increment } => Value::Timestamp { seconds, increment },
            ValueRef::Regex { pattern, options } => {
                Value::Regex { pattern: pattern.to_owned(), options: options.to_owned() }
            }
            ValueRef::MaxKey => Value::MaxKey,
        }
    }
}

/// One owned packed value: tag and payload. What filters keep their constants in.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Packed(pub(crate) Box<[u8]>);

impl Packed {
    /// The value inside.
    pub fn get(&self) -> ValueRef<'_> {
        let mut cursor = Cursor(&self.0);
        cursor.u8().and_then(|tag| cursor.value(tag)).unwrap_or(ValueRef::Null)
    }

    /// How many bytes it is.
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

/// An object's members, packed.
#[derive(Clone, Copy)]
pub struct RawObject<'a>(pub(crate) &'a [u8]);

impl<'a> RawObject<'a> {
    /// The object without members.
    pub const EMPTY: RawObject<'static> = RawObject(&[]);

    /// The object at the start of a stored body.
    pub fn from_body(body: &'a [u8]) -> RawObject<'a> {
        let members = Cursor(body).sized();
        debug_assert!(members.is_some(), "a body is an object");
        RawObject(members.unwrap_or_default())
    }

    /// The members in order.
    pub fn iter(&self) -> Members<'a> {
        Members(Cursor(self.0))
    }

    /// The member of this name; the others are stepped over unread.
    pub fn get(&self, name: &str) -> Option<ValueRef<'a>> {
        let mut cursor = Cursor(self.0);
        loop {
            let tag = cursor.u8()?;
            if cursor.text()? == name.as_bytes() {
                return cursor.value(tag);
            }
            cursor.skip(tag)?;
        }
    }

    /// The member of this name with its place among the members, and how many were stepped over to find that out.
    pub fn find(&self, name: &str) -> (Option<(usize, ValueRef<'a>)>, usize) {
        let mut cursor = Cursor(self.0);
        let mut place = 0;
        let mut next = || {
            let tag = cursor.u8()?;
            if cursor.text()? == name.as_bytes() {
                return Some(Some(cursor.value(tag)?));
            }
            cursor.skip(tag)?;
            Some(None)
        };
        loop {
            match next() {
                None => return (None, place),
                Some(Some(value)) => return (Some((place, value)), place),
                Some(None) => place += 1,
            }
        }
    }

    /// How many bytes its members take.
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// An owned copy.
    pub fn to_object(&self) -> Object {
        Object(self.iter().map(|(name, value)| (name.to_owned(), value.to_value())).collect())
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for RawObject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// An array's elements, packed.
#[derive(Clone, Copy)]
pub struct RawArray<'a>(pub(crate) &'a [u8]);

impl<'a> RawArray<'a> {
    /// The elements in order.
    pub fn iter(&self) -> Elements<'a> {
        Elements(Cursor(self.0))
    }

    /// How many elements there are; steps over all of them.
    pub fn len(&self) -> usize {
        let mut cursor = Cursor(self.0);
        let mut count = 0;
        while cursor.u8().and_then(|tag| cursor.skip(tag)).is_some() {
            count += 1;
        }
        count
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes its elements take.
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// The element at this index; those before it are stepped over unread.
    pub fn get(&self, index: usize) -> Option<ValueRef<'a>> {
        let mut cursor = Cursor(self.0);
        for _ in 0..index {
            let tag = cursor.u8()?;
            cursor.skip(tag)?;
        }
        let tag = cursor.u8()?;
        cursor.value(tag)
    }
}

impl std::fmt::Debug for RawArray<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Iterator over an object's members.
#[derive(Debug, Clone)]
pub struct Members<'a>(Cursor<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, ValueRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.0.u8()?;
        let name = std::str::from_utf8(self.0.text()?).ok()?;
        Some((name, self.0.value(tag)?))
    }
}

/// Iterator over an array's elements.
#[derive(Debug, Clone)]
pub struct Elements<'a>(Cursor<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = ValueRef<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.0.u8()?;
        self.0.value(tag)
    }
}

/// A value as the renderer needs it: text is not looked at again, it was checked when it was packed.
pub(crate) enum Piece<'a> {
    Text(&'a [u8]),
    Other(ValueRef<'a>),
}

impl<'a> RawObject<'a> {
    /// The members in order, names and texts as bytes.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (&'a [u8], Piece<'a>)> + use<'a> {
        let mut cursor = Cursor(self.0);
        std::iter::from_fn(move || {
            let tag = cursor.u8()?;
            Some((cursor.text()?, cursor.piece(tag)?))
        })
    }
}

impl<'a> RawArray<'a> {
    /// The elements in order, texts as bytes.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece<'a>> + use<'a> {
        let mut cursor = Cursor(self.0);
        std::iter::from_fn(move || {
            let tag = cursor.u8()?;
            cursor.piece(tag)
        })
    }
}

/// What is left to read. Every step answers none where bytes are missing.
#[derive(Debug, Clone)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        let (head, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*head)
    }

    fn varint(&mut self) -> Option<usize> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return usize::try_from(value).ok();
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.varint()?;
        self.take(length)
    }

    fn utf8(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.text()?).ok()
    }

    fn piece(&mut self, tag: u8) -> Option<Piece<'a>> {
        Some(if tag == tag::STRING { Piece::Text(self.text()?) } else { Piece::Other(self.value(tag)?) })
    }

    fn sized(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.fixed()?);
        self.take(length as usize)
    }

    fn value(&mut self, tag: u8) -> Option<ValueRef<'a>> {
        Some(match tag {
            tag::NULL => ValueRef::Null,
            tag::FALSE => ValueRef::Bool(false),
            tag::TRUE => ValueRef::Bool(true),
            tag::INT32 => ValueRef::Int32(i32::from_le_bytes(self.fixed()?)),
            tag::INT64 => ValueRef::Int64(i64::from_le_bytes(self.fixed()?)),
            tag::DOUBLE => ValueRef::Double(f64::from_le_bytes(self.fixed()?)),
            tag::DECIMAL => ValueRef::Decimal(Decimal128::from_le_bytes(self.fixed()?)),
            tag::STRING => ValueRef::String(self.utf8()?),
            tag::OBJECT => ValueRef::Object(RawObject(self.sized()?)),
            tag::ARRAY => ValueRef::Array(RawArray(self.sized()?)),
            tag::BINARY => ValueRef::Binary { subtype: self.u8()?, bytes: self.text()? },
            tag::OBJECT_ID => ValueRef::ObjectId(self.fixed()?),
            tag::DATE => ValueRef::Date(i64::from_le_bytes(self.fixed()?)),
            tag::TIMESTAMP => ValueRef::Timestamp {
                seconds: u32::from_le_bytes(self.fixed()?),
                increment: u32::from_le_bytes(self.fixed()?),
            },
            tag::REGEX => ValueRef::Regex { pattern: self.utf8()?, options: self.utf8()? },
            tag::MIN_KEY => ValueRef::MinKey,
            tag::MAX_KEY => ValueRef::MaxKey,
            _ => return None,
        })
    }

    fn skip(&mut self, tag: u8) -> Option<()> {
        let length = match tag {
            tag::NULL | tag::FALSE | tag::TRUE | tag::MIN_KEY | tag::MAX_KEY => 0,
            tag::INT32 => 4,
            tag::INT64 | tag::DOUBLE | tag::DATE | tag::TIMESTAMP => 8,
            tag::DECIMAL => 16,
            tag::OBJECT_ID => 12,
            tag::STRING => self.varint()?,
            tag::OBJECT | tag::ARRAY => u32::from_le_bytes(self.fixed()?) as usize,
            tag::BINARY => {
                self.u8()?;
                self.varint()?
            }
            tag::REGEX => {
                self.text()?;
                self.varint()?
            }
            _ => return None,
        };
        self.take(length).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Walks everything there is.
    fn walk(value: ValueRef<'_>, depth: usize) {
        match value {
            ValueRef::Object(object) if depth < 200 => {
                for (name, inner) in object.iter() {
                    let _ = object.get(name);
                    walk(inner, depth + 1);
                }
            }
            ValueRef::Array(array) if depth < 200 => {
                let _ = (array.len(), array.get(1));
                array.iter().for_each(|inner| walk(inner, depth + 1));
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            walk(ValueRef::Object(RawObject(&bytes)), 0);
            walk(ValueRef::Array(RawArray(&bytes)), 0);
            walk(Packed(bytes.into()).get(), 0);
        }

        #[test]
        fn plausible_bytes_never_panic(bytes in proptest::collection::vec(0u8..20, 0..200)) {
            walk(ValueRef::Object(RawObject(&bytes)), 0);
            walk(ValueRef::Array(RawArray(&bytes)), 0);
        }
    }
}
