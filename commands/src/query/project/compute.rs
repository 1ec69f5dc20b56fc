//! A projection that computes: what is kept is copied, then come expressions and `$elemMatch`, then what cuts arrays.
//!
//! Expressions look at the document as it is stored, whatever is left out of it.

use veddb_storage::document::expression::{Root, Scope, Work};
use veddb_storage::document::path::{Path, Segment};
use veddb_storage::document::{Object, RawObject, Value, ValueRef};

use super::{Branch, Computed, Cut, CutKind, Project, Sight, Twig, present};

pub(super) fn apply(
    project: &Project,
    document: RawObject<'_>,
    sight: Sight<'_>,
    work: &Work,
) -> Result<Object, String> {
    let now_ms = i64::try_from(sight.now_ms).unwrap_or(i64::MAX);
    let scope = Scope { root: Root::Packed(document), now_ms, variables: sight.variables, watch: sight.watch };
    let mut object = project.copy(document, &project.tree);
    Computing { document, scope, work }.members(&mut object, &project.tree)?;
    let mut root = Value::Object(object);
    for cut in &project.cuts {
        match cut.kind {
            CutKind::Slice { skip, limit } => slice(&mut root, cut.path.segments(), skip, limit),
            CutKind::Positional => positional(&mut root, cut, document, sight)?,
        }
    }
    match root {
        Value::Object(object) => Ok(object),
        _ => Ok(Object::default()),
    }
}

impl Project {
    // The document's depth bounds these.
    fn copy(&self, object: RawObject<'_>, branch: &Branch) -> Object {
        let shown = object.iter().filter_map(|(name, value)| {
            let twig = branch.get(name);
            self.shows(twig, value).then(|| (name.to_owned(), self.copy_value(value, twig)))
        });
        Object(shown.collect())
    }

    fn copy_value(&self, value: ValueRef<'_>, twig: Option<&Twig>) -> Value {
        match (value, twig) {
            (ValueRef::Object(object), Some(Twig::On(branch))) => Value::Object(self.copy(object, branch)),
            (ValueRef::Array(array), Some(Twig::On(_))) => {
                present(array.iter().map(|e| self.shows(twig, e).then(|| self.copy_value(e, twig))))
            }
            (value, _) => value.to_value(),
        }
    }
}

struct Computing<'d> {
    document: RawObject<'d>,
    scope: Scope<'d>,
    work: &'d Work,
}

impl Computing<'_> {
    // The projection's and the document's depth bound these.
    fn members(&self, object: &mut Object, branch: &Branch) -> Result<(), String> {
        for (name, twig) in &branch.twigs {
            match twig {
                Twig::Computed(computed) => match self.value(computed).map_err(|what| format!("{name}: {what}"))? {
                    Some(value) => object.set(name, value),
                    None => {
                        object.remove(name);
                    }
                },
                Twig::On(inner) if inner.computes() => match object.get_mut(name) {
                    Some(value) => self.inside(value, inner)?,
                    None => {
                        let mut made = Object::default();
                        self.members(&mut made, inner)?;
                        object.set(name, Value::Object(made));
                    }
                },
                Twig::On(_) | Twig::End | Twig::Whole => {}
            }
        }
        Ok(())
    }

    fn inside(&self, value: &mut Value, branch: &Branch) -> Result<(), String> {
        match value {
            Value::Object(object) => self.members(object, branch),
            Value::Array(elements) => elements.iter_mut().try_for_each(|element| self.inside(element, branch)),
            // A value without members makes room for an object.
            scalar => {
                let mut made = Object::default();
                self.members(&mut made, branch)?;
                *scalar = Value::Object(made);
                Ok(())
            }
        }
    }

    fn value(&self, computed: &Computed) -> Result<Option<Value>, String> {
        match computed {
            Computed::Expression(expression) => {
                expression.evaluate_within(&self.scope, self.work).map_err(|error| error.0)
            }
            Computed::ElemMatch(filter, path) => {
                let [segment] = path.segments() else { return Ok(None) };
                let Some(ValueRef::Array(array)) = self.document.get(&segment.name) else { return Ok(None) };
                let element = filter.matched_element(self.document, path).and_then(|index| array.get(index));
                Ok(element.map(|element| Value::Array(vec![element.to_value()])))
            }
        }
    }
}

/// Cuts the arrays at the path, also those in the elements of arrays on the way.
fn slice(value: &mut Value, path: &[Segment], skip: i64, limit: i64) {
    let Some((segment, rest)) = path.split_first() else { return };
    let Value::Object(object) = value else { return };
    let Some(child) = object.get_mut(&segment.name) else { return };
    match child {
        Value::Array(elements) if rest.is_empty() => {
            let length = i64::try_from(elements.len()).unwrap_or(i64::MAX);
            let from = if skip < 0 { length.saturating_add(skip).max(0) } else { skip.min(length) };
            let to = from.saturating_add(limit).min(length);
            let index = |n: i64| usize::try_from(n).unwrap_or(0);
            elements.truncate(index(to));
            elements.drain(..index(from).min(elements.len()));
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| slice(element, rest, skip, limit)),
        child if !rest.is_empty() => slice(child, rest, skip, limit),
        _ => {}
    }
}

/// Leaves of the first array on the path the element at which the filter matched.
fn positional(root: &mut Value, cut: &Cut, document: RawObject<'_>, sight: Sight<'_>) -> Result<(), String> {
    let mut place = root;
    for (at, segment) in cut.path.segments().iter().enumerate() {
        let Value::Object(object) = place else { return Ok(()) };
        let Some(child) = object.get_mut(&segment.name) else { return Ok(()) };
        let Value::Array(elements) = child else {
            place = child;
            continue;
        };
        let names: Vec<&str> = cut.path.segments().iter().take(at + 1).map(|segment| &*segment.name).collect();
        let array = Path::new(&names.join("."));
        let index = sight.filter.and_then(|filter| filter.matched_element(document, &array));
        let Some(index) = index.filter(|index| *index < elements.len()) else {
            return Err(format!("{}.$: the filter matched no element of the array", cut.path));
        };
        let element = elements.swap_remove(index);
        *elements = vec![element];
        return Ok(());
    }
    Ok(())
}
