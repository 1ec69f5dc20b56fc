//! A sorted run of byte strings in one allocation: cheap to copy, cheap to write to a page.

use std::cmp::Ordering;

/// The first eight bytes as a number; shorter strings are filled with zeros. Different heads are ordered as their strings.
fn head(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(chunk) => u64::from_be_bytes(*chunk),
        None => {
            let mut chunk = [0; 8];
            chunk.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            u64::from_be_bytes(chunk)
        }
    }
}

/// Byte strings in ascending order, stored one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    /// Where each string ends in `bytes`.
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl Keys {
    /// No keys yet, and room for some.
    pub(crate) fn with_capacity(keys: usize, bytes: usize) -> Keys {
        Keys { ends: Vec::with_capacity(keys), bytes: Vec::with_capacity(bytes) }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// What the strings and their ends take.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + 4 * self.ends.len()
    }

    fn start(&self, at: usize) -> usize {
        match at.checked_sub(1) {
            Some(before) => self.ends.get(before).map_or(self.bytes.len(), |e| *e as usize),
            None => 0,
        }
    }

    /// String `at`; empty past the end.
    pub(crate) fn get(&self, at: usize) -> &[u8] {
        let Some(end) = self.ends.get(at) else { return &[] };
        self.bytes.get(self.start(at)..*end as usize).unwrap_or_default()
    }

    /// `Ok(at)` where it is, `Err(at)` where it belongs.
    ///
    /// Keys of one node mostly begin alike. What the first and the last share all of them share, so it is compared once;
    /// then the next eight bytes of each are compared as one number, and only where these are equal the rest.
    pub(crate) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        let Some(last) = self.len().checked_sub(1) else { return Err(0) };
        let (first, last) = (self.get(0), self.get(last));
        let common = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        let (shared, _) = first.split_at(common);
        let rest = match key.split_at_checked(common) {
            Some((start, rest)) if start == shared => rest,
            _ if key < first => return Err(0),
            _ => return Err(self.len()),
        };
        let head = head(rest);
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            let other = self.get(middle).get(common..).unwrap_or_default();
            match self::head(other).cmp(&head).then_with(|| other.cmp(rest)) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    pub(crate) fn insert(&mut self, at: usize, key: &[u8]) {
        let start = self.start(at);
        self.bytes.splice(start..start, key.iter().copied());
        self.ends.insert(at, start as u32);
        for end in self.ends.iter_mut().skip(at) {
            *end += key.len() as u32;
        }
    }

    pub(crate) fn remove(&mut self, at: usize) {
        let length = self.get(at).len();
        let start = self.start(at);
        self.bytes.drain(start..start + length);
        self.ends.remove(at);
        for end in self.ends.iter_mut().skip(at) {
            *end -= length as u32;
        }
    }

    pub(crate) fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len() as u32);
    }

    /// Keeps the first `at` strings and returns the others.
    pub(crate) fn split_off(&mut self, at: usize) -> Keys {
        let start = self.start(at);
        let bytes = self.bytes.split_off(start);
        let mut ends = self.ends.split_off(at);
        for end in &mut ends {
            *end -= start as u32;
        }
        Keys { ends, bytes }
    }

    /// Makes room for so many keys and bytes in all.
    pub(crate) fn reserve(&mut self, keys: usize, bytes: usize) {
        self.ends.reserve(keys.saturating_sub(self.ends.len()));
        self.bytes.reserve(bytes.saturating_sub(self.bytes.len()));
    }

    pub(crate) fn append(&mut self, other: &Keys) {
        let shift = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&other.bytes);
        self.ends.extend(other.ends.iter().map(|e| e + shift));
    }
}

#[cfg(test)]
mod tests {
    use super::Keys;

    #[test]
    fn searching_agrees_with_comparing() {
        let words =
            ["", "a", "aa", "aa\0", "aab", "aabbbbbbbbbbbb", "aabbbbbbbbbbbc", "ab", "abcdefgh", "abcdefghi", "b"];
        for from in 0..words.len() {
            for to in from..=words.len() {
                let mut keys = Keys::default();
                words[from..to].iter().for_each(|word| keys.push(word.as_bytes()));
                for word in words.iter().chain(&["aaa", "aabbbbbbbbbbbbb", "abcdefgg", "c", "aa\0\0"]) {
                    assert_eq!(
                        keys.search(word.as_bytes()),
                        words[from..to].binary_search(word),
                        "{word} {from}..{to}"
                    );
                }
            }
        }
    }

    #[test]
    fn editing_keeps_the_order_and_the_bounds() {
        let mut keys = Keys::default();
        for key in ["m", "", "zz", "abc"] {
            let at = keys.search(key.as_bytes()).unwrap_err();
            keys.insert(at, key.as_bytes());
        }
        let all = |k: &Keys| (0..k.len()).map(|i| String::from_utf8(k.get(i).to_vec()).unwrap()).collect::<Vec<_>>();
        assert_eq!(all(&keys), ["", "abc", "m", "zz"]);
        keys.remove(1);
        let right = keys.split_off(1);
        assert_eq!((all(&keys), all(&right)), (vec!["".into()], vec!["m".to_string(), "zz".into()]));
        keys.append(&right);
        assert_eq!(all(&keys), ["", "m", "zz"]);
        assert_eq!(keys.search(b"n"), Err(2));
        assert_eq!(keys.search(b"zz"), Ok(2));
    }
}
