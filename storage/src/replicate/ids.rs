//! Ids with their records as keys that sort as the ids do.

use crate::record_id::RecordId;

/// The id, each zero byte followed by `ff`, then two zero bytes, then the record.
pub(super) fn id_key(id: &[u8], record: RecordId) -> Vec<u8> {
    let mut key = Vec::with_capacity(id.len() + 10);
    for byte in id {
        key.push(*byte);
        if *byte == 0 {
            key.push(0xff);
        }
    }
    key.extend_from_slice(&[0, 0]);
    key.extend_from_slice(&record.0.to_be_bytes());
    key
}

/// The id and the record of a key.
pub(super) fn id_of_key(key: &[u8]) -> Option<(Vec<u8>, u64)> {
    let (rest, record) = key.split_last_chunk::<8>()?;
    let mut bytes = rest.strip_suffix(&[0, 0])?.iter();
    let mut id = Vec::with_capacity(rest.len());
    while let Some(byte) = bytes.next() {
        id.push(*byte);
        if *byte == 0 {
            bytes.next();
        }
    }
    Some((id, u64::from_be_bytes(*record)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_ids_and_come_back() {
        let mut ids: Vec<&[u8]> =
            vec![b"", b"a", b"a\0", b"a\0\0", b"a\0\xff", b"a\x01", b"ab", b"b", b"\0", b"\0\0", b"\xff", b"\xff\xff"];
        ids.sort_unstable();
        let keys: Vec<Vec<u8>> =
            ids.iter().enumerate().map(|(at, id)| id_key(id, RecordId(u64::MAX - at as u64))).collect();
        assert!(keys.is_sorted());
        for (at, (id, key)) in ids.iter().zip(&keys).enumerate() {
            assert_eq!(id_of_key(key), Some((id.to_vec(), u64::MAX - at as u64)));
        }
    }
}
