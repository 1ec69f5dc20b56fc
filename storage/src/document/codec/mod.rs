//! The stored form of a document: packed, self-delimiting, readable without decoding.
//!
//! An object is its length (u32, little endian, of what follows) and its members; a member is a tag byte, the name's
//! length (varint), the name (UTF-8, any byte), the payload. An array is the same without names. Payloads: nothing for
//! null, true, false, min and max key; fixed little endian for numbers (decimals are 16 bytes), dates, ids and timestamps;
//! varint length and bytes for strings, binaries (after the subtype byte) and each half of a regular expression; objects and arrays nest.
//!
//! Everything with a length can be stepped over unread, so a filter touches only what it names. Readers are infallible:
//! bodies were authenticated when they were opened. Malformed bytes end an iteration early and never panic.
//! The format is written to disk; a change of it is a change of `docs/formats.md` and needs a new record version.

mod read;
mod write;

pub(crate) use read::Piece;
pub use read::{Elements, Members, Packed, RawArray, RawObject, ValueRef};
pub(crate) use write::{close, open, put_name, put_payload};
pub use write::{pack_inner, pack_members, pack_object, pack_value, pack_with_array, pack_with_member};

/// The byte before a value that says its type. The numbers are on disk.
pub(crate) mod tag {
    pub(crate) const NULL: u8 = 1;
    pub(crate) const FALSE: u8 = 2;
    pub(crate) const TRUE: u8 = 3;
    pub(crate) const INT32: u8 = 4;
    pub(crate) const INT64: u8 = 5;
    pub(crate) const DOUBLE: u8 = 6;
    pub(crate) const DECIMAL: u8 = 7;
    pub(crate) const STRING: u8 = 8;
    pub(crate) const OBJECT: u8 = 9;
    pub(crate) const ARRAY: u8 = 10;
    pub(crate) const BINARY: u8 = 11;
    pub(crate) const OBJECT_ID: u8 = 12;
    pub(crate) const DATE: u8 = 13;
    pub(crate) const TIMESTAMP: u8 = 14;
    pub(crate) const REGEX: u8 = 15;
    pub(crate) const MIN_KEY: u8 = 16;
    pub(crate) const MAX_KEY: u8 = 17;
}
