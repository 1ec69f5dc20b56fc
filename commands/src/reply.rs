//! What a command answers, before it is bytes.
//!
//! Names are RESP3's types; the server encodes them for the protocol that the connection speaks (under RESP2 a map is
//! a flat array, a boolean an integer, a double a bulk string, null a null bulk).

use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;

use veddb_storage::Document;

use crate::error::CommandError;

/// One reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// `+OK`: a status line; never holds CR or LF.
    Simple(Cow<'static, str>),
    /// `-CODE message`. Stands also inside arrays (one result of several).
    Error(CommandError),
    /// `:5`
    Integer(i64),
    /// `,1.5`
    Double(f64),
    /// `#t`
    Boolean(bool),
    /// The absent value: `_` (RESP3), `$-1` (RESP2).
    Null,
    /// The absent array: `_` (RESP3), `*-1` (RESP2).
    NullArray,
    /// A string of bytes.
    Bulk(Bytes),
    /// A document, as a string of its JSON; written when the reply is encoded.
    Document(Arc<Document>),
    /// Text for people: `=txt` (RESP3), a bulk string (RESP2).
    Verbatim(String),
    /// An array.
    Array(Vec<Reply>),
    /// Pairs in order.
    Map(Vec<(Reply, Reply)>),
    /// An unordered set (RESP2: an array).
    Set(Vec<Reply>),
    /// An out-of-band message (RESP2: an array).
    Push(Vec<Reply>),
    /// Several replies, one after the other, to one request.
    Several(Vec<Reply>),
}

impl Reply {
    /// `+OK`.
    pub const OK: Reply = Reply::Simple(Cow::Borrowed("OK"));

    /// A bulk string of this text.
    pub fn text(text: impl Into<String>) -> Reply {
        Reply::Bulk(Bytes::from(text.into()))
    }

    /// A bulk string of a constant.
    pub const fn constant(text: &'static str) -> Reply {
        Reply::Bulk(Bytes::from_static(text.as_bytes()))
    }

    /// Bytes of it, about.
    pub fn size(&self) -> usize {
        match self {
            // With what goes around it.
            Reply::Bulk(bytes) => bytes.len() + 24,
            Reply::Document(document) => document.body.len() + 24,
            Reply::Array(replies) | Reply::Set(replies) | Reply::Push(replies) | Reply::Several(replies) => {
                replies.iter().map(Reply::size).sum::<usize>() + 8
            }
            Reply::Map(pairs) => pairs.iter().map(|(name, value)| name.size() + value.size()).sum::<usize>() + 8,
            _ => 8,
        }
    }

    /// An integer from any count; saturates at `i64::MAX`.
    pub fn count(count: impl TryInto<i64>) -> Reply {
        Reply::Integer(count.try_into().unwrap_or(i64::MAX))
    }
}
