//! What a filter says of single paths, in a form that an index can use.

use veddb_storage::document::bounds::Bounds;
use veddb_storage::document::filter::{Node, Test};

/// How many constants of one `$all` are looked at.
const ALL_MAX: usize = 8;

/// That a match has, among the values its path reaches, one inside the bounds.
#[derive(Debug, Clone)]
pub(super) struct Predicate {
    pub(super) path: String,
    pub(super) bounds: Bounds,
}

/// The predicates that every match of a filter meets.
#[derive(Debug, Default, Clone)]
pub(super) struct Predicates<'f> {
    pub(super) all: Vec<Predicate>,
    /// Lists of filters of which a match meets at least one each.
    pub(super) any: Vec<&'f [Node]>,
    /// Whether the filter asks for more than `all` says.
    pub(super) more: bool,
}

impl<'f> Predicates<'f> {
    /// Of a filter.
    pub(super) fn of(root: &'f Node) -> Predicates<'f> {
        let mut found = Predicates::default();
        found.add(root);
        found
    }

    /// Adds what another filter, which must hold as well, says. Its depth bounds this and the two below.
    pub(super) fn add(&mut self, node: &'f Node) {
        match node {
            Node::And(nodes) => nodes.iter().for_each(|node| self.add(node)),
            Node::Or(nodes) => match nodes.as_slice() {
                [only] => self.add(only),
                [] => self.more = true,
                several => {
                    self.any.push(several);
                    self.more = true;
                }
            },
            Node::Nor(nodes) => nodes.iter().for_each(|node| self.add_not(node)),
            Node::Not(node) => self.add_not(node),
            Node::Document(_) => self.more = true,
            Node::All(path, all) => {
                self.more = true;
                // Each narrows the search by itself; a few are enough to choose from.
                let bounds = all.tests().take(ALL_MAX).filter_map(Test::bounds);
                self.all.extend(bounds.map(|bounds| Predicate { path: path.to_string(), bounds }));
            }
            Node::Field(path, test) => {
                match test.bounds() {
                    Some(bounds) => {
                        self.more |= !bounds.exact;
                        self.all.push(Predicate { path: path.to_string(), bounds });
                    }
                    None => self.more = true,
                }
                if let Some(inner) = test.each_element() {
                    self.add_element(&path.to_string(), inner);
                }
            }
        }
    }

    /// A document none of whose values is inside exact bounds has all of them outside.
    fn add_not(&mut self, node: &Node) {
        self.more = true;
        if let Node::Field(path, test) = node
            && let Some(bounds) = test.bounds().and_then(|bounds| bounds.complement())
        {
            self.all.push(Predicate { path: path.to_string(), bounds });
        }
    }

    /// What one element of an array must match, the array itself must match as well, path by path.
    fn add_element(&mut self, outer: &str, node: &Node) {
        match node {
            Node::And(nodes) => nodes.iter().for_each(|node| self.add_element(outer, node)),
            Node::Field(path, test) => {
                // A nested array is asked as an object whose names are its indexes; a path through it means another thing.
                let plain = path.segments().first().is_some_and(|segment| segment.index.is_none());
                // Of such an array a missing value is met without one being in the index.
                if plain && let Some(mut bounds) = test.bounds().filter(|bounds| !bounds.has_missing()) {
                    bounds.exact = false;
                    self.all.push(Predicate { path: format!("{outer}.{path}"), bounds });
                }
            }
            Node::All(..) | Node::Or(_) | Node::Nor(_) | Node::Not(_) | Node::Document(_) => {}
        }
    }

    /// Whether every document with these predicates matches a partial index's filter.
    pub(super) fn imply(&self, partial: &Node) -> bool {
        match partial {
            Node::And(nodes) => nodes.iter().all(|node| self.imply(node)),
            Node::Field(path, test) => {
                let Some(outside) = test.bounds().and_then(|bounds| bounds.complement()) else { return false };
                let path = path.to_string();
                let inside = |p: &&Predicate| p.bounds.intersect(&outside).intervals().is_empty();
                self.all.iter().filter(|p| p.path == path).any(|p| inside(&p))
            }
            Node::All(..) | Node::Or(_) | Node::Nor(_) | Node::Not(_) | Node::Document(_) => false,
        }
    }
}
