//! Cuts the bytes of a connection into requests: RESP arrays of bulk strings, and inline lines.
//!
//! Owns the limits on what a client may make the server hold, and Redis's wording for bytes that are no request. Does
//! not look at what a request says. Nesting is refused, so there is no recursion.
//!
//! Invariant: state is kept between reads, so no byte is looked at twice, and memory grows only with bytes that have
//! arrived - never with a number that was announced.

use bytes::{Buf, Bytes, BytesMut};

use crate::quoting;

/// A line (a count, a length, an inline request) may be this long, as in Redis.
const LINE_MAX: usize = 64 * 1024;
/// Room set aside at once for the arguments of a request, however many were announced.
const ARGS_RESERVED: usize = 16;

/// What a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Arguments in one request.
    pub arguments: i64,
    /// Bytes in one argument.
    pub argument_bytes: i64,
    /// Bytes of one request altogether.
    pub buffer_bytes: usize,
    /// Whether these are the bounds for those who have not authenticated; they are told so.
    pub unauthenticated: bool,
}

impl Bounds {
    /// For a client that has not authenticated yet.
    pub const UNAUTHENTICATED: Bounds =
        Bounds { arguments: 10, argument_bytes: 16 * 1024, buffer_bytes: 1 << 20, unauthenticated: true };
    /// Redis's limit on the arguments of one request.
    pub const ARGUMENTS_MAX: i64 = 1024 * 1024;
}

/// Why the bytes are no request. The connection is told and closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// Told to the client as `ERR Protocol error: ...`.
    #[error("Protocol error: {0}")]
    Bad(String),
    /// Over `client-query-buffer-limit`; closed without a word, as in Redis.
    #[error("the request passed the limit on the query buffer")]
    TooBig,
}

fn bad<T>(what: &str) -> Result<T, ProtocolError> {
    Err(ProtocolError::Bad(what.to_owned()))
}

/// Cuts one connection's bytes into requests.
#[derive(Debug, Default)]
pub struct Framer {
    args: Vec<Bytes>,
    /// Arguments still to come of the request that has begun.
    remaining: usize,
    /// The length of the argument that has begun.
    argument: Option<usize>,
    /// Bytes at the front of the buffer that hold no end of line.
    searched: usize,
    /// Bytes already taken out of the buffer for the request that has begun.
    taken: usize,
}

impl Framer {
    /// The next whole request, or None when more bytes are needed.
    pub fn next(&mut self, buffer: &mut BytesMut, bounds: &Bounds) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        loop {
            if self.remaining == 0 {
                match buffer.first() {
                    None => return Ok(None),
                    Some(b'*') => {
                        if !self.array_header(buffer, bounds)? {
                            return self.wait(buffer, bounds);
                        }
                    }
                    Some(_) => match self.inline(buffer)? {
                        None => return self.wait(buffer, bounds),
                        Some(args) if args.is_empty() => {}
                        Some(args) => return Ok(Some(args)),
                    },
                }
                continue;
            }
            if !self.argument(buffer, bounds)? {
                return self.wait(buffer, bounds);
            }
            if self.remaining == 0 {
                self.taken = 0;
                return Ok(Some(std::mem::take(&mut self.args)));
            }
        }
    }

    /// Bytes held by the request that has begun, beside those in the buffer.
    pub fn held(&self) -> usize {
        self.taken
    }

    /// How many bytes the argument that has begun still lacks: what the next read may usefully ask for.
    pub fn wanted(&self, buffer: &BytesMut) -> usize {
        self.argument.map_or(0, |length| (length + 2).saturating_sub(buffer.len()))
    }

    fn wait(&self, buffer: &BytesMut, bounds: &Bounds) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        if self.taken + buffer.len() > bounds.buffer_bytes {
            return Err(ProtocolError::TooBig);
        }
        Ok(None)
    }

    /// Reads `*<count>`; false when its line has not arrived whole.
    fn array_header(&mut self, buffer: &mut BytesMut, bounds: &Bounds) -> Result<bool, ProtocolError> {
        let Some(line) = self.line(buffer, "too big mbulk count string")? else { return Ok(false) };
        match veddb_commands::args::parse_integer(&line) {
            Some(count) if count > Bounds::ARGUMENTS_MAX => bad("invalid multibulk length"),
            Some(count) if count > bounds.arguments && bounds.unauthenticated => {
                bad("unauthenticated multibulk length")
            }
            Some(count) => {
                self.remaining = usize::try_from(count).unwrap_or(0);
                self.args = Vec::with_capacity(self.remaining.min(ARGS_RESERVED));
                self.taken = 0;
                Ok(true)
            }
            None => bad("invalid multibulk length"),
        }
    }

    /// Reads one argument; false when it has not arrived whole.
    fn argument(&mut self, buffer: &mut BytesMut, bounds: &Bounds) -> Result<bool, ProtocolError> {
        let length = match self.argument {
            Some(length) => length,
            None => {
                // Said as soon as the first byte is there, not when the line is whole.
                if let Some(&other) = buffer.first().filter(|byte| **byte != b'$') {
                    return bad(&format!("expected '$', got '{}'", char::from(other)));
                }
                let Some(line) = self.line(buffer, "too big bulk count string")? else { return Ok(false) };
                let length = match veddb_commands::args::parse_integer(&line) {
                    Some(length) if length < 0 => return bad("invalid bulk length"),
                    Some(length) if length > bounds.argument_bytes => {
                        let who = if bounds.unauthenticated { "unauthenticated" } else { "invalid" };
                        return bad(&format!("{who} bulk length"));
                    }
                    Some(length) => usize::try_from(length).unwrap_or(usize::MAX),
                    None => return bad("invalid bulk length"),
                };
                self.argument = Some(length);
                length
            }
        };
        if buffer.len() < length + 2 {
            return Ok(false);
        }
        self.args.push(buffer.split_to(length).freeze());
        // Like Redis, whatever two bytes end an argument are taken for CR and LF.
        buffer.advance(2);
        self.taken += length;
        self.argument = None;
        self.remaining -= 1;
        if self.taken > bounds.buffer_bytes {
            return Err(ProtocolError::TooBig);
        }
        Ok(true)
    }

    /// Takes a line that begins with a type byte and ends with CR LF; None when its end has not arrived.
    fn line(&mut self, buffer: &mut BytesMut, too_big: &str) -> Result<Option<Bytes>, ProtocolError> {
        match self.find(buffer, b'\r') {
            Some(end) if buffer.len() >= end + 2 => {
                let mut line = buffer.split_to(end).freeze();
                buffer.advance(2);
                line.advance(1);
                self.searched = 0;
                Ok(Some(line))
            }
            None if buffer.len() > LINE_MAX => bad(too_big),
            _ => Ok(None),
        }
    }

    /// Takes an inline request; None when the line's end has not arrived.
    fn inline(&mut self, buffer: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        let Some(end) = self.find(buffer, b'\n') else {
            return if buffer.len() > LINE_MAX { bad("too big inline request") } else { Ok(None) };
        };
        let line = buffer.split_to(end);
        buffer.advance(1);
        self.searched = 0;
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        match quoting::split(line) {
            Some(words) => Ok(Some(words.into_iter().map(Bytes::from).collect())),
            None => bad("unbalanced quotes in request"),
        }
    }

    /// The position of `byte`, looking only where no earlier call has looked.
    fn find(&mut self, buffer: &BytesMut, byte: u8) -> Option<usize> {
        let fresh = buffer.get(self.searched..).unwrap_or_default();
        match fresh.iter().position(|b| *b == byte) {
            // Stays where the end is, so that a CR without its LF is found at once the next time.
            Some(at) => {
                self.searched += at;
                Some(self.searched)
            }
            None => {
                self.searched = buffer.len();
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        arguments: Bounds::ARGUMENTS_MAX,
        argument_bytes: 64 << 20,
        buffer_bytes: 1 << 30,
        unauthenticated: false,
    };

    /// Feeds the pieces one after the other; every request, then the error, as text.
    fn frame(pieces: &[&[u8]], bounds: &Bounds) -> Vec<String> {
        let (mut framer, mut buffer, mut seen) = (Framer::default(), BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match framer.next(&mut buffer, bounds) {
                    Ok(Some(args)) => {
                        seen.push(args.iter().map(|a| a.escape_ascii().to_string()).collect::<Vec<_>>().join(" "))
                    }
                    Ok(None) => break,
                    Err(error) => {
                        seen.push(error.to_string());
                        return seen;
                    }
                }
            }
        }
        seen
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &[&str]) {
        assert_eq!(frame(&[bytes], &BOUNDS), expected);
    }

    #[test]
    fn requests_are_cut_as_redis_cuts_them() {
        check(b"*1\r\n$4\r\nPING\r\n", &["PING"]);
        check(b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\nPING\r\n", &["ECHO ", "PING"]);
        check(b"\r\n\n  \r\n*0\r\n*-1\r\nPING\n", &["PING"]);
        check(b"set k \"a b\"\r\n", &["set k a b"]);
        check(b"*2\r\n$4\r\nECHO\r\n$2\r\n\r\n\r\n", &["ECHO \\r\\n"]);
    }

    #[test]
    fn what_is_no_request_is_refused_in_the_words_of_redis() {
        check(b"*a\r\n", &["Protocol error: invalid multibulk length"]);
        check(b"*2147483647\r\n", &["Protocol error: invalid multibulk length"]);
        check(b"*1048577\r\n", &["Protocol error: invalid multibulk length"]);
        check(b"*1\r\n$1073741824\r\n", &["Protocol error: invalid bulk length"]);
        check(b"*1\r\n$-1\r\n", &["Protocol error: invalid bulk length"]);
        check(b"*1\r\n$\r\n", &["Protocol error: invalid bulk length"]);
        check(b"*1\r\n+", &["Protocol error: expected '$', got '+'"]);
        check(&b"*1\r\n".repeat(40_000), &["Protocol error: expected '$', got '*'"]);
        check(b"'PING\r\n", &["Protocol error: unbalanced quotes in request"]);
        check(&b"x".repeat(65_537), &["Protocol error: too big inline request"]);
        check(&[&b"*"[..], &b"1".repeat(65_536)].concat(), &["Protocol error: too big mbulk count string"]);
        check(&[&b"*1\r\n$"[..], &b"1".repeat(65_536)].concat(), &["Protocol error: too big bulk count string"]);
    }

    #[test]
    fn before_authentication_the_bounds_are_narrow() {
        let narrow = |bytes: &[u8]| frame(&[bytes], &Bounds::UNAUTHENTICATED);
        assert_eq!(narrow(b"*11\r\n"), ["Protocol error: unauthenticated multibulk length"]);
        assert_eq!(narrow(b"*10\r\n"), [""; 0]);
        assert_eq!(narrow(b"*1\r\n$16385\r\n"), ["Protocol error: unauthenticated bulk length"]);
        assert_eq!(narrow(b"*1\r\n$16384\r\n"), [""; 0]);
    }

    #[test]
    fn a_request_over_the_query_buffer_is_refused() {
        let bounds = Bounds { buffer_bytes: 100, ..BOUNDS };
        let whole = [&b"*3\r\n"[..], &b"$45\r\n"[..], &[b'x'; 45], b"\r\n"].concat();
        let more = [&b"$60\r\n"[..], &[b'x'; 58]].concat();
        let seen = frame(&[&whole, &more], &bounds);
        assert_eq!(seen, ["the request passed the limit on the query buffer"]);
    }

    #[test]
    fn every_split_gives_the_same_requests() {
        let pipelines: [&[u8]; 4] = [
            b"*2\r\n$4\r\nECHO\r\n$5\r\nhe\r\nl\r\nPING\r\n*0\r\n*1\r\n$4\r\nQUIT\r\n",
            b"get 'a b'\n\r\n*3\r\n$1\r\na\r\n$0\r\n\r\n$2\r\n\r\n\r\nset \"\\x00\" 1\r\n",
            b"*1\r\n$4\r\nPING\r\n*1\r\n!oops",
            b"PING\r\n*1\r\n$x\r\n",
        ];
        for pipeline in pipelines {
            let whole = frame(&[pipeline], &BOUNDS);
            for first in 0..=pipeline.len() {
                for second in first..=pipeline.len() {
                    let pieces = [&pipeline[..first], &pipeline[first..second], &pipeline[second..]];
                    assert_eq!(frame(&pieces, &BOUNDS), whole, "cut at {first} and {second}");
                }
            }
            let bytes: Vec<&[u8]> = pipeline.chunks(1).collect();
            assert_eq!(frame(&bytes, &BOUNDS), whole, "byte by byte");
        }
    }

    #[test]
    fn random_bytes_never_panic() {
        // A linear congruential generator: the point is many different bytes, the same ones in every run.
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let alphabet = b"*$\r\n0123456789-+:\"'\\x PINGabc\0\xff";
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..random(60)).map(|_| alphabet[random(alphabet.len())]).collect();
            let cut = random(bytes.len() + 1);
            let whole = frame(&[&bytes], &BOUNDS);
            assert_eq!(frame(&[&bytes[..cut], &bytes[cut..]], &BOUNDS), whole, "{}", bytes.escape_ascii());
        }
    }
}
