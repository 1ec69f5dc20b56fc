//! At which element of an array a filter matched: what the positional `$` of updates and projections stands for.
//!
//! Only asked of documents that match. Of several conditions the last one counts that reaches into the array at hand, in
//! MongoDB's order of operators; where none does, the last one that reaches into any array. What stands under `$not` or
//! `$nor` says nothing of an element, and neither does an `$or` but for equalities with one path, which are an `$in`.

use super::super::codec::{RawArray, RawObject, ValueRef};
use super::super::path::{Leaf, Path};
use super::{Filter, Node, Test};

impl Filter {
    /// The index of the first element through which the document matches, for the array at this path.
    pub fn matched_element(&self, document: RawObject<'_>, array: &Path) -> Option<usize> {
        let mut seen = Seen { document, array, here: None, elsewhere: None };
        seen.visit(&self.root);
        seen.here.or(seen.elsewhere)
    }
}

struct Seen<'d> {
    document: RawObject<'d>,
    array: &'d Path,
    here: Option<usize>,
    elsewhere: Option<usize>,
}

impl Seen<'_> {
    // The parser bounds the nesting.
    fn visit(&mut self, node: &Node) {
        match node {
            Node::And(nodes) => {
                let mut nodes: Vec<&Node> = nodes.iter().collect();
                nodes.sort_by_key(|node| if let Node::Field(_, test) = node { test.rank() } else { 0 });
                nodes.into_iter().for_each(|node| self.visit(node));
            }
            Node::Or(nodes) => match nodes.as_slice() {
                [only] => self.visit(only),
                nodes => self.any_of(nodes),
            },
            Node::Field(path, test) => {
                self.field(path, &**test);
            }
            // The last of them counts that is an element.
            Node::All(path, all) => {
                all.tests().rev().any(|test| self.field(path, test));
            }
            _ => {}
        }
    }

    fn any_of(&mut self, nodes: &[Node]) {
        let mut tests = Vec::with_capacity(nodes.len());
        let mut shared = None;
        for node in nodes {
            let Node::Field(path, test) = node else { return };
            if test.equals_any().is_none() || *shared.get_or_insert(path) != path {
                return;
            }
            tests.push(&**test);
        }
        if let Some(path) = shared {
            self.field(path, &AnyOf(tests));
        }
    }

    fn field(&mut self, path: &Path, test: &dyn Test) -> bool {
        let Some((steps, index)) = first(self.document, path, test) else { return false };
        let place = if path.segments().get(..steps) == Some(self.array.segments()) {
            &mut self.here
        } else {
            &mut self.elsewhere
        };
        *place = Some(index);
        true
    }
}

/// Several tests of which one is enough.
#[derive(Debug)]
struct AnyOf<'t>(Vec<&'t dyn Test>);

impl Test for AnyOf<'_> {
    fn passes(&self, value: Option<ValueRef<'_>>) -> bool {
        self.0.iter().any(|test| test.passes(value))
    }
}

/// The first element that passes, of the first array on the path that is not entered by an index, and how many steps
/// of the path lead to that array.
fn first(document: RawObject<'_>, path: &Path, test: &dyn Test) -> Option<(usize, usize)> {
    let (mut object, mut steps) = (document, 0);
    loop {
        let rest = path.after(steps)?;
        let (inside, mut array) = rest.first_array(object)?;
        steps += inside;
        // A step that is an index enters the element; nothing was searched for then.
        loop {
            if let Some(index) = search(array, path.after(steps).as_ref(), test) {
                return Some((steps, index));
            }
            let index = path.segments().get(steps)?.index?;
            steps += 1;
            match array.get(index)? {
                ValueRef::Array(inner) => array = inner,
                ValueRef::Object(inner) => {
                    object = inner;
                    break;
                }
                _ => return None,
            }
        }
    }
}

fn search(array: RawArray<'_>, rest: Option<&Path>, test: &dyn Test) -> Option<usize> {
    match rest {
        None if test.leaf() == Leaf::Whole => test.first_element(array),
        None => array.iter().position(|element| test.passes(Some(element))),
        Some(rest) => array.iter().position(|element| match element {
            ValueRef::Object(object) => rest.any(object, test.leaf(), &mut |value| test.passes(value)),
            _ => false,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::json::{ParseLimits, parse_value};
    use super::super::FilterLimits;
    use super::*;

    #[test]
    fn the_first_element_that_matches() {
        for (filter, document, array, expected) in [
            (r#"{"a":{"$gte":2}}"#, r#"{"a":[1,2,3]}"#, "a", Some(1)),
            (r#"{"a.b":{"$gte":2}}"#, r#"{"a":[{"b":1},{"b":5}]}"#, "a", Some(1)),
            (r#"{"a":{"$elemMatch":{"b":1,"c":2}}}"#, r#"{"a":[{"b":1},{"b":1,"c":2}]}"#, "a", Some(1)),
            (r#"{"a.b":{"$elemMatch":{"$gt":1}}}"#, r#"{"a":{"b":[1,2]}}"#, "a.b", Some(1)),
            (r#"{"a":{"$all":[3,5]}}"#, r#"{"a":[1,3,5]}"#, "a", Some(2)),
            (r#"{"$and":[{"a":{"$gt":1}},{"a":{"$lt":5}}]}"#, r#"{"a":[1,2,3,4,5]}"#, "a", Some(1)),
            (r#"{"b":2,"a":3}"#, r#"{"a":[3],"b":[1,2]}"#, "b", Some(1)),
            (r#"{"b":2}"#, r#"{"a":[3,4],"b":[1,2]}"#, "a", Some(1)),
            (r#"{"$or":[{"a":4},{"a":3}]}"#, r#"{"a":[3,4]}"#, "a", Some(0)),
            (r#"{"$or":[{"a":4},{"b":3}]}"#, r#"{"a":[3,4]}"#, "a", None),
            (r#"{"$nor":[{"a":9}]}"#, r#"{"a":[3,4]}"#, "a", None),
            (r#"{"a":[3,4]}"#, r#"{"a":[3,4]}"#, "a", None),
            (r#"{"a":{"$size":2}}"#, r#"{"a":[3,4]}"#, "a", None),
            (r#"{"a.0":3}"#, r#"{"a":[3,4]}"#, "a", None),
            (r#"{"a.1.b":4}"#, r#"{"a":[3,{"b":[3,4]}]}"#, "a.1.b", Some(1)),
            (r#"{"a":1}"#, r#"{"a":1}"#, "a", None),
        ] {
            let tree = Filter::parse(filter.as_bytes(), &FilterLimits::default()).unwrap();
            let packed = parse_value(document.as_bytes(), ParseLimits::default()).unwrap();
            let ValueRef::Object(root) = packed.get() else { panic!("not an object") };
            assert_eq!(tree.matched_element(root, &Path::new(array)), expected, "{filter} on {document}");
        }
    }
}
