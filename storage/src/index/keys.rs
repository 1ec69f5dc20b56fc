//! A sorted run of byte strings in one allocation: cheap to copy, cheap to write to a page.

/// Byte strings in ascending order, stored one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    /// Where each string ends in `bytes`.
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl Keys {
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
    pub(crate) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.get(middle).cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
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
