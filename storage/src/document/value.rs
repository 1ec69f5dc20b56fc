//! A typed value, owned.
//!
//! The types are BSON's. 32-bit and 64-bit integers are kept apart (`$type` tells them apart) though they compare equal.

pub use dec::Decimal128;

/// One value.
#[derive(Debug, Clone)]
pub enum Value {
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
    String(String),
    /// Named members, in order.
    Object(Object),
    /// Values in order.
    Array(Vec<Value>),
    /// Bytes with BSON's subtype.
    Binary {
        /// BSON's subtype.
        subtype: u8,
        /// The bytes.
        bytes: Vec<u8>,
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
        pattern: String,
        /// Its options, sorted: some of `imsx`.
        options: String,
    },
    /// Sorts after everything.
    MaxKey,
}

/// An object: members in the order they were given, names unique.
#[derive(Debug, Clone, Default)]
pub struct Object(pub Vec<(String, Value)>);
