//! Names and ids as commands read and make them.

use std::sync::{Mutex, PoisonError};

use uuid::{ContextV7, Timestamp, Uuid};
use veddb_storage::document::id::check_id;

use crate::args::Args;
use crate::error::{CommandError, ErrorCode};

/// Keeps the ids of one millisecond ascending.
static SEQUENCE: Mutex<Option<ContextV7>> = Mutex::new(None);

/// A new id: a UUID of version 7, so that ids made later sort later.
pub(crate) fn new_id(now_ms: u64) -> String {
    // A panic while it was held cannot have left the counter in a bad state.
    let mut sequence = SEQUENCE.lock().unwrap_or_else(PoisonError::into_inner);
    let sequence = sequence.get_or_insert_with(ContextV7::new);
    let nanos = (now_ms % 1000) as u32 * 1_000_000;
    Uuid::new_v7(Timestamp::from_unix(&*sequence, now_ms / 1000, nanos)).to_string()
}

/// The collection's name at argument `at`. What names are allowed is storage's to say when one is made.
pub(crate) fn collection(args: &Args, at: usize) -> Result<&str, CommandError> {
    args.text(at)
}

/// The id at argument `at`, checked, for a command that writes it.
pub(crate) fn id(args: &Args, at: usize) -> Result<&str, CommandError> {
    let bad = |what: String| CommandError::new(ErrorCode::BadDoc, what);
    let bytes = args.bytes(at);
    check_id(bytes).map_err(|e| bad(e.to_string()))?;
    std::str::from_utf8(bytes).map_err(|e| bad(format!("_id is not UTF-8 at byte {}", e.valid_up_to())))
}

#[cfg(test)]
mod tests {
    use super::new_id;

    #[test]
    fn ids_ascend() {
        let ids: Vec<String> = (0..2000).map(|n| new_id(1_700_000_000_000 + n / 1000)).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(ids[0].as_bytes()[14], b'7');
    }
}
