//! Encoded messages, one after the other in one buffer, which all of their receivers share.
//!
//! Each receiver holds only from where to where it has still to read, so that a message costs a slow one nothing but what
//! everyone holds of it together.

use std::sync::{Arc, Weak};

use bytes::{BufMut, BytesMut};
use parking_lot::RwLock;

/// A segment takes no more messages once it is this long.
const SEGMENT_BYTES: usize = 64 << 10;

/// A run of messages.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    bytes: RwLock<Vec<u8>>,
}

/// Whole messages of a segment.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    segment: Arc<Segment>,
    from: usize,
    to: usize,
}

/// Where the messages of one subject are appended, in one protocol. It is gone, and begins anew, once all of it was read.
#[derive(Debug, Default)]
pub(crate) struct Tail(Weak<Segment>);

impl Tail {
    /// Appends the message that `write` writes.
    pub(crate) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Span {
        let segment = self.0.upgrade().unwrap_or_default();
        let mut bytes = segment.bytes.write();
        let from = bytes.len();
        write(&mut bytes);
        let to = bytes.len();
        drop(bytes);
        // Who holds the last messages of a long one must not have it grow any further.
        self.0 = if to < SEGMENT_BYTES { Arc::downgrade(&segment) } else { Weak::new() };
        Span { segment, from, to }
    }
}

impl Span {
    /// How many bytes it is.
    pub(crate) fn len(&self) -> usize {
        self.to - self.from
    }

    /// Takes what follows right after it in the same segment; false where `next` does not.
    pub(crate) fn join(&mut self, next: &Span) -> bool {
        let follows = self.to == next.from && Arc::ptr_eq(&self.segment, &next.segment);
        if follows {
            self.to = next.to;
        }
        follows
    }

    /// Copies it.
    pub(crate) fn put(&self, out: &mut BytesMut) {
        let bytes = self.segment.bytes.read();
        out.put_slice(bytes.get(self.from..self.to).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_one_segment_become_one_span() {
        let (mut tail, mut out) = (Tail::default(), BytesMut::new());
        let mut held = tail.append(|bytes| bytes.extend_from_slice(b"one"));
        assert!(held.join(&tail.append(|bytes| bytes.extend_from_slice(b"two"))));
        held.put(&mut out);
        assert_eq!((&out[..], held.len()), (&b"onetwo"[..], 6));
        // Read by everyone: the next one begins a segment of its own.
        drop(held);
        let next = tail.append(|bytes| bytes.extend_from_slice(b"three"));
        assert_eq!(next.from, 0);
    }

    #[test]
    fn a_long_segment_grows_no_further() {
        let mut tail = Tail::default();
        let mut first = tail.append(|bytes| bytes.resize(SEGMENT_BYTES, b'x'));
        let second = tail.append(|bytes| bytes.push(b'y'));
        assert!(!first.join(&second));
        assert_eq!((first.len(), second.len()), (SEGMENT_BYTES, 1));
    }
}
