//! PROJECT: which members of a document are answered, and which are computed.
//!
//! MongoDB's rules: either the named paths are kept or they are left out, `_id` is kept unless it is left out by name, the
//! document's order of members stays, and a path goes into each element of an array. `$slice`, `$elemMatch`, the
//! positional `.$` and expressions come on top. What only keeps or leaves out is written straight as JSON.

mod compute;
mod parse;
mod render;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use veddb_storage::document::expression::{Expression, Watch, Work};
use veddb_storage::document::json::render_object;
use veddb_storage::document::path::Path;
use veddb_storage::document::{Filter, Object, RawObject, Value, ValueRef, codec};

use crate::context::Limits;
use crate::error::{CommandError, ErrorCode};

pub use parse::{OPERATORS, ProjectionOperator};

/// A parsed projection.
#[derive(Debug)]
pub struct Project {
    /// The named paths are kept; else they are left out.
    keep: bool,
    tree: Branch,
    /// What is done to arrays once the rest is there.
    cuts: Vec<Cut>,
    /// Whether it has to be worked out in memory.
    computes: bool,
}

/// What a projection looks at beside the document.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'s> {
    /// The filter that the document matches, for the positional `.$`.
    pub filter: Option<&'s Filter>,
    /// The time, milliseconds since 1970.
    pub now_ms: u64,
    /// The values of the variables that the projection was read with, in their order.
    pub variables: &'s [Option<Value>],
    /// Who may end it before it is done.
    pub watch: Option<&'s dyn Watch>,
}

/// The named members of one level, in the order in which they were named.
#[derive(Debug, Default)]
struct Branch {
    twigs: Vec<(String, Twig)>,
    /// Their positions, where they are many.
    positions: HashMap<String, usize>,
}

/// With more members than this a branch looks them up by hash.
const SCANNED_MAX: usize = 8;

#[derive(Debug)]
enum Twig {
    /// The path ends here: kept or left out.
    End,
    /// It goes on.
    On(Branch),
    /// Kept, be it that named paths are left out.
    Whole,
    /// Not what is stored here but this.
    Computed(Computed),
}

/// What stands in place of a stored value.
#[derive(Debug)]
enum Computed {
    Expression(Box<Expression>),
    /// The first element of the array at the path through which the filter matches.
    ElemMatch(Box<Filter>, Path),
}

/// What becomes of an array.
#[derive(Debug)]
struct Cut {
    path: Path,
    kind: CutKind,
}

#[derive(Debug, Clone, Copy)]
enum CutKind {
    /// `$slice`: from an index, negative from the end, so many.
    Slice { skip: i64, limit: i64 },
    /// `.$`: the element at which the query's filter matched.
    Positional,
}

impl Project {
    /// Reads a PROJECT argument; none when it asks for the whole document.
    pub fn parse(text: &[u8], limits: &Limits) -> Result<Option<Project>, CommandError> {
        parse::argument(text, limits)
    }

    /// Reads what `$project` takes; no operators of queries stand in it. Its expressions may use these variables.
    pub fn stage(object: RawObject<'_>, limits: &Limits, variables: &[&str]) -> Result<Project, String> {
        parse::stage(object, limits, variables)
    }

    /// Reads what `$set` takes: expressions for paths, beside which everything stays. They may use these variables.
    pub fn set(object: RawObject<'_>, limits: &Limits, variables: &[&str]) -> Result<Project, String> {
        parse::set(object, limits, variables)
    }

    /// Reads what `$unset` takes: a path or several, which are left out, and nothing else.
    pub fn unset(operand: ValueRef<'_>, limits: &Limits) -> Result<Project, String> {
        parse::unset(operand, limits)
    }

    /// The paths that are kept, where that is all it does; none when it says what is left out or computes.
    pub fn kept(&self) -> Option<Vec<String>> {
        if !self.keep || self.computes {
            return None;
        }
        let mut paths = Vec::new();
        self.tree.paths("", &mut paths);
        Some(paths)
    }

    /// Whether what a filter finds at this path is the same before and after.
    pub fn leaves(&self, path: &str) -> bool {
        if !self.cuts.is_empty() || path.split('.').any(|segment| segment.bytes().all(|byte| byte.is_ascii_digit())) {
            return false;
        }
        let mut branch = &self.tree;
        for segment in path.split('.') {
            match branch.get(segment) {
                None => return !self.keep,
                Some(Twig::End) => return self.keep,
                Some(Twig::On(inner)) if !inner.computes() => branch = inner,
                Some(_) => return false,
            }
        }
        false
    }

    /// Whether it shows the element of an array at which the query's filter matched.
    pub fn is_positional(&self) -> bool {
        self.cuts.iter().any(|cut| matches!(cut.kind, CutKind::Positional))
    }

    /// Checks that the filter can say which element the positional `.$` is.
    pub fn check_filter(&self, filter: &Filter) -> Result<(), CommandError> {
        if self.is_positional() && filter.reads_documents() {
            return Err(bad("the positional .$ needs a filter without tests of whole documents, such as $expr"));
        }
        Ok(())
    }

    /// Appends the document's projection as JSON.
    pub fn render(&self, out: &mut Vec<u8>, document: RawObject<'_>, sight: Sight<'_>) -> Result<(), CommandError> {
        self.render_within(out, document, sight, &Work::default())
    }

    /// The same, its expressions within what several evaluations may do together.
    pub fn render_within(
        &self,
        out: &mut Vec<u8>,
        document: RawObject<'_>,
        sight: Sight<'_>,
        work: &Work,
    ) -> Result<(), CommandError> {
        if self.computes {
            let body = codec::pack_object(&self.apply_within(document, sight, work).map_err(bad)?);
            render_object(out, RawObject::from_body(&body));
        } else {
            self.write(out, document, &self.tree);
        }
        Ok(())
    }

    /// The document's projection. The error names the path.
    pub fn apply(&self, document: RawObject<'_>, sight: Sight<'_>) -> Result<Object, String> {
        self.apply_within(document, sight, &Work::default())
    }

    /// The same, its expressions within what several evaluations may do together.
    pub fn apply_within(&self, document: RawObject<'_>, sight: Sight<'_>, work: &Work) -> Result<Object, String> {
        compute::apply(self, document, sight, work)
    }

    /// Whether it has to be worked out, which may take long.
    pub fn computes(&self) -> bool {
        self.computes
    }
}

impl Branch {
    // The projection's depth bounds it.
    fn paths(&self, before: &str, paths: &mut Vec<String>) {
        for (name, twig) in &self.twigs {
            match twig {
                Twig::On(branch) => branch.paths(&format!("{before}{name}."), paths),
                Twig::End | Twig::Whole | Twig::Computed(_) => paths.push(format!("{before}{name}")),
            }
        }
    }

    fn position(&self, name: &str) -> Option<usize> {
        if self.twigs.len() > SCANNED_MAX {
            return self.positions.get(name).copied();
        }
        self.twigs.iter().position(|(n, _)| n == name)
    }

    fn get(&self, name: &str) -> Option<&Twig> {
        self.position(name).and_then(|at| self.twigs.get(at)).map(|(_, twig)| twig)
    }

    fn push(&mut self, name: &str, twig: Twig) {
        self.positions.insert(name.to_owned(), self.twigs.len());
        self.twigs.push((name.to_owned(), twig));
    }

    fn add(&mut self, path: &str, twig: Twig) -> Result<(), String> {
        let collides = || format!("{path} collides with another path");
        let mut branch = self;
        let mut names = path.split('.');
        let mut name = names.next().unwrap_or_default();
        for next in names {
            let at = match branch.position(name) {
                Some(at) => at,
                None => {
                    branch.push(name, Twig::On(Branch::default()));
                    branch.twigs.len() - 1
                }
            };
            match branch.twigs.get_mut(at) {
                Some((_, Twig::On(inner))) => branch = inner,
                _ => return Err(collides()),
            }
            name = next;
        }
        if branch.position(name).is_some() {
            return Err(collides());
        }
        branch.push(name, twig);
        Ok(())
    }

    /// Whether it computes something, here or further down.
    fn computes(&self) -> bool {
        self.twigs.iter().any(|(_, twig)| match twig {
            Twig::Computed(_) => true,
            Twig::On(branch) => branch.computes(),
            Twig::End | Twig::Whole => false,
        })
    }
}

/// A `BADFILTER` about the projection.
fn bad(what: impl std::fmt::Display) -> CommandError {
    CommandError::new(ErrorCode::BadFilter, format!("PROJECT: {what}"))
}

/// An array without its nothings, which values that were left out leave.
fn present(values: impl Iterator<Item = Option<Value>>) -> Value {
    Value::Array(values.flatten().collect())
}
