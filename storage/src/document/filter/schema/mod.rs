//! `$jsonSchema`: MongoDB's dialect of JSON Schema, which is draft 4 with BSON's types.
//!
//! Its own evaluator, for the words of the dialect are not those of the crates: `bsonType`, types that JSON has not,
//! `exclusiveMinimum` as a flag, keywords that are errors when they are misspelt, numbers equal across types. It reads
//! packed documents as they are; there is no JSON between.
//!
//! A keyword is one entry in a table ([`KEYWORDS`]). Nesting is bounded by that of the filter's text.

mod keyword;
mod rule;

use super::super::codec::{RawObject, ValueRef};
use super::{Asking, DocumentTest, FilterError, Node, Parser};
use rule::Rule;

pub use keyword::KEYWORDS;

/// A keyword of a schema.
pub struct Keyword {
    /// As it is written.
    pub name: &'static str,
    /// One sentence for the reference.
    pub summary: &'static str,
    /// Reads its value; none when it asks nothing by itself.
    parse: Parse,
}

type Parse = fn(&mut Reader<'_, '_>, Given<'_>) -> Result<Option<Rule>, FilterError>;

/// A keyword's value where it stands.
#[derive(Clone, Copy)]
struct Given<'a> {
    name: &'static str,
    value: ValueRef<'a>,
    /// The schema it stands in.
    schema: RawObject<'a>,
}

/// Words of JSON Schema that MongoDB does not have.
const UNSUPPORTED: [&str; 6] = ["$ref", "$schema", "default", "definitions", "format", "id"];

/// A schema: all of its rules hold of a value.
#[derive(Debug)]
struct Schema {
    rules: Vec<Rule>,
}

/// Reads `$jsonSchema`.
pub(super) fn parse(parser: &mut Parser<'_>, operand: ValueRef<'_>) -> Result<Option<Node>, FilterError> {
    let mut reader = Reader { parser, place: Vec::new() };
    let schema = reader.schema(operand)?;
    Ok(Some(Node::Document(Box::new(schema))))
}

impl DocumentTest for Schema {
    fn passes(&self, document: RawObject<'_>, _: &Asking<'_>) -> bool {
        self.fits(ValueRef::Object(document))
    }
}

impl Schema {
    fn fits(&self, value: ValueRef<'_>) -> bool {
        self.rules.iter().all(|rule| rule.fits(value))
    }
}

/// Reads a schema and knows where in it it is.
struct Reader<'p, 'l> {
    parser: &'p mut Parser<'l>,
    place: Vec<String>,
}

impl Reader<'_, '_> {
    fn error(&self, what: impl std::fmt::Display) -> FilterError {
        let place = self.place.join(".");
        FilterError(if place.is_empty() {
            format!("$jsonSchema: {what}")
        } else {
            format!("$jsonSchema at {place}: {what}")
        })
    }

    /// Reads what stands inside of a name.
    fn inside<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self) -> Result<T, FilterError>,
    ) -> Result<T, FilterError> {
        self.place.push(name.to_owned());
        let found = read(self)?;
        self.place.pop();
        Ok(found)
    }

    fn schema(&mut self, value: ValueRef<'_>) -> Result<Schema, FilterError> {
        let ValueRef::Object(object) = value else {
            return Err(self.error("needs an object"));
        };
        let mut rules = Vec::new();
        for (name, value) in object.iter() {
            self.parser.count()?;
            let Some(keyword) =
                KEYWORDS.iter().flat_map(|(_, family)| family.iter()).find(|keyword| keyword.name == name)
            else {
                let known = UNSUPPORTED.contains(&name);
                return Err(
                    self.error(format_args!("{} keyword {name}", if known { "unsupported" } else { "unknown" }))
                );
            };
            let given = Given { name: keyword.name, value, schema: object };
            rules.extend(self.inside(name, |reader| (keyword.parse)(reader, given))?);
        }
        Ok(Schema { rules })
    }
}

#[cfg(test)]
mod tests;
