//! Whether two JSON values are equal. The order of members is none of it.

use std::collections::HashMap;

use veddb_storage::document::{RawObject, ValueRef};

/// Whether they are, with scalars equal as `scalars` has it. Recursion is bounded by the depth of a document.
pub(super) fn same(a: ValueRef<'_>, b: ValueRef<'_>, scalars: fn(ValueRef<'_>, ValueRef<'_>) -> bool) -> bool {
    match (a, b) {
        (ValueRef::Array(a), ValueRef::Array(b)) => {
            let (mut a, mut b) = (a.iter(), b.iter());
            loop {
                match (a.next(), b.next()) {
                    (Some(a), Some(b)) if same(a, b, scalars) => {}
                    (left, right) => return left.is_none() && right.is_none(),
                }
            }
        }
        (ValueRef::Object(a), ValueRef::Object(b)) => same_members(a, b, scalars),
        (a, b) => scalars(a, b),
    }
}

fn same_members(a: RawObject<'_>, b: RawObject<'_>, scalars: fn(ValueRef<'_>, ValueRef<'_>) -> bool) -> bool {
    let count = a.iter().count();
    if count != b.iter().count() {
        return false;
    }
    if a.iter().zip(b.iter()).all(|((a, _), (b, _))| a == b) {
        return a.iter().zip(b.iter()).all(|((_, a), (_, b))| same(a, b, scalars));
    }
    // A table, for objects may be large, and names come in any order.
    let members: HashMap<&str, ValueRef<'_>> = b.iter().collect();
    a.iter().all(|(name, value)| members.get(name).is_some_and(|other| same(value, *other, scalars)))
}
