//! The keywords, and how each reads its value.

use std::cmp::Ordering;

use dec::Decimal128;

use super::super::super::codec::{Packed, RawObject, ValueRef};
use super::super::super::order::compare;
use super::super::super::regex::compile_to_test;
use super::super::super::value::Kind;
use super::super::FilterError;
use super::super::element::NEVER;
use super::rule::{Others, Rule, short_decimal, unordered};
use super::{Given, Keyword, Reader, Schema};

type Read = Result<Option<Rule>, FilterError>;

/// The keywords, by family.
pub const KEYWORDS: &[(&str, &[Keyword])] =
    &[("any value", ANY), ("numbers", NUMBERS), ("text", TEXTS), ("arrays", ARRAYS), ("objects", OBJECTS)];

const ANY: &[Keyword] = &[
    Keyword { name: "bsonType", summary: "The type, or the types, by MongoDB's names.", parse: bson_type },
    Keyword { name: "type", summary: "The type, or the types, by JSON's names.", parse: json_type },
    Keyword { name: "enum", summary: "One of these values.", parse: one_of_values },
    Keyword { name: "allOf", summary: "All of the schemas.", parse: all_of },
    Keyword { name: "anyOf", summary: "At least one of the schemas.", parse: any_of },
    Keyword { name: "oneOf", summary: "Exactly one of the schemas.", parse: one_of },
    Keyword { name: "not", summary: "Not the schema.", parse: not },
    Keyword { name: "title", summary: "Text for whoever reads the schema.", parse: text },
    Keyword { name: "description", summary: "Text for whoever reads the schema.", parse: text },
];

const NUMBERS: &[Keyword] = &[
    Keyword { name: "minimum", summary: "A number of at least this.", parse: minimum },
    Keyword { name: "exclusiveMinimum", summary: "Whether `minimum` itself is too little.", parse: exclusive_minimum },
    Keyword { name: "maximum", summary: "A number of at most this.", parse: maximum },
    Keyword { name: "exclusiveMaximum", summary: "Whether `maximum` itself is too much.", parse: exclusive_maximum },
    Keyword { name: "multipleOf", summary: "A number that is a multiple of this.", parse: multiple_of },
];

const TEXTS: &[Keyword] = &[
    Keyword { name: "minLength", summary: "Text of at least so many characters.", parse: min_length },
    Keyword { name: "maxLength", summary: "Text of at most so many characters.", parse: max_length },
    Keyword { name: "pattern", summary: "Text that the regular expression finds itself in.", parse: pattern },
];

const ARRAYS: &[Keyword] = &[
    Keyword { name: "minItems", summary: "An array of at least so many elements.", parse: min_items },
    Keyword { name: "maxItems", summary: "An array of at most so many elements.", parse: max_items },
    Keyword { name: "uniqueItems", summary: "Whether the elements have to differ.", parse: unique_items },
    Keyword { name: "items", summary: "What all elements are, or a schema for each by its place.", parse: items },
    Keyword {
        name: "additionalItems",
        summary: "What the elements beyond those of `items` are.",
        parse: additional_items,
    },
];

const OBJECTS: &[Keyword] = &[
    Keyword { name: "required", summary: "Names that have to be there.", parse: required },
    Keyword { name: "minProperties", summary: "An object of at least so many members.", parse: min_properties },
    Keyword { name: "maxProperties", summary: "An object of at most so many members.", parse: max_properties },
    Keyword { name: "properties", summary: "What the members of these names are.", parse: properties },
    Keyword {
        name: "patternProperties",
        summary: "What the members are whose names match.",
        parse: pattern_properties,
    },
    Keyword {
        name: "additionalProperties",
        summary: "What all other members are, or whether there may be any.",
        parse: additional_properties,
    },
    Keyword { name: "dependencies", summary: "What else holds where a name is there.", parse: dependencies },
];

fn bson_type(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    if given.schema.get("type").is_some() {
        return Err(reader.error("type stands beside it"));
    }
    types(reader, given, |name, kinds| {
        let known = kinds.len();
        kinds.extend(Kind::ALL.iter().filter(|kind| kind.name() == name || (name == "number" && kind.is_number())));
        kinds.len() > known || NEVER.iter().any(|(never, _)| *never == name)
    })
}

fn json_type(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    types(reader, given, |name, kinds| {
        match name {
            "object" => kinds.push(Kind::Object),
            "array" => kinds.push(Kind::Array),
            "string" => kinds.push(Kind::String),
            "boolean" => kinds.push(Kind::Bool),
            "null" => kinds.push(Kind::Null),
            "number" => kinds.extend(Kind::ALL.iter().filter(|kind| kind.is_number())),
            _ => return false,
        }
        true
    })
}

fn types(reader: &mut Reader<'_, '_>, given: Given<'_>, add: fn(&str, &mut Vec<Kind>) -> bool) -> Read {
    let names = match given.value {
        ValueRef::String(name) => vec![name.to_owned()],
        ValueRef::Array(_) => names(reader, given.value)?,
        _ => return Err(reader.error("needs a type's name or an array of them")),
    };
    let mut kinds = Vec::new();
    for name in names {
        if !add(&name, &mut kinds) {
            return Err(reader.error(format_args!("no such type: {name:?}")));
        }
    }
    Ok(Some(Rule::Kinds(kinds)))
}

/// An array of texts, at least one, none twice.
fn names(reader: &mut Reader<'_, '_>, value: ValueRef<'_>) -> Result<Vec<String>, FilterError> {
    let ValueRef::Array(list) = value else {
        return Err(reader.error("needs an array of strings"));
    };
    let mut names = Vec::new();
    for name in list.iter() {
        let ValueRef::String(name) = name else {
            return Err(reader.error("needs an array of strings"));
        };
        names.push(name.to_owned());
    }
    if names.is_empty() {
        return Err(reader.error("the array has nothing in it"));
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    if names.len() < count {
        return Err(reader.error("a string stands in the array twice"));
    }
    Ok(names)
}

fn one_of_values(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    let ValueRef::Array(list) = given.value else {
        return Err(reader.error("needs an array"));
    };
    let mut values: Vec<Packed> = list.iter().map(unordered).collect();
    if values.is_empty() {
        return Err(reader.error("the array has nothing in it"));
    }
    let count = values.len();
    values.sort_by(|a, b| compare(a.get(), b.get()));
    values.dedup_by(|a, b| compare(a.get(), b.get()).is_eq());
    if values.len() < count {
        return Err(reader.error("a value stands in the array twice"));
    }
    Ok(Some(Rule::OneOfValues(values)))
}

fn all_of(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    Ok(Some(Rule::All(schemas(reader, given.value)?)))
}

fn any_of(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    Ok(Some(Rule::Any(schemas(reader, given.value)?)))
}

fn one_of(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    Ok(Some(Rule::One(schemas(reader, given.value)?)))
}

fn schemas(reader: &mut Reader<'_, '_>, value: ValueRef<'_>) -> Result<Vec<Schema>, FilterError> {
    let ValueRef::Array(list) = value else {
        return Err(reader.error("needs an array of schemas"));
    };
    if list.is_empty() {
        return Err(reader.error("the array has nothing in it"));
    }
    list_of_schemas(reader, list.iter())
}

fn list_of_schemas<'a>(
    reader: &mut Reader<'_, '_>,
    list: impl Iterator<Item = ValueRef<'a>>,
) -> Result<Vec<Schema>, FilterError> {
    list.enumerate().map(|(at, schema)| reader.inside(&at.to_string(), |reader| reader.schema(schema))).collect()
}

fn not(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    Ok(Some(Rule::Not(Box::new(reader.schema(given.value)?))))
}

fn text(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    match given.value {
        ValueRef::String(_) => Ok(None),
        _ => Err(reader.error("needs a string")),
    }
}

fn minimum(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    bound(reader, given, Ordering::Greater, "exclusiveMinimum")
}

fn maximum(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    bound(reader, given, Ordering::Less, "exclusiveMaximum")
}

fn bound(reader: &mut Reader<'_, '_>, given: Given<'_>, side: Ordering, flag: &str) -> Read {
    if !given.value.kind().is_number() {
        return Err(reader.error("needs a number"));
    }
    let exclusive = matches!(given.schema.get(flag), Some(ValueRef::Bool(true)));
    Ok(Some(Rule::Bound { bound: Packed::from_ref(given.value), side, exclusive }))
}

fn exclusive_minimum(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    exclusive(reader, given, "minimum")
}

fn exclusive_maximum(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    exclusive(reader, given, "maximum")
}

fn exclusive(reader: &mut Reader<'_, '_>, given: Given<'_>, beside: &str) -> Read {
    if given.value.kind() != Kind::Bool {
        return Err(reader.error("needs true or false"));
    }
    if given.schema.get(beside).is_none() {
        return Err(reader.error(format_args!("needs {beside} beside it")));
    }
    Ok(None)
}

fn multiple_of(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    let number = short_decimal(given.value).filter(|n| n.is_finite() && *n > Decimal128::ZERO);
    Ok(Some(Rule::Multiple(number.ok_or_else(|| reader.error("needs a number greater than 0"))?)))
}

fn min_length(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    at_least(reader, given, Kind::String)
}

fn max_length(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    at_most(reader, given, Kind::String)
}

fn min_items(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    at_least(reader, given, Kind::Array)
}

fn max_items(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    at_most(reader, given, Kind::Array)
}

fn min_properties(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    at_least(reader, given, Kind::Object)
}

fn max_properties(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    at_most(reader, given, Kind::Object)
}

fn at_least(reader: &mut Reader<'_, '_>, given: Given<'_>, of: Kind) -> Read {
    Ok(Some(Rule::Size { of, at_least: count(reader, given)?, at_most: usize::MAX }))
}

fn at_most(reader: &mut Reader<'_, '_>, given: Given<'_>, of: Kind) -> Read {
    Ok(Some(Rule::Size { of, at_least: 0, at_most: count(reader, given)? }))
}

fn count(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Result<usize, FilterError> {
    let number = given.value.to_value().as_integer().and_then(|n| usize::try_from(n).ok());
    number.ok_or_else(|| reader.error("needs a whole number that is not negative"))
}

fn pattern(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    let ValueRef::String(pattern) = given.value else {
        return Err(reader.error("needs a string"));
    };
    Ok(Some(Rule::Pattern(regex(reader, pattern)?)))
}

fn regex(reader: &mut Reader<'_, '_>, pattern: &str) -> Result<regex::Regex, FilterError> {
    let size_max = reader.parser.limits().regex_size;
    compile_to_test(pattern, "", size_max).map_err(|what| reader.error(what))
}

fn unique_items(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    match given.value {
        ValueRef::Bool(true) => Ok(Some(Rule::Unique)),
        ValueRef::Bool(false) => Ok(None),
        _ => Err(reader.error("needs true or false")),
    }
}

fn items(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    let (first, others) = match given.value {
        ValueRef::Array(list) => {
            let first = list_of_schemas(reader, list.iter())?;
            // Whether it is well formed is asked where it stands itself.
            let others = given.schema.get("additionalItems").map(|others| read_others(reader, others)).transpose()?;
            (first, others.unwrap_or(Others::Any))
        }
        ValueRef::Object(_) => (Vec::new(), Others::As(Box::new(reader.schema(given.value)?))),
        _ => return Err(reader.error("needs a schema or an array of schemas")),
    };
    Ok(Some(Rule::Elements { first, others }))
}

fn additional_items(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    read_others(reader, given.value).map(|_| None)
}

fn read_others(reader: &mut Reader<'_, '_>, value: ValueRef<'_>) -> Result<Others, FilterError> {
    match value {
        ValueRef::Bool(true) => Ok(Others::Any),
        ValueRef::Bool(false) => Ok(Others::None),
        ValueRef::Object(_) => Ok(Others::As(Box::new(reader.schema(value)?))),
        _ => Err(reader.error("needs true, false or a schema")),
    }
}

fn required(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    Ok(Some(Rule::Required(names(reader, given.value)?)))
}

/// The three keywords on members are one rule, made where the first of them stands.
fn members(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    let first = given.schema.iter().find(|(name, _)| MEMBERS.contains(name));
    if first.is_none_or(|(name, _)| name != given.name) {
        return Ok(None);
    }
    // Each is read in its own place.
    reader.place.pop();
    let mut named = Vec::new();
    let mut patterns = Vec::new();
    let mut others = Others::Any;
    for (keyword, value) in given.schema.iter() {
        match keyword {
            "properties" => {
                named = reader.inside(keyword, |reader| by_name(reader, value))?;
                named.sort_by(|(a, _), (b, _)| a.cmp(b));
            }
            "patternProperties" => {
                let list = reader.inside(keyword, |reader| by_name(reader, value))?;
                let regexes = list.into_iter().map(|(pattern, schema)| Ok((regex(reader, &pattern)?, schema)));
                patterns = regexes.collect::<Result<_, FilterError>>()?;
            }
            "additionalProperties" => others = reader.inside(keyword, |reader| read_others(reader, value))?,
            _ => {}
        }
    }
    reader.place.push(given.name.to_owned());
    Ok(Some(Rule::Members { named, patterns, others }))
}

const MEMBERS: [&str; 3] = ["properties", "patternProperties", "additionalProperties"];

fn by_name(reader: &mut Reader<'_, '_>, value: ValueRef<'_>) -> Result<Vec<(String, Schema)>, FilterError> {
    let object = object(reader, value)?;
    let schemas = object.iter().map(|(name, schema)| {
        let schema = reader.inside(name, |reader| reader.schema(schema))?;
        Ok((name.to_owned(), schema))
    });
    schemas.collect()
}

fn object<'a>(reader: &Reader<'_, '_>, value: ValueRef<'a>) -> Result<RawObject<'a>, FilterError> {
    match value {
        ValueRef::Object(object) => Ok(object),
        _ => Err(reader.error("needs an object")),
    }
}

fn properties(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    members(reader, given)
}

fn pattern_properties(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    members(reader, given)
}

fn additional_properties(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    members(reader, given)
}

fn dependencies(reader: &mut Reader<'_, '_>, given: Given<'_>) -> Read {
    let object = object(reader, given.value)?;
    let list = object.iter().map(|(name, demand)| {
        let rule = reader.inside(name, |reader| match demand {
            ValueRef::Array(_) => Ok(Rule::Required(names(reader, demand)?)),
            ValueRef::Object(_) => Ok(Rule::Whole(Box::new(reader.schema(demand)?))),
            _ => Err(reader.error("needs an array of names or a schema")),
        })?;
        Ok((name.to_owned(), rule))
    });
    Ok(Some(Rule::Depends(list.collect::<Result<_, FilterError>>()?)))
}
