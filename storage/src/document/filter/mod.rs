//! Filters: MongoDB's query language, parsed once into a tree and asked of packed documents.
//!
//! An operator is one entry in a table: [`FIELD`] for those that stand under a path (`{"a": {"$gt": 1}}`), [`TREE`] for those that
//! stand at the top (`{"$or": [..]}`). Adding one is a function, an entry and its tests.
//! Does not know collections, plans or error codes.

mod array;
mod bits;
mod compare;
mod element;
mod expression;
mod logical;
mod parse;
mod pattern;
mod position;
mod sample;
mod schema;

use std::cell::OnceCell;
use std::fmt;

pub use array::AllOf;
pub use parse::{FilterLimits, Parser};
pub use schema::{KEYWORDS, Keyword};

use super::bounds::{Bounds, Interval};
use super::codec::{Packed, RawArray, RawObject, ValueRef};
use super::expression::{Watch, Work};
use super::id::id_candidates;
use super::ordered::class;
use super::path::{Leaf, Path};
use super::value::Value;

/// Why a filter cannot be; the message names the operator and the path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FilterError(pub String);

/// A parsed filter.
#[derive(Debug)]
pub struct Filter {
    root: Node,
}

/// A filter's tree.
#[derive(Debug)]
pub enum Node {
    /// All of them.
    And(Vec<Node>),
    /// At least one of them.
    Or(Vec<Node>),
    /// None of them.
    Nor(Vec<Node>),
    /// Not this.
    Not(Box<Node>),
    /// Whether some value that the path reaches passes the test.
    Field(Path, Box<dyn Test>),
    /// Whether each of the constants is among the values that the path reaches.
    All(Path, AllOf),
    /// Whether the whole document passes the test.
    Document(Box<dyn DocumentTest>),
}

/// What an operator asks of the whole document.
pub trait DocumentTest: fmt::Debug + Send + Sync {
    /// Whether this document passes; a test that fails notes it in `asking`.
    fn passes(&self, document: RawObject<'_>, asking: &Asking<'_>) -> bool;
}

/// One document being asked.
#[derive(Debug, Default)]
pub struct Asking<'a> {
    /// Now, milliseconds since 1970.
    pub now_ms: u64,
    /// The values of the variables that the filter was parsed with, in their order.
    pub variables: &'a [Option<Value>],
    /// What expressions may do, where that is less than any may.
    pub work: Option<&'a Work>,
    /// Who may end it before it is done.
    pub watch: Option<&'a dyn Watch>,
    fault: OnceCell<FilterError>,
}

impl Asking<'_> {
    /// Notes that the document cannot be asked; the first reason counts.
    pub fn fail(&self, error: FilterError) {
        let _ = self.fault.set(error);
    }
}

/// What a field operator asks of each value that its path reaches.
pub trait Test: fmt::Debug + Send + Sync {
    /// Whether this value passes; None is a missing one.
    fn passes(&self, value: Option<ValueRef<'_>>) -> bool;

    /// Whether an array at the path's end also stands for its elements.
    fn leaf(&self) -> Leaf {
        Leaf::Each
    }

    /// The values it can only be equal to, when that is all it asks. Lets `_id` filters become lookups.
    fn equals_any(&self) -> Option<&[Packed]> {
        None
    }

    /// Between which values what passes lies: a document that passes has one inside where the path ends, elements of an
    /// array standing for it. None where nothing can be said.
    fn bounds(&self) -> Option<Bounds> {
        None
    }

    /// Of a test of whole arrays: the first element that lets this one pass, where it is one element's doing.
    fn first_element(&self, _array: RawArray<'_>) -> Option<usize> {
        None
    }

    /// Its place among the conditions of one `$and`, as MongoDB sorts them: the positional `$` is decided by the last.
    fn rank(&self) -> u8 {
        9
    }

    /// What one and the same element of the array at the path must match, when the elements are objects.
    fn each_element(&self) -> Option<&Node> {
        None
    }
}

/// A field operator.
pub struct FieldOperator {
    /// With its dollar sign.
    pub name: &'static str,
    /// What it takes, in the notation of the reference.
    pub operand: &'static str,
    /// One sentence for the reference.
    pub summary: &'static str,
    /// Reads its operand.
    pub parse: fn(&mut Parser<'_>, Operand<'_>) -> Result<Node, FilterError>,
}

/// An operator that stands where a path could.
pub struct TreeOperator {
    /// With its dollar sign.
    pub name: &'static str,
    /// What it takes, in the notation of the reference.
    pub operand: &'static str,
    /// One sentence for the reference.
    pub summary: &'static str,
    /// Reads its operand; none when it asks nothing.
    pub parse: fn(&mut Parser<'_>, ValueRef<'_>) -> Result<Option<Node>, FilterError>,
}

/// What a field operator is given.
#[derive(Clone, Copy)]
pub struct Operand<'a> {
    /// The operator's name.
    pub name: &'static str,
    /// The path it stands under.
    pub path: &'a str,
    /// Its value.
    pub value: ValueRef<'a>,
    /// The object it stands in, for operators that come in pairs (`$regex`, `$options`).
    pub siblings: RawObject<'a>,
}

impl Operand<'_> {
    /// An error that names operator and path.
    pub fn error(&self, what: impl fmt::Display) -> FilterError {
        FilterError(format!("{} at {}: {what}", self.name, self.path))
    }

    /// A test of the values at the path.
    pub fn node(&self, test: impl Test + 'static) -> Node {
        Node::Field(Path::new(self.path), Box::new(test))
    }
}

/// The field operators, by family.
pub const FIELD: &[(&str, &[FieldOperator])] = &[
    ("comparison", compare::OPERATORS),
    ("what is there", element::OPERATORS),
    ("text", pattern::OPERATORS),
    ("arrays and remainders", array::OPERATORS),
    ("bits", bits::OPERATORS),
    ("negation", logical::FIELD),
];

/// The operators that stand where a path could.
pub const TREE: &[TreeOperator] = logical::TREE;

impl Filter {
    /// Reads a filter from JSON text.
    pub fn parse(text: &[u8], limits: &FilterLimits) -> Result<Filter, FilterError> {
        parse::filter_text(text, limits)
    }

    /// Reads a filter that is a packed object already.
    pub fn from_object(object: RawObject<'_>, limits: &FilterLimits) -> Result<Filter, FilterError> {
        Filter::from_object_with(object, limits, &[])
    }

    /// The same, of a filter whose `$expr` may use these variables; their values are handed to [`Filter::test_with`] in
    /// the same order.
    pub fn from_object_with(
        object: RawObject<'_>,
        limits: &FilterLimits,
        variables: &[&str],
    ) -> Result<Filter, FilterError> {
        Ok(Filter { root: Parser::with_variables(limits, variables).object(object)? })
    }

    /// Reads what stands under a path (`5` or `{"$gt": 5}`), to be asked of single values with [`Filter::matches_value`].
    pub fn condition(value: ValueRef<'_>, limits: &FilterLimits) -> Result<Filter, FilterError> {
        Ok(Filter { root: Parser::new(limits).condition("element", value)? })
    }

    /// Whether the document matches.
    ///
    /// # Errors
    /// Where the filter has an expression that has no value on this document.
    pub fn test(&self, document: RawObject<'_>, now_ms: u64) -> Result<bool, FilterError> {
        self.test_with(document, now_ms, &[], None)
    }

    /// Whether the document matches, with the values of the filter's variables; `watch` may end a long evaluation.
    ///
    /// # Errors
    /// Where the filter has an expression that has no value on this document.
    pub fn test_with(
        &self,
        document: RawObject<'_>,
        now_ms: u64,
        variables: &[Option<Value>],
        watch: Option<&dyn Watch>,
    ) -> Result<bool, FilterError> {
        self.ask(document, Asking { now_ms, variables, watch, ..Asking::default() })
    }

    /// The same as [`Filter::test`], its expressions within what several evaluations may do together.
    ///
    /// # Errors
    /// Those of [`Filter::test`], and where that is not enough.
    pub fn test_within(&self, document: RawObject<'_>, now_ms: u64, work: &Work) -> Result<bool, FilterError> {
        self.ask(document, Asking { now_ms, work: Some(work), ..Asking::default() })
    }

    fn ask(&self, document: RawObject<'_>, asking: Asking<'_>) -> Result<bool, FilterError> {
        let matches = self.root.ask(document, &asking);
        asking.fault.into_inner().map_or(Ok(matches), Err)
    }

    /// Whether the document matches a filter without expressions; see [`Filter::reads_documents`].
    pub fn matches(&self, document: RawObject<'_>) -> bool {
        self.root.matches(document)
    }

    /// Whether it has tests of whole documents, such as expressions.
    pub fn reads_documents(&self) -> bool {
        self.root.reads_documents()
    }

    /// Whether a single value passes a filter made by [`Filter::condition`].
    pub fn matches_value(&self, value: ValueRef<'_>) -> bool {
        self.root.matches_value(value)
    }

    /// Its tree.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// Every path that it looks at in a document.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.root.paths(&mut paths);
        paths
    }

    /// Whether it asks nothing.
    pub fn is_empty(&self) -> bool {
        matches!(&self.root, Node::And(nodes) if nodes.is_empty())
    }

    /// The only keys under which a match can stand, when the filter pins `_id` to constants. What is found there must
    /// still be asked the whole filter: the key of `5` is also the key of `"5"`.
    pub fn id_keys(&self) -> Option<Vec<Vec<u8>>> {
        self.root.id_keys()
    }

    /// The path and value of every equality that any match must have, in order: what an upsert starts from.
    pub fn equalities(&self) -> Vec<(&Path, ValueRef<'_>)> {
        let mut found = Vec::new();
        self.root.equalities(&mut found);
        found
    }
}

impl Node {
    /// See [`Filter::id_keys`].
    pub fn id_keys(&self) -> Option<Vec<Vec<u8>>> {
        let mut keys: Vec<Vec<u8>> = self.id_constants()?.iter().flat_map(|c| id_candidates(c.get())).collect();
        keys.sort();
        keys.dedup();
        Some(keys)
    }

    fn matches(&self, document: RawObject<'_>) -> bool {
        self.ask(document, &Asking::default())
    }

    fn ask(&self, document: RawObject<'_>, asking: &Asking<'_>) -> bool {
        match self {
            Node::And(nodes) => nodes.iter().all(|n| n.ask(document, asking)),
            Node::Or(nodes) => nodes.iter().any(|n| n.ask(document, asking)),
            Node::Nor(nodes) => !nodes.iter().any(|n| n.ask(document, asking)),
            Node::Not(node) => !node.ask(document, asking),
            Node::Field(path, test) => path.any(document, test.leaf(), &mut |value| test.passes(value)),
            Node::All(path, all) => all.met(|found| path.any(document, Leaf::Each, found)),
            Node::Document(test) => test.passes(document, asking),
        }
    }

    fn reads_documents(&self) -> bool {
        match self {
            Node::And(nodes) | Node::Or(nodes) | Node::Nor(nodes) => nodes.iter().any(Node::reads_documents),
            Node::Not(node) => node.reads_documents(),
            Node::Field(..) | Node::All(..) => false,
            Node::Document(_) => true,
        }
    }

    fn matches_value(&self, value: ValueRef<'_>) -> bool {
        match self {
            Node::And(nodes) => nodes.iter().all(|n| n.matches_value(value)),
            Node::Or(nodes) => nodes.iter().any(|n| n.matches_value(value)),
            Node::Nor(nodes) => !nodes.iter().any(|n| n.matches_value(value)),
            Node::Not(node) => !node.matches_value(value),
            Node::Field(_, test) => match value {
                ValueRef::Array(array) if test.leaf() == Leaf::Each => {
                    array.iter().any(|element| test.passes(Some(element))) || test.passes(Some(value))
                }
                value => test.passes(Some(value)),
            },
            Node::All(_, all) => all.met(|found| match value {
                ValueRef::Array(array) => array.iter().any(|element| found(Some(element))) || found(Some(value)),
                value => found(Some(value)),
            }),
            // A value is no document.
            Node::Document(_) => false,
        }
    }

    /// Between which values a single value that matches lies; arrays are asked by their elements, so they may be anywhere.
    fn value_bounds(&self) -> Option<Bounds> {
        match self {
            Node::And(nodes) => nodes.iter().filter_map(Node::value_bounds).reduce(|a, b| a.intersect(&b)),
            Node::Or(nodes) => {
                let each: Option<Vec<Bounds>> = nodes.iter().map(Node::value_bounds).collect();
                each?.into_iter().reduce(|a, b| a.union(&b))
            }
            Node::Field(_, test) => {
                let arrays = vec![Interval::class(class::EMPTY_ARRAY), Interval::class(class::ARRAY)];
                test.bounds().map(|bounds| bounds.union(&Bounds::new(arrays, false)))
            }
            Node::All(..) | Node::Nor(_) | Node::Not(_) | Node::Document(_) => None,
        }
    }

    fn paths(&self, paths: &mut Vec<String>) {
        match self {
            Node::And(nodes) | Node::Or(nodes) | Node::Nor(nodes) => nodes.iter().for_each(|n| n.paths(paths)),
            Node::Not(node) => node.paths(paths),
            Node::Field(path, _) | Node::All(path, _) => paths.push(path.to_string()),
            // The whole: no index has it.
            Node::Document(_) => paths.push(String::new()),
        }
    }

    fn id_constants(&self) -> Option<&[Packed]> {
        match self {
            Node::And(nodes) => nodes.iter().find_map(Node::id_constants),
            Node::Field(path, test) => match path.segments() {
                [only] if &*only.name == "_id" => test.equals_any(),
                _ => None,
            },
            Node::All(..) | Node::Or(_) | Node::Nor(_) | Node::Not(_) | Node::Document(_) => None,
        }
    }

    fn equalities<'n>(&'n self, found: &mut Vec<(&'n Path, ValueRef<'n>)>) {
        match self {
            Node::And(nodes) => nodes.iter().for_each(|n| n.equalities(found)),
            // An $or of one branch is that branch, as MongoDB has it.
            Node::Or(nodes) if nodes.len() == 1 => nodes.iter().for_each(|n| n.equalities(found)),
            Node::Field(path, test) => {
                if let Some([constant]) = test.equals_any() {
                    found.push((path, constant.get()));
                }
            }
            // More than one cannot be planted at one path, and is refused as in MongoDB.
            Node::All(path, all) => found.extend(all.constants().map(|constant| (path, constant))),
            Node::Or(_) | Node::Nor(_) | Node::Not(_) | Node::Document(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
