//! DOC.DISTINCT: the different values of a field.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;
use veddb_storage::CollectionHandle;
use veddb_storage::document::json::render_value;
use veddb_storage::document::path::{INDEXES_MAX, Leaf, Path};
use veddb_storage::document::{Filter, RawObject, ValueRef, ordered};

use super::collection;
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::{CommandError, ErrorCode};
use crate::query::exec::{Examined, Run as RunPlan, matching};
use crate::query::find::{Query, planning_cost};
use crate::query::parse_filter;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// DOC.DISTINCT
pub static SPEC: Command = Command {
    name: "DOC.DISTINCT",
    group: Group::Document,
    summary: "Lists the different values of a field.",
    complexity: "O(N log N) with N the number of documents and index entries looked at.",
    arity: -3,
    args: &[Arg::collection(), Arg::string("field"), Arg::json("filter").optional()],
    keys: Keys::FIRST,
    reply: "A JSON array of the values in their order, each as it was met first; of an array its elements. TOOBIG when it is longer than a \
            document may be.",
    examples: &[("DOC.DISTINCT users age", "[36,42]")],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    context.afford(planning_cost(args.bytes(3)))?;
    let path = path(args.text(2)?)?;
    let filter = match args.len() {
        3 => Filter::parse(b"{}", &crate::query::filter_limits(context.limits)).map_err(crate::query::bad_filter)?,
        4 => parse_filter(args.bytes(3), context.limits)?,
        _ => return Err(CommandError::syntax()),
    };
    let mut values = Values::new(path, context.limits.max_document_size);
    if let Some(collection) = collection(args, 1, context)? {
        values.gather(context, &collection, Query::of(filter))?;
    }
    Ok(Reply::Bulk(values.finish()))
}

fn path(text: &str) -> Result<Path, CommandError> {
    let bad = |what: String| Err(CommandError::new(ErrorCode::BadFilter, what));
    if text.contains('\0') {
        return bad("the field has a zero byte".into());
    }
    let path = Path::new(text);
    if path.is_ambiguous() {
        return bad(format!("{text} has more than {INDEXES_MAX} array indexes"));
    }
    Ok(path)
}

/// The values met so far.
struct Values {
    path: Path,
    /// Their JSON, by bytes that are the same for values that are equal and stand in the values' order.
    held: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Bytes of JSON, with a comma for each.
    size: usize,
    size_max: usize,
}

impl Values {
    fn new(path: Path, size_max: usize) -> Values {
        Values { path, held: BTreeMap::new(), size: 0, size_max }
    }

    fn finish(self) -> Bytes {
        let mut text = Vec::with_capacity(self.size + 2);
        text.push(b'[');
        for value in self.held.into_values() {
            if text.len() > 1 {
                text.push(b',');
            }
            text.extend_from_slice(&value);
        }
        text.push(b']');
        Bytes::from(text)
    }

    fn gather(
        &mut self,
        context: &ReadContext<'_>,
        collection: &CollectionHandle,
        query: Query,
    ) -> Result<(), CommandError> {
        let choice = query.choose(context, collection)?;
        context.afford(choice.cost)?;
        let plan = &choice.plan;
        let run = RunPlan { filter: &query.filter, plan, first: usize::MAX, covered: false, max_time_ms: None };
        matching(context, collection, run, &mut Examined::default(), &mut |_, found| {
            self.add(found.root());
            self.size < self.size_max
        })?;
        if self.size >= self.size_max {
            let message = format!("the values are more than {} bytes of JSON", self.size_max);
            return Err(CommandError::new(ErrorCode::TooBig, message));
        }
        plan.note_use(context.now_ms);
        Ok(())
    }

    fn add(&mut self, document: RawObject<'_>) {
        let Values { path, held, size, .. } = self;
        path.any(document, Leaf::Elements, &mut |value| {
            let empty = matches!(value, Some(ValueRef::Array(array)) if array.is_empty());
            if let Some(value) = value.filter(|_| !empty) {
                let mut bytes = Vec::new();
                ordered::put(&mut bytes, value);
                if let Entry::Vacant(place) = held.entry(bytes) {
                    let mut text = Vec::new();
                    render_value(&mut text, value);
                    *size += text.len() + 1;
                    place.insert(text);
                }
            }
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use veddb_storage::document::json::{ParseLimits, parse_value};

    #[test]
    fn values_are_told_apart_by_value() {
        for (path, documents, expected) in [
            ("a", r#"[{"a":1},{"a":1.0},{"a":2},{},{"a":null}]"#, "[null,1,2]"),
            ("a", r#"[{"a":[1,2,[3]]},{"a":[]},{"a":[3]}]"#, "[1,2,3,[3]]"),
            ("a.b", r#"[{"a":{"b":1}},{"a":[{"b":2},{"b":[3,4]},5]},{"a":6}]"#, "[1,2,3,4]"),
            ("a.1", r#"[{"a":[1,2]},{"a":{"1":3}}]"#, "[2,3]"),
            ("a", r#"[{"a":{"x":1,"y":2}},{"a":{"y":2,"x":1}}]"#, r#"[{"x":1,"y":2},{"y":2,"x":1}]"#),
        ] {
            let packed = parse_value(documents.as_bytes(), ParseLimits::default()).unwrap();
            let ValueRef::Array(list) = packed.get() else { panic!("not an array") };
            let mut values = Values::new(Path::new(path), usize::MAX);
            for document in list.iter() {
                let ValueRef::Object(root) = document else { panic!("not an object") };
                values.add(root);
            }
            assert_eq!(values.finish(), expected, "{path} of {documents}");
        }
    }
}
