//! The keyword `bsonType` of collection schemas: MongoDB's names for types, asked of Extended JSON.
//!
//! A number without a fraction is an `int` if 32 bits hold it, and a `long` in any case: JSON does not tell them apart.

use jsonschema::paths::Location;
use jsonschema::{Keyword, ValidationError};
use serde_json::{Map, Value as Json};

use crate::document::Kind;

struct BsonType(Vec<Kind>);

/// Reads the keyword.
pub(super) fn compile<'s>(
    _: &'s Map<String, Json>,
    value: &'s Json,
    _: Location,
) -> Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'s>> {
    let names = match value {
        Json::String(_) => std::slice::from_ref(value),
        Json::Array(names) if !names.is_empty() => names,
        _ => return Err(ValidationError::custom("needs a type's name or an array of them")),
    };
    let mut kinds = Vec::new();
    for name in names {
        let known = kinds.len();
        let is_named = |kind: &&Kind| name == kind.name() || (name == "number" && kind.is_number());
        kinds.extend(Kind::ALL.iter().filter(is_named));
        if kinds.len() == known {
            return Err(ValidationError::custom(format!("no such type: {name}")));
        }
    }
    Ok(Box::new(BsonType(kinds)))
}

impl<'i> Keyword<'i> for BsonType {
    fn validate(&self, instance: &'i Json) -> Result<(), ValidationError<'i>> {
        if self.is_valid(instance) { Ok(()) } else { Err(ValidationError::custom("not of the type")) }
    }

    fn is_valid(&self, instance: &'i Json) -> bool {
        let is = |kind| self.0.contains(&kind);
        match instance {
            Json::Null => is(Kind::Null),
            Json::Bool(_) => is(Kind::Bool),
            Json::Number(number) => match number.as_i64() {
                Some(n) => is(Kind::Int64) || (is(Kind::Int32) && i32::try_from(n).is_ok()),
                None => is(Kind::Double),
            },
            Json::String(_) => is(Kind::String),
            Json::Array(_) => is(Kind::Array),
            // No document has such names but for typed values.
            Json::Object(object) => is(match object.keys().next().map(String::as_str) {
                Some("$numberDouble") => Kind::Double,
                Some("$numberDecimal") => Kind::Decimal,
                Some("$oid") => Kind::ObjectId,
                Some("$date") => Kind::Date,
                Some("$binary") => Kind::Binary,
                Some("$timestamp") => Kind::Timestamp,
                Some("$regularExpression") => Kind::Regex,
                Some("$minKey") => Kind::MinKey,
                Some("$maxKey") => Kind::MaxKey,
                _ => Kind::Object,
            }),
        }
    }
}
