//! Collection schemas: what a collection's options say of its documents, asked before one is written.
//!
//! JSON Schema 2020-12 through the crate `jsonschema`, with `bsonType` as one more keyword. A document is seen as its
//! Extended JSON. References lead to places in the schema itself and never in circles, and what they unfold to is
//! bounded ([`bounds`]): nothing is fetched, and a check takes time in proportion to the schema and the document.
//! Does not know commands. Replay does not ask: what is in the log was accepted.

mod bounds;
mod bson_type;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Number, Value as Json};

use crate::document::json::{ParseLimits, parse_value, render_value};
use crate::document::{RawObject, ValueRef};

/// The longest schema, bytes of its text.
pub const SCHEMA_BYTES_MAX: usize = 256 << 10;
/// The largest compiled regular expression of a schema, bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// The only dialect.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Which writes a schema is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Validation {
    /// All of them.
    #[default]
    Strict,
    /// All but changes of documents that do not fit as they are.
    Moderate,
    /// None.
    Off,
}

impl Validation {
    const ALL: [Validation; 3] = [Validation::Strict, Validation::Moderate, Validation::Off];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Validation::Strict => "strict",
            Validation::Moderate => "moderate",
            Validation::Off => "off",
        }
    }

    /// The one of this name, whatever its case.
    pub fn of_name(name: &str) -> Option<Validation> {
        Validation::ALL.into_iter().find(|validation| validation.name().eq_ignore_ascii_case(name))
    }
}

/// A compiled schema.
pub struct CollectionSchema {
    validator: Validator,
    validation: Validation,
}

impl std::fmt::Debug for CollectionSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CollectionSchema").field("validation", &self.validation).finish_non_exhaustive()
    }
}

impl CollectionSchema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn new(schema: RawObject<'_>, validation: Validation) -> Result<CollectionSchema, String> {
        let schema = to_json(ValueRef::Object(schema));
        bounds::check(&schema)?;
        let patterns = PatternOptions::regex().size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_BYTES_MAX);
        let options = jsonschema::options().with_draft(Draft::Draft202012).with_pattern_options(patterns);
        let options = options.with_keyword("bsonType", bson_type::compile);
        match options.build(&schema) {
            Ok(validator) => Ok(CollectionSchema { validator, validation }),
            Err(error) => {
                // Its own message, for a custom keyword's; of the others only the place: the text may hold anything.
                let place = place_of(error.instance_path().as_str());
                Err(match error.kind().keyword() {
                    "bsonType" => format!("{place}: {error}"),
                    _ => format!("{place} is not what JSON Schema allows there"),
                })
            }
        }
    }

    /// Whether a document may be written, `before` being what it replaces; says what does not fit.
    ///
    /// # Errors
    /// Names the keyword and the place in the document.
    pub fn check(&self, before: Option<RawObject<'_>>, after: RawObject<'_>) -> Result<(), String> {
        if self.validation == Validation::Off {
            return Ok(());
        }
        let after = to_json(ValueRef::Object(after));
        // Asked first because it stops at the first thing found; most documents fit.
        if self.validator.is_valid(&after) {
            return Ok(());
        }
        if self.validation == Validation::Moderate
            && let Some(before) = before
            && !self.validator.is_valid(&to_json(ValueRef::Object(before)))
        {
            return Ok(());
        }
        let Err(error) = self.validator.validate(&after) else { return Ok(()) };
        let place = place_of(error.instance_path().as_str());
        let name = match error.kind() {
            jsonschema::error::ValidationErrorKind::Required { property } => format!(": {property} is missing"),
            _ => String::new(),
        };
        Err(format!("{} does not hold at {place}{name}", error.kind().keyword()))
    }
}

/// A JSON pointer as a dotted path.
fn place_of(pointer: &str) -> String {
    match pointer.strip_prefix('/') {
        None => "the root".to_owned(),
        Some(path) => path.replace('/', ".").replace("~1", "/").replace("~0", "~"),
    }
}

/// The text of a collection's options.
pub fn options_text(schema: Option<RawObject<'_>>, validation: Validation) -> String {
    let Some(schema) = schema else { return "{}".to_owned() };
    let mut text = br#"{"schema":"#.to_vec();
    render_value(&mut text, ValueRef::Object(schema));
    text.extend_from_slice(format!(r#","validation":"{}"}}"#, validation.name()).as_bytes());
    String::from_utf8_lossy(&text).into_owned()
}

/// The schema that a collection's options ask for.
///
/// # Errors
/// Where they are not what [`options_text`] writes.
pub(crate) fn of_options(options: &str) -> Result<Option<CollectionSchema>, String> {
    if options == "{}" {
        return Ok(None);
    }
    let packed = parse_value(options.as_bytes(), ParseLimits::default()).map_err(|error| error.to_string())?;
    let ValueRef::Object(options) = packed.get() else { return Err("the options are no object".into()) };
    let Some(ValueRef::Object(schema)) = options.get("schema") else { return Ok(None) };
    let validation = match options.get("validation") {
        Some(ValueRef::String(name)) => Validation::of_name(name).ok_or("the options name no validation")?,
        _ => Validation::default(),
    };
    CollectionSchema::new(schema, validation).map(Some)
}

/// A value as its Extended JSON. Recursion is bounded by the nesting the parser allowed.
fn to_json(value: ValueRef<'_>) -> Json {
    match value {
        ValueRef::Null => Json::Null,
        ValueRef::Bool(flag) => Json::Bool(flag),
        ValueRef::Int32(n) => Json::from(n),
        ValueRef::Int64(n) => Json::from(n),
        ValueRef::Double(n) if n.is_finite() => Number::from_f64(n).map_or(Json::Null, Json::Number),
        ValueRef::String(text) => Json::from(text),
        ValueRef::Array(array) => array.iter().map(to_json).collect(),
        ValueRef::Object(object) => {
            Json::Object(object.iter().map(|(name, value)| (name.to_owned(), to_json(value))).collect())
        }
        typed => {
            let mut text = Vec::new();
            render_value(&mut text, typed);
            serde_json::from_slice(&text).unwrap_or_else(|_| Json::Object(Map::new()))
        }
    }
}

#[cfg(test)]
mod tests;
