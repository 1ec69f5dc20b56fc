//! A small linearizability checker for one register: whether what clients saw of a document can have happened one after the other.
//!
//! Wing and Gong's search: of all operations that nobody has to wait for, each is tried as the next one; what was tried once from
//! one state is not tried again.

use std::collections::HashSet;

/// What a client did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It wrote this value.
    Write(u64),
    /// It read this value; none: there was no document.
    Read(Option<u64>),
}

/// One operation of a client. Times only order them.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// What it did.
    pub action: Action,
    /// When it was sent.
    pub called: u64,
    /// When it was answered; none: it never was, and may have happened at any time since, or not at all.
    pub returned: Option<u64>,
}

/// Whether there is an order that fits all answers, each operation between its call and its return.
pub fn is_linearizable(operations: &[Operation]) -> bool {
    // A read that was not answered says nothing.
    let is_open = |operation: &Operation| operation.returned.is_none();
    let kept = operations.iter().filter(|one| !(is_open(one) && matches!(one.action, Action::Read(_))));
    let mut operations: Vec<Operation> = kept.copied().collect();
    operations.sort_by_key(|operation| operation.called);
    let mut tried = HashSet::new();
    let mut open = vec![(vec![false; operations.len()], None)];
    while let Some((done, value)) = open.pop() {
        let left = || operations.iter().enumerate().filter(|(at, _)| !done[*at]);
        if left().all(|(_, operation)| is_open(operation)) {
            return true;
        }
        // Whoever was called after another one had returned comes after it.
        let first_return = left().filter_map(|(_, operation)| operation.returned).min().unwrap_or(u64::MAX);
        for (at, operation) in left().filter(|(_, operation)| operation.called <= first_return) {
            let after = match operation.action {
                Action::Write(written) => Some(written),
                Action::Read(found) if found == value => value,
                Action::Read(_) => continue,
            };
            let mut next = done.clone();
            next[at] = true;
            if tried.insert((next.clone(), after)) {
                open.push((next, after));
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(value: u64, called: u64, returned: impl Into<Option<u64>>) -> Operation {
        Operation { action: Action::Write(value), called, returned: returned.into() }
    }

    fn read(found: impl Into<Option<u64>>, called: u64, returned: u64) -> Operation {
        Operation { action: Action::Read(found.into()), called, returned: Some(returned) }
    }

    #[test]
    fn what_happened_one_after_the_other() {
        assert!(is_linearizable(&[]));
        assert!(is_linearizable(&[read(None, 1, 2), write(1, 3, 4), read(1, 5, 6)]));
        assert!(!is_linearizable(&[write(1, 1, 2), read(None, 3, 4)]), "an acknowledged write is lost");
        assert!(!is_linearizable(&[write(1, 1, 2), write(2, 3, 4), read(1, 5, 6)]), "a later one is lost");
        assert!(!is_linearizable(&[read(7, 1, 2)]), "nobody wrote it");
    }

    #[test]
    fn what_happened_at_the_same_time_has_any_order() {
        let both = [write(1, 1, 10), write(2, 2, 9)];
        for last in [1, 2] {
            assert!(is_linearizable(&[both[0], both[1], read(last, 11, 12)]));
        }
        assert!(!is_linearizable(&[both[0], both[1], read(1, 11, 12), read(2, 13, 14)]));
        assert!(is_linearizable(&[write(1, 1, 10), read(None, 2, 3), read(1, 4, 5)]));
        assert!(!is_linearizable(&[write(1, 1, 10), read(1, 2, 3), read(None, 4, 5)]), "it goes back");
    }

    #[test]
    fn what_was_not_answered_may_have_happened_at_any_time() {
        let lost = write(2, 2, None);
        assert!(is_linearizable(&[write(1, 1, 3), lost, read(1, 4, 5)]));
        assert!(is_linearizable(&[write(1, 1, 3), lost, read(2, 4, 5)]));
        assert!(is_linearizable(&[write(1, 1, 3), lost, read(1, 4, 5), write(3, 6, 7), read(2, 8, 9)]));
        assert!(!is_linearizable(&[lost, write(1, 3, 4), read(2, 5, 6), read(1, 7, 8)]));
        assert!(!is_linearizable(&[write(1, 1, 2), read(2, 3, 4), write(2, 5, None)]), "read before it was called");
    }
}
