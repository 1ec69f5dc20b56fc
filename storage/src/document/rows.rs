//! What several paths reach in one document, together: a row of values for each element of the array that they share.
//!
//! The entries of an index and the keys of a sort are made of these, so that both have one order.

use smallvec::SmallVec;

use super::codec::{RawArray, RawObject, ValueRef};
use super::path::{self, Leaf, Meets, Segment};

/// One value for each path; none where it is missing.
pub type Row<'a> = SmallVec<[Option<ValueRef<'a>>; 4]>;

/// Two paths lead through different arrays, whose elements have nothing to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parallel;

/// The values that the paths have in the document where none of them meets an array, and a bit for each that does.
pub fn direct<'a, 'p>(document: RawObject<'a>, paths: impl Iterator<Item = &'p [Segment]>) -> (Row<'a>, u32) {
    let (mut row, mut arrays) = (Row::new(), 0);
    for (at, path) in paths.enumerate() {
        row.push(match path::direct(document, path) {
            Meets::Value(value) => Some(value),
            Meets::Nothing => None,
            Meets::Array => {
                arrays |= 1 << at;
                None
            }
        });
    }
    (row, arrays)
}

/// Hands on the rows of a document in which paths meet arrays, until `each` answers false. Where several paths do, they must
/// meet the same array, and the values of each of its elements stand together.
///
/// # Errors
/// When they meet different ones.
pub fn rows<'a, 'p>(
    document: RawObject<'a>,
    paths: impl Iterator<Item = &'p [Segment]>,
    each: &mut dyn FnMut(&Row<'a>) -> bool,
) -> Result<(), Parallel> {
    let paths: SmallVec<[Step<'p>; 4]> = paths.enumerate().collect();
    let row = std::iter::repeat_n(None, paths.len()).collect();
    of_object(document, &paths, row, each).map(|_| ())
}

/// What is left of a path, and which one it is.
type Step<'p> = (usize, &'p [Segment]);

type Each<'e, 'a> = &'e mut dyn FnMut(&Row<'a>) -> bool;

// These two go one array deeper a call, so the document's depth bounds them. They answer whether to go on.

fn of_object<'a>(
    object: RawObject<'a>,
    paths: &[Step<'_>],
    mut row: Row<'a>,
    each: Each<'_, 'a>,
) -> Result<bool, Parallel> {
    let mut many: SmallVec<[Step<'_>; 4]> = SmallVec::new();
    for (at, path) in paths {
        match path::direct(object, path) {
            Meets::Value(value) => set(&mut row, *at, Some(value)),
            Meets::Nothing => set(&mut row, *at, None),
            Meets::Array => many.push((*at, path)),
        }
    }
    match many.as_slice() {
        [] => Ok(each(&row)),
        [(at, path)] => {
            let (mut reached, mut go_on) = (false, true);
            path::in_object(object, path, Leaf::Elements, &mut |value| {
                reached = true;
                set(&mut row, *at, value);
                go_on = each(&row);
                !go_on
            });
            if !reached {
                set(&mut row, *at, None);
                return Ok(each(&row));
            }
            Ok(go_on)
        }
        [(_, first), ..] => {
            let Some((steps, array)) = path::first_array(object, first) else { return Ok(true) };
            let same_way = |path: &[Segment]| {
                path::first_array(object, path).is_some_and(|(other, _)| other == steps)
                    && path.iter().zip(*first).take(steps).all(|(a, b)| a.name == b.name)
                    && path.get(steps).is_none_or(|next| next.index.is_none())
            };
            if !many.iter().all(|(_, path)| same_way(path)) {
                return Err(Parallel);
            }
            for (_, path) in &mut many {
                *path = path.get(steps..).unwrap_or_default();
            }
            of_elements(array, &many, &row, each)
        }
    }
}

fn of_elements<'a>(
    array: RawArray<'a>,
    paths: &[Step<'_>],
    row: &Row<'a>,
    each: Each<'_, 'a>,
) -> Result<bool, Parallel> {
    let mut any = false;
    for element in array.iter() {
        let mut row = row.clone();
        let mut below: SmallVec<[Step<'_>; 4]> = SmallVec::new();
        let mut reached = false;
        for (at, path) in paths {
            match (path, element) {
                ([], _) => {
                    set(&mut row, *at, Some(element));
                    reached = true;
                }
                (path, ValueRef::Object(_)) => {
                    below.push((*at, path));
                    reached = true;
                }
                _ => set(&mut row, *at, None),
            }
        }
        let go_on = match element {
            ValueRef::Object(object) => of_object(object, &below, row, each)?,
            _ if reached => each(&row),
            _ => continue,
        };
        any = true;
        if !go_on {
            return Ok(false);
        }
    }
    if any {
        return Ok(true);
    }
    let mut row = row.clone();
    for (at, path) in paths {
        let whole = path.is_empty() && array.is_empty();
        set(&mut row, *at, whole.then_some(ValueRef::Array(array)));
    }
    Ok(each(&row))
}

fn set<'a>(row: &mut Row<'a>, at: usize, value: Option<ValueRef<'a>>) {
    if let Some(slot) = row.get_mut(at) {
        *slot = value;
    }
}
