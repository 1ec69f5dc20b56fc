//! Where a reply in RESP3 ends, without keeping what it holds: a reply that is too long is passed over by this.
//!
//! Reads what this server's own encoder has written, so what it does not know is an error and not a thing to be lenient about.

use std::io;

/// How far a reply was seen.
#[derive(Debug)]
pub(super) struct Extent {
    /// Where the next header begins, or all ends; it may be behind what has come.
    at: usize,
    /// Values that are still to come.
    pending: usize,
}

impl Extent {
    /// Of one reply that begins at the first byte.
    pub(super) fn new() -> Extent {
        Extent { at: 0, pending: 1 }
    }

    /// Looks at what has come so far, all of it each time; where the reply ends, once it does.
    ///
    /// # Errors
    /// A header that is none.
    pub(super) fn end(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        while self.pending > 0 {
            let rest = bytes.get(self.at..).unwrap_or_default();
            let Some(length) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
            let header = rest.get(..length).unwrap_or_default();
            let (Some((kind, text)), next) = (header.split_first(), self.at + length + 1) else { return Err(broken()) };
            let count = match kind {
                b'+' | b'-' | b':' | b',' | b'#' | b'_' | b'(' => 0,
                b'$' | b'!' | b'=' | b'*' | b'~' | b'>' | b'%' | b'|' => number(text)?,
                _ => return Err(broken()),
            };
            self.pending -= 1;
            self.at = next;
            match kind {
                b'$' | b'!' | b'=' => self.at += count + 2,
                b'*' | b'~' | b'>' => self.pending += count,
                b'%' => self.pending += 2 * count,
                // Attributes stand before the value that they are of.
                b'|' => self.pending += 2 * count + 1,
                _ => {}
            }
        }
        Ok((bytes.len() >= self.at).then_some(self.at))
    }

    /// How many of the bytes that came are not needed to go on: they may be taken away, which has to be done then.
    pub(super) fn pass(&mut self, length: usize) -> usize {
        let passed = self.at.min(length);
        self.at -= passed;
        passed
    }
}

fn number(text: &[u8]) -> io::Result<usize> {
    let text = text.strip_suffix(b"\r").and_then(|digits| std::str::from_utf8(digits).ok());
    // Lengths beyond the address space cannot be, so sums of what is left do not overflow.
    text.and_then(|digits| digits.parse::<u32>().ok()).map(|count| count as usize).ok_or_else(broken)
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a reply that is not RESP3")
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLIES: [&str; 8] = [
        "+OK\r\n",
        "-ERR no\r\n",
        "$5\r\na\r\nb\r\r\n",
        "$0\r\n\r\n",
        "*2\r\n:1\r\n*0\r\n",
        "%2\r\n+a\r\n$1\r\nb\r\n+c\r\n~1\r\n_\r\n",
        "=7\r\ntxt:a\r\n\r\n",
        "|1\r\n+k\r\n+v\r\n*2\r\n,1.5\r\n#t\r\n",
    ];

    #[test]
    fn the_end_is_found_wherever_the_bytes_are_cut() {
        for reply in REPLIES {
            let bytes = [reply.as_bytes(), b"+next\r\n"].concat();
            let mut extent = Extent::new();
            for come in 0..bytes.len() {
                let end = extent.end(&bytes[..come]).unwrap();
                assert_eq!(end, (come >= reply.len()).then_some(reply.len()), "{reply:?} up to {come}");
            }
        }
    }

    #[test]
    fn what_is_passed_over_need_not_be_kept() {
        for reply in REPLIES {
            let (mut extent, mut kept, mut is_over) = (Extent::new(), Vec::new(), false);
            for byte in reply.bytes() {
                assert!(!is_over, "{reply:?}");
                kept.push(byte);
                is_over = extent.end(&kept).unwrap() == Some(kept.len());
                kept.drain(..extent.pass(kept.len()));
            }
            assert!(is_over && kept.is_empty(), "{reply:?}: {kept:?}");
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for bytes in ["\n", "x1\r\n", "$-1\r\n", "*?\r\n", "$9999999999\r\n", "$1\n"] {
            assert!(Extent::new().end(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
    }
}
