//! Effects: what a unit did, as data. The log holds nothing else, so replaying it needs no command, and no document: what a
//! replay has to know of the old one (its size) is in the effect, since the engine may be ahead of the checkpoint there.
//!
//! The layout is in `docs/formats.md`.

use crate::document::record::Document;
use crate::record_id::RecordId;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    CreateCollection {
        collection: u32,
        db: u8,
        name: String,
        created_ms: u64,
        options: String,
    },
    DropCollection {
        collection: u32,
    },
    RenameCollection {
        collection: u32,
        to: String,
    },
    /// A new document at version 1.
    Insert {
        collection: u32,
        record: RecordId,
        /// As of a [`crate::Document`].
        expires_ms: u64,
        body: Box<[u8]>,
    },
    /// A new body, version or expiry of a document.
    Replace {
        collection: u32,
        record: RecordId,
        rewrite: Rewrite,
        version: u64,
        expires_ms: u64,
        size_before: u64,
        body: Box<[u8]>,
    },
    Delete {
        collection: u32,
        record: RecordId,
        /// The last version; 0 in logs that do not tell.
        version: u64,
        size_before: u64,
        id: Box<[u8]>,
    },
    /// A new index, to be built; its definition as JSON.
    CreateIndex {
        collection: u32,
        index: u32,
        definition: String,
    },
    DropIndex {
        collection: u32,
        index: u32,
    },
    /// The build of an index failed.
    FailIndex {
        collection: u32,
        index: u32,
        why: String,
    },
    /// Entries that a document no longer has in an index. What it has instead follows from its new body.
    Unindex {
        collection: u32,
        index: u32,
        keys: Vec<Box<[u8]>>,
    },
}

/// How a document came to be another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rewrite {
    /// Another document was put in its place.
    Whole,
    /// Some of it was changed.
    Changed,
    /// Only its expiry is another one.
    Expiry,
}

const CREATE: u8 = 1;
const DROP: u8 = 2;
const RENAME: u8 = 3;
const INSERT: u8 = 4;
const REPLACE: u8 = 5;
const DELETE: u8 = 6;
const CREATE_INDEX: u8 = 7;
const DROP_INDEX: u8 = 8;
const FAIL_INDEX: u8 = 9;
const UNINDEX: u8 = 10;
const INSERT_EXPIRING: u8 = 11;
const REPLACE_EXPIRING: u8 = 12;
const UPDATE: u8 = 13;
const UPDATE_EXPIRING: u8 = 14;
const EXPIRE: u8 = 15;
const EXPIRE_EXPIRING: u8 = 16;
const DELETE_VERSION: u8 = 17;

/// Writes effects one after the other; a unit is their number and then they.
#[derive(Debug, Default)]
pub(crate) struct EffectWriter {
    pub(crate) bytes: Vec<u8>,
    /// How many effects are in it.
    pub(crate) count: u32,
}

impl EffectWriter {
    fn number(&mut self, value: u64) {
        let mut rest = value;
        while rest >= 0x80 {
            self.bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.bytes.push(rest as u8);
    }

    fn string(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// Forgets all of them.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }

    fn head(&mut self, tag: u8, collection: u32) {
        self.count += 1;
        self.bytes.push(tag);
        self.number(u64::from(collection));
    }

    pub(crate) fn create(&mut self, collection: u32, db: u8, name: &str, created_ms: u64, options: &str) {
        self.head(CREATE, collection);
        self.bytes.push(db);
        self.string(name.as_bytes());
        self.number(created_ms);
        self.string(options.as_bytes());
    }

    pub(crate) fn drop(&mut self, collection: u32) {
        self.head(DROP, collection);
    }

    pub(crate) fn rename(&mut self, collection: u32, to: &str) {
        self.head(RENAME, collection);
        self.string(to.as_bytes());
    }

    pub(crate) fn insert(&mut self, collection: u32, record: RecordId, document: &Document) {
        self.document_head([INSERT, INSERT_EXPIRING], collection, record, document);
        self.string(&document.body);
    }

    pub(crate) fn replace(
        &mut self,
        collection: u32,
        record: RecordId,
        size_before: u64,
        document: &Document,
        rewrite: Rewrite,
    ) {
        let tags = match rewrite {
            Rewrite::Whole => [REPLACE, REPLACE_EXPIRING],
            Rewrite::Changed => [UPDATE, UPDATE_EXPIRING],
            Rewrite::Expiry => [EXPIRE, EXPIRE_EXPIRING],
        };
        self.document_head(tags, collection, record, document);
        self.number(document.version);
        self.number(size_before);
        self.string(&document.body);
    }

    /// The second tag is that of a document with an expiry, which follows the record.
    fn document_head(&mut self, tags: [u8; 2], collection: u32, record: RecordId, document: &Document) {
        let [lasting, expiring] = tags;
        self.head(if document.expires_ms == 0 { lasting } else { expiring }, collection);
        self.number(record.0);
        if document.expires_ms != 0 {
            self.number(document.expires_ms);
        }
    }

    pub(crate) fn delete(&mut self, collection: u32, record: RecordId, version: u64, size_before: u64, id: &[u8]) {
        self.head(DELETE_VERSION, collection);
        self.number(record.0);
        self.number(version);
        self.number(size_before);
        self.string(id);
    }

    fn index_head(&mut self, tag: u8, collection: u32, index: u32) {
        self.head(tag, collection);
        self.number(u64::from(index));
    }

    pub(crate) fn create_index(&mut self, collection: u32, index: u32, definition: &str) {
        self.index_head(CREATE_INDEX, collection, index);
        self.string(definition.as_bytes());
    }

    pub(crate) fn drop_index(&mut self, collection: u32, index: u32) {
        self.index_head(DROP_INDEX, collection, index);
    }

    pub(crate) fn fail_index(&mut self, collection: u32, index: u32, why: &str) {
        self.index_head(FAIL_INDEX, collection, index);
        self.string(why.as_bytes());
    }

    pub(crate) fn unindex(&mut self, collection: u32, index: u32, keys: &[Vec<u8>]) {
        self.index_head(UNINDEX, collection, index);
        self.number(keys.len() as u64);
        keys.iter().for_each(|key| self.string(key));
    }
}

/// Appends a unit of `count` effects, encoded by an [`EffectWriter`], to a group.
pub(crate) fn append_unit(group: &mut Vec<u8>, count: u32, effects: &[u8]) {
    group.extend_from_slice(&count.to_le_bytes());
    group.extend_from_slice(&(effects.len() as u32).to_le_bytes());
    group.extend_from_slice(effects);
}

/// The units of a group, each a list of effects; none when the bytes are not a group.
pub(crate) fn decode_group(mut bytes: &[u8], units: u32) -> Option<Vec<Vec<Effect>>> {
    let mut group = Vec::new();
    for _ in 0..units {
        let (count, rest) = bytes.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (mut effects, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        bytes = rest;
        let mut unit = Vec::new();
        for _ in 0..u32::from_le_bytes(*count) {
            unit.push(decode(&mut effects)?);
        }
        if !effects.is_empty() {
            return None;
        }
        group.push(unit);
    }
    bytes.is_empty().then_some(group)
}

/// The next effect of a unit; none when these are not the bytes of one.
pub(crate) fn decode(rest: &mut &[u8]) -> Option<Effect> {
    let tag = take_byte(rest)?;
    let collection = take_u32(rest)?;
    Some(match tag {
        CREATE => Effect::CreateCollection {
            collection,
            db: take_byte(rest)?,
            name: take_text(rest)?,
            created_ms: take_number(rest)?,
            options: take_text(rest)?,
        },
        DROP => Effect::DropCollection { collection },
        RENAME => Effect::RenameCollection { collection, to: take_text(rest)? },
        INSERT | INSERT_EXPIRING => Effect::Insert {
            collection,
            record: RecordId(take_number(rest)?),
            expires_ms: if tag == INSERT_EXPIRING { take_number(rest)? } else { 0 },
            body: take_string(rest)?.into(),
        },
        REPLACE | REPLACE_EXPIRING | UPDATE | UPDATE_EXPIRING | EXPIRE | EXPIRE_EXPIRING => Effect::Replace {
            collection,
            record: RecordId(take_number(rest)?),
            rewrite: match tag {
                UPDATE | UPDATE_EXPIRING => Rewrite::Changed,
                EXPIRE | EXPIRE_EXPIRING => Rewrite::Expiry,
                _ => Rewrite::Whole,
            },
            expires_ms: match tag {
                REPLACE_EXPIRING | UPDATE_EXPIRING | EXPIRE_EXPIRING => take_number(rest)?,
                _ => 0,
            },
            version: take_number(rest)?,
            size_before: take_number(rest)?,
            body: take_string(rest)?.into(),
        },
        DELETE | DELETE_VERSION => Effect::Delete {
            collection,
            record: RecordId(take_number(rest)?),
            version: if tag == DELETE_VERSION { take_number(rest)? } else { 0 },
            size_before: take_number(rest)?,
            id: take_string(rest)?.into(),
        },
        CREATE_INDEX => Effect::CreateIndex { collection, index: take_u32(rest)?, definition: take_text(rest)? },
        DROP_INDEX => Effect::DropIndex { collection, index: take_u32(rest)? },
        FAIL_INDEX => Effect::FailIndex { collection, index: take_u32(rest)?, why: take_text(rest)? },
        UNINDEX => {
            let index = take_u32(rest)?;
            let mut keys = Vec::new();
            for _ in 0..take_number(rest)? {
                keys.push(take_string(rest)?.into());
            }
            Effect::Unindex { collection, index, keys }
        }
        _ => return None,
    })
}

fn take_byte(rest: &mut &[u8]) -> Option<u8> {
    let (byte, after) = rest.split_first()?;
    *rest = after;
    Some(*byte)
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(rest)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    u32::try_from(take_number(rest)?).ok()
}

fn take_string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_number(rest)?).ok()?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    String::from_utf8(take_string(rest)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_come_back_as_they_were() {
        let mut writer = EffectWriter::default();
        writer.create(7, 3, "users", 1_700_000_000_000, "{}");
        writer.insert(7, RecordId(300), &Document::new(1, Box::from(&b"body"[..])));
        writer.replace(7, RecordId(300), 9, &Document::new(u64::MAX, Box::default()), Rewrite::Whole);
        let expiring = Document::expiring(3, 1_800_000_000_000, Box::default());
        writer.replace(7, RecordId(300), 9, &expiring, Rewrite::Expiry);
        writer.insert(7, RecordId(301), &Document::expiring(1, u64::MAX, Box::from(&b"body"[..])));
        let mut group = Vec::new();
        append_unit(&mut group, writer.count, &writer.bytes);
        let mut writer = EffectWriter::default();
        writer.delete(7, RecordId(300), 5, 9, b"id");
        writer.rename(7, "people");
        writer.drop(7);
        writer.create_index(7, 2, "{}");
        writer.unindex(7, 2, &[b"k".to_vec(), b"l".to_vec()]);
        writer.fail_index(7, 2, "why");
        writer.drop_index(7, 2);
        append_unit(&mut group, writer.count, &writer.bytes);
        let units = decode_group(&group, 2).unwrap();
        assert_eq!((units[0].len(), units[1].len()), (5, 7));
        let keys = vec![Box::from(&b"k"[..]), Box::from(&b"l"[..])];
        assert_eq!(units[1][4], Effect::Unindex { collection: 7, index: 2, keys });
        assert_eq!(
            units[1][0],
            Effect::Delete {
                collection: 7,
                record: RecordId(300),
                version: 5,
                size_before: 9,
                id: Box::from(&b"id"[..])
            }
        );
        assert_eq!(
            units[0][2],
            Effect::Replace {
                collection: 7,
                record: RecordId(300),
                rewrite: Rewrite::Whole,
                version: u64::MAX,
                expires_ms: 0,
                size_before: 9,
                body: Box::default()
            }
        );
        let expiry = Rewrite::Expiry;
        assert!(matches!(units[0][3], Effect::Replace { version: 3, expires_ms: 1_800_000_000_000, rewrite, .. }
            if rewrite == expiry));
        assert!(matches!(units[0][4], Effect::Insert { record: RecordId(301), expires_ms: u64::MAX, .. }));
        for cut in 0..group.len() {
            assert!(decode_group(&group[..cut], 2).is_none());
        }
    }
}
