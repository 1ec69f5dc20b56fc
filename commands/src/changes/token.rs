//! Tokens: places among the changes as text that clients keep.
//!
//! A token is the place and a check over it, 42 bytes as 56 characters of base64 (RFC 4648, of URLs). It is no secret and nothing is
//! granted by it: whoever makes one up gets at most what DOC.CHANGES would have given without. The check is there so that what was
//! cut, mixed up or mistyped is told from a place that is gone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use veddb_storage::{ChangePlace, Position};

use crate::error::CommandError;

/// The first byte.
const VERSION: u8 = 1;
const PLACE_BYTES: usize = 1 + 16 + 8 + 8 + 4;
const CHECK_BYTES: usize = 5;

/// The token of a place.
#[must_use]
pub fn token(place: ChangePlace) -> String {
    let Position { history, term, lsn } = place.position;
    let mut bytes = Vec::with_capacity(PLACE_BYTES + CHECK_BYTES);
    bytes.push(VERSION);
    bytes.extend(history);
    bytes.extend(term.to_be_bytes());
    bytes.extend(lsn.to_be_bytes());
    bytes.extend(place.seen.to_be_bytes());
    bytes.extend(check(&bytes));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place of a token.
///
/// # Errors
/// `ERR` for anything but what [`token`] makes.
pub fn place(token: &[u8]) -> Result<ChangePlace, CommandError> {
    read(token).ok_or_else(|| CommandError::err("invalid token: AFTER takes one that DOC.CHANGES gave, unchanged"))
}

fn read(token: &[u8]) -> Option<ChangePlace> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (placed, found) = bytes.split_at_checked(PLACE_BYTES)?;
    if check(placed) != found {
        return None;
    }
    let (&[VERSION], rest) = placed.split_first_chunk::<1>()? else { return None };
    let (history, rest) = rest.split_first_chunk::<16>()?;
    let (term, rest) = rest.split_first_chunk::<8>()?;
    let (lsn, rest) = rest.split_first_chunk::<8>()?;
    let position = Position { history: *history, term: u64::from_be_bytes(*term), lsn: u64::from_be_bytes(*lsn) };
    Some(ChangePlace { position, seen: u32::from_be_bytes(rest.try_into().ok()?) })
}

fn check(placed: &[u8]) -> Vec<u8> {
    let digest = Sha256::new().chain_update(b"veddb changes token").chain_update(placed).finalize();
    digest.iter().take(CHECK_BYTES).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_nothing_else_does() {
        for (term, lsn, seen) in [(0, 0, 0), (1 << 40, 7, 0), (u64::MAX, u64::MAX, u32::MAX)] {
            let placed = ChangePlace { position: Position { history: [9; 16], term, lsn }, seen };
            let text = token(placed);
            assert!(text.is_ascii() && text.len() == 56, "{text}");
            assert_eq!(place(text.as_bytes()), Ok(placed));
            for at in 0..text.len() {
                assert!(place(&text.as_bytes()[..at]).is_err());
                let mut changed = text.clone().into_bytes();
                changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
                assert!(place(&changed).is_err(), "character {at}");
            }
            assert!(place(format!("{text}A").as_bytes()).is_err() && place(format!("{text}=").as_bytes()).is_err());
        }
        for garbage in [&b""[..], b"0", b"$", b"\xff\xfe", b"NOW", &[b'A'; 56], &[b'A'; 100_000]] {
            assert!(place(garbage).is_err());
        }
    }
}
