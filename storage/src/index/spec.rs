//! What an index is made of: fields with their directions, and its options.
//!
//! Owns how a specification is read, checked and written down. Does not know trees.

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::Error;
use crate::document::Filter;
use crate::document::filter::FilterLimits;
use crate::document::path::{INDEXES_MAX as ARRAY_INDEXES_MAX, Path};

/// The most indexes of a collection beside the one on `_id`.
pub const INDEXES_MAX: usize = 64;
/// The most fields of an index, as in MongoDB.
pub const FIELDS_MAX: usize = 32;
/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 120;

/// An index as it is written down: in the log, in checkpoints, in answers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IndexDefinition {
    /// Its name.
    pub name: String,
    /// Its fields as JSON: `{"a":1,"b.c":-1}`.
    pub keys: String,
    /// Two documents cannot have one key.
    #[serde(default)]
    pub unique: bool,
    /// Documents with none of the fields are left out.
    #[serde(default)]
    pub sparse: bool,
    /// Documents that do not match this filter, JSON, are left out.
    #[serde(default)]
    pub partial: Option<String>,
    /// Documents are deleted this many seconds after the date in the field.
    #[serde(default)]
    pub expire_after_s: Option<u64>,
}

/// An index as it is used.
#[derive(Debug)]
pub struct IndexSpec {
    /// As it is written down; the keys in their canonical text.
    pub definition: IndexDefinition,
    /// The fields, in order.
    pub fields: Vec<IndexField>,
    /// The parsed `partial`.
    pub partial: Option<Filter>,
    /// Whether entries can stand for documents in answers: no field leads into another.
    pub(crate) rebuildable: bool,
}

/// One field of an index.
#[derive(Debug, Clone)]
pub struct IndexField {
    /// The path as it was given.
    pub text: String,
    /// The path.
    pub path: Path,
    /// Whether greater values come first.
    pub descending: bool,
}

impl IndexSpec {
    /// Reads a definition.
    ///
    /// # Errors
    /// `BadIndex` says what is wrong with it.
    pub fn new(definition: IndexDefinition) -> Result<IndexSpec, Error> {
        check_name(&definition.name)?;
        let fields = parse_keys(&definition.keys)?;
        let partial = match &definition.partial {
            None => None,
            Some(text) => Some(
                Filter::parse(text.as_bytes(), &FilterLimits::default())
                    .map_err(|error| Error::BadIndex(format!("PARTIAL: {error}")))?,
            ),
        };
        if partial.as_ref().is_some_and(Filter::reads_documents) {
            return bad("PARTIAL: tests of whole documents, such as $expr, cannot stand there");
        }
        if definition.expire_after_s.is_some() && fields.len() != 1 {
            return bad("EXPIREAFTER needs an index on a single field");
        }
        let overlap = |at: usize, field: &IndexField| fields.iter().skip(at + 1).any(|f| f.path.overlaps(&field.path));
        let rebuildable = !fields.iter().enumerate().any(|(at, field)| overlap(at, field));
        let definition = IndexDefinition { keys: canonical(&fields), ..definition };
        Ok(IndexSpec { definition, fields, partial, rebuildable })
    }

    /// That of the tree of expiries ([`super::expiry`]), whose entries are not made of members of documents.
    pub(super) fn of_expiries() -> IndexSpec {
        let definition = IndexDefinition {
            name: "_expiry".into(),
            keys: "{}".into(),
            unique: false,
            sparse: false,
            partial: None,
            expire_after_s: None,
        };
        IndexSpec { definition, fields: Vec::new(), partial: None, rebuildable: false }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.definition.name
    }
}

fn bad<T>(what: impl Into<String>) -> Result<T, Error> {
    Err(Error::BadIndex(what.into()))
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return bad(format!("bad index name: it has {} bytes, 1 to {NAME_BYTES_MAX} are allowed", name.len()));
    }
    if name.starts_with(['_', '$']) || name.chars().any(char::is_control) {
        return bad("bad index name: it may not start with _ or $, nor hold control characters");
    }
    Ok(())
}

fn canonical(fields: &[IndexField]) -> String {
    let field = |field: &IndexField| {
        let name = serde_json::Value::from(field.text.as_str());
        format!("{name}:{}", if field.descending { -1 } else { 1 })
    };
    format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
}

fn parse_keys(text: &str) -> Result<Vec<IndexField>, Error> {
    let Members(members) =
        serde_json::from_str(text).map_err(|error| Error::BadIndex(format!("keys: not a JSON object: {error}")))?;
    if members.is_empty() {
        return bad("keys: needs at least one field");
    }
    if members.len() > FIELDS_MAX {
        return bad(format!("keys: {} fields, more than {FIELDS_MAX}", members.len()));
    }
    let mut fields: Vec<IndexField> = Vec::with_capacity(members.len());
    for (text, direction) in members {
        if text.split('.').any(|segment| segment.is_empty() || segment.starts_with('$')) || text.contains('\0') {
            return bad(format!("keys: {} is not a path", serde_json::Value::from(text)));
        }
        if fields.iter().any(|field| field.text == text) {
            return bad(format!("keys: {text} stands there twice"));
        }
        let descending = match direction.as_f64() {
            Some(1.0) => false,
            Some(-1.0) => true,
            _ => return bad(format!("keys: {text} needs 1 or -1")),
        };
        let path = Path::new(&text);
        if path.is_ambiguous() {
            return bad(format!("keys: {text} has more than {ARRAY_INDEXES_MAX} array indexes"));
        }
        fields.push(IndexField { path, text, descending });
    }
    Ok(fields)
}

/// A JSON object's members as they stand there: a repeated name is seen.
struct Members(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of paths with 1 or -1")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Result<String, Error> {
        let definition = IndexDefinition { name: "i".into(), keys: text.into(), ..IndexDefinition::default() };
        IndexSpec::new(definition).map(|spec| spec.definition.keys)
    }

    #[test]
    fn keys_are_read_and_written() {
        assert_eq!(keys(r#" { "a" : 1, "b.c" : -1.0 } "#).unwrap(), r#"{"a":1,"b.c":-1}"#);
        for bad in [
            "",
            "{}",
            "[]",
            r#""a""#,
            r#"{"a":2}"#,
            r#"{"a":"text"}"#,
            r#"{"a":1,"a":-1}"#,
            r#"{"":1}"#,
            r#"{"a..b":1}"#,
            r#"{"$a":1}"#,
        ] {
            assert!(matches!(keys(bad), Err(Error::BadIndex(_))), "{bad}");
        }
    }

    #[test]
    fn options_are_checked() {
        let spec = |change: fn(&mut IndexDefinition)| {
            let keys = r#"{"a":1}"#.into();
            let mut definition = IndexDefinition { name: "i".into(), keys, ..IndexDefinition::default() };
            change(&mut definition);
            IndexSpec::new(definition).is_ok()
        };
        assert!(spec(|d| d.expire_after_s = Some(5)));
        assert!(spec(|d| d.partial = Some(r#"{"b":{"$gt":1}}"#.into())));
        assert!(!spec(|d| d.partial = Some(r#"{"b":{"$wrong":1}}"#.into())));
        assert!(!spec(|d| {
            d.keys = r#"{"a":1,"b":1}"#.into();
            d.expire_after_s = Some(5);
        }));
        assert!(!spec(|d| d.name = "_id_".into()));
        assert!(!spec(|d| d.name = String::new()));
    }
}
