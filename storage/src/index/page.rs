//! A node as a page: the bytes that are sealed. The layout is in `docs/formats.md`.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::keys::Keys;
use super::node::{Inner, Leaf, Node, Slot};

const LEAF: u8 = 1;
const INNER: u8 = 2;

/// The page of a node. Children of an inner node are named by their page ids.
pub(super) fn encode(node: &Node) -> Vec<u8> {
    let mut out = Vec::with_capacity(node.size() + 64);
    match node {
        Node::Leaf(leaf) => {
            out.push(LEAF);
            out.extend_from_slice(&(leaf.keys.len() as u32).to_le_bytes());
            put_keys(&leaf.keys, &mut out);
            for value in &leaf.values {
                out.extend_from_slice(&value.to_le_bytes());
            }
        }
        Node::Inner(inner) => {
            out.push(INNER);
            out.extend_from_slice(&(inner.children.len() as u32).to_le_bytes());
            put_keys(&inner.separators, &mut out);
            for (child, count) in inner.children.iter().zip(&inner.counts) {
                out.extend_from_slice(&child.id.to_le_bytes());
                out.extend_from_slice(&count.to_le_bytes());
            }
        }
    }
    out
}

fn put_keys(keys: &Keys, out: &mut Vec<u8>) {
    for at in 0..keys.len() {
        let key = keys.get(at);
        out.extend_from_slice(&(key.len() as u32).to_le_bytes());
        out.extend_from_slice(key);
    }
}

/// The node of a page; none when the bytes are not one.
pub(super) fn decode(bytes: &[u8], resident_bytes: &Arc<AtomicUsize>) -> Option<Node> {
    let (kind, mut rest) = bytes.split_first()?;
    let count = take_u32(&mut rest)? as usize;
    let node = match *kind {
        LEAF => {
            let keys = take_keys(count, &mut rest)?;
            let mut values = Vec::with_capacity(count);
            for _ in 0..count {
                values.push(take_u64(&mut rest)?);
            }
            Node::Leaf(Leaf { keys, values })
        }
        INNER => {
            let separators = take_keys(count.checked_sub(1)?, &mut rest)?;
            let mut children = Vec::with_capacity(count);
            let mut counts = Vec::with_capacity(count);
            for _ in 0..count {
                children.push(Arc::new(Slot::unloaded(take_u64(&mut rest)?, resident_bytes)));
                counts.push(take_u64(&mut rest)?);
            }
            Node::Inner(Inner { separators, children, counts })
        }
        _ => return None,
    };
    rest.is_empty().then_some(node)
}

fn take_keys(count: usize, rest: &mut &[u8]) -> Option<Keys> {
    let mut keys = Keys::default();
    for _ in 0..count {
        let length = take_u32(rest)? as usize;
        let (key, after) = rest.split_at_checked(length)?;
        keys.push(key);
        *rest = after;
    }
    Some(keys)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_le_bytes(*bytes))
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    let (bytes, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(u64::from_le_bytes(*bytes))
}
