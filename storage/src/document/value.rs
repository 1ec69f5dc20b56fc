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

/// A type as `$type` and messages name it. The discriminants are BSON's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i8)]
pub enum Kind {
    /// `minKey`
    MinKey = -1,
    /// `double`
    Double = 1,
    /// `string`
    String = 2,
    /// `object`
    Object = 3,
    /// `array`
    Array = 4,
    /// `binData`
    Binary = 5,
    /// `objectId`
    ObjectId = 7,
    /// `bool`
    Bool = 8,
    /// `date`
    Date = 9,
    /// `null`
    Null = 10,
    /// `regex`
    Regex = 11,
    /// `int`
    Int32 = 16,
    /// `timestamp`
    Timestamp = 17,
    /// `long`
    Int64 = 18,
    /// `decimal`
    Decimal = 19,
    /// `maxKey`
    MaxKey = 127,
}

impl Kind {
    /// Every type.
    pub const ALL: [Kind; 16] = [
        Kind::MinKey,
        Kind::Double,
        Kind::String,
        Kind::Object,
        Kind::Array,
        Kind::Binary,
        Kind::ObjectId,
        Kind::Bool,
        Kind::Date,
        Kind::Null,
        Kind::Regex,
        Kind::Int32,
        Kind::Timestamp,
        Kind::Int64,
        Kind::Decimal,
        Kind::MaxKey,
    ];

    /// MongoDB's alias for it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::MinKey => "minKey",
            Kind::Double => "double",
            Kind::String => "string",
            Kind::Object => "object",
            Kind::Array => "array",
            Kind::Binary => "binData",
            Kind::ObjectId => "objectId",
            Kind::Bool => "bool",
            Kind::Date => "date",
            Kind::Null => "null",
            Kind::Regex => "regex",
            Kind::Int32 => "int",
            Kind::Timestamp => "timestamp",
            Kind::Int64 => "long",
            Kind::Decimal => "decimal",
            Kind::MaxKey => "maxKey",
        }
    }

    /// BSON's number for it.
    pub const fn code(self) -> i64 {
        self as i64
    }

    /// Whether it is one of the four kinds of number.
    pub const fn is_number(self) -> bool {
        matches!(self, Kind::Int32 | Kind::Int64 | Kind::Double | Kind::Decimal)
    }
}

impl Value {
    /// Its type.
    pub fn kind(&self) -> Kind {
        match self {
            Value::MinKey => Kind::MinKey,
            Value::Null => Kind::Null,
            Value::Int32(_) => Kind::Int32,
            Value::Int64(_) => Kind::Int64,
            Value::Double(_) => Kind::Double,
            Value::Decimal(_) => Kind::Decimal,
            Value::String(_) => Kind::String,
            Value::Object(_) => Kind::Object,
            Value::Array(_) => Kind::Array,
            Value::Binary { .. } => Kind::Binary,
            Value::ObjectId(_) => Kind::ObjectId,
            Value::Bool(_) => Kind::Bool,
            Value::Date(_) => Kind::Date,
            Value::Timestamp { .. } => Kind::Timestamp,
            Value::Regex { .. } => Kind::Regex,
            Value::MaxKey => Kind::MaxKey,
        }
    }

    /// An integer as the narrowest type that holds it, as JSON text reads.
    pub fn integer(value: i64) -> Value {
        i32::try_from(value).map_or(Value::Int64(value), Value::Int32)
    }

    /// The members, if it is an object.
    pub fn as_object(&self) -> Option<&Object> {
        if let Value::Object(object) = self { Some(object) } else { None }
    }

    /// The elements, if it is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Value::Array(values) = self { Some(values) } else { None }
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = self { Some(text) } else { None }
    }

    /// The whole number it is, whatever its numeric type; none for a fraction or anything else.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Value::Int32(n) => Some(i64::from(*n)),
            Value::Int64(n) => Some(*n),
            // Both bounds are exact doubles; the upper one itself is one too many.
            Value::Double(n) if n.fract() == 0.0 && *n >= i64::MIN as f64 && *n < i64::MAX as f64 => Some(*n as i64),
            Value::Decimal(n) if n.is_finite() => {
                // 3.0 and 3E+1 are whole as well.
                let reduced = dec::Context::<Decimal128>::default().reduce(*n);
                let whole = (0..=19).contains(&reduced.exponent());
                if whole { reduced.to_standard_notation_string().parse().ok() } else { None }
            }
            _ => None,
        }
    }

    /// Levels of nesting: 0 for a scalar, 1 for an object of scalars.
    pub fn depth(&self) -> usize {
        match self {
            Value::Object(object) => 1 + object.0.iter().map(|(_, v)| v.depth()).max().unwrap_or(0),
            Value::Array(values) => 1 + values.iter().map(Value::depth).max().unwrap_or(0),
            _ => 0,
        }
    }
}

impl Object {
    /// The member of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// The member of this name, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.0.iter_mut().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// Sets a member: in its place if there is one of this name, else at the end.
    pub fn set(&mut self, name: &str, value: Value) {
        match self.get_mut(name) {
            Some(place) => *place = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Takes the member of this name out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(n, _)| n == name)?;
        Some(self.0.remove(at).1)
    }
}
