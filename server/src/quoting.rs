//! Redis's quoting rules (`sdssplitargs`), which inline requests and configuration files share.
//!
//! Words are separated by white space. `"..."` knows `\xHH`, `\n \r \t \b \a` and `\c` for any other byte; `'...'`
//! knows only `\'`. A closing quote must be followed by white space or the end.

/// The words of a line, or None when a quote is not closed as it must be.
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = skip_spaces(line);
    while !rest.is_empty() {
        let (word, after) = word(rest)?;
        words.push(word);
        rest = skip_spaces(after);
    }
    Some(words)
}

fn skip_spaces(line: &[u8]) -> &[u8] {
    let spaces = line.iter().take_while(|byte| is_space(**byte)).count();
    line.get(spaces..).unwrap_or_default()
}

/// The first word of a line that does not begin with white space, and what follows it.
fn word(line: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut out = Vec::new();
    let mut rest = line;
    loop {
        match rest {
            [] => return Some((out, rest)),
            [byte, ..] if is_space(*byte) => return Some((out, rest)),
            [b'"', after @ ..] => {
                rest = double_quoted(after, &mut out)?;
                return ends_here(rest).then_some((out, rest));
            }
            [b'\'', after @ ..] => {
                rest = single_quoted(after, &mut out)?;
                return ends_here(rest).then_some((out, rest));
            }
            [byte, after @ ..] => {
                out.push(*byte);
                rest = after;
            }
        }
    }
}

fn ends_here(rest: &[u8]) -> bool {
    rest.first().is_none_or(|byte| is_space(*byte))
}

fn is_space(byte: u8) -> bool {
    // The vertical tab as in C. NUL ends the line for Redis; as a space it is kept out of words as well.
    byte.is_ascii_whitespace() || byte == 0x0b || byte == 0
}

fn double_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [] => return None,
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex(*high) << 4 | hex(*low));
                after
            }
            [b'\\', escaped, after @ ..] => {
                out.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                after
            }
            [byte, after @ ..] => {
                out.push(*byte);
                after
            }
        };
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [] => return None,
            [b'\'', after @ ..] => return Some(after),
            [b'\\', b'\'', after @ ..] => {
                out.push(b'\'');
                after
            }
            [byte, after @ ..] => {
                out.push(*byte);
                after
            }
        };
    }
}

/// The value of an ASCII hexadecimal digit; 0 for any other byte.
fn hex(digit: u8) -> u8 {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).unwrap_or(0)
}

/// A word as `split` reads it back: bare where nothing in it needs quotes.
pub fn quote(word: &str) -> String {
    let bare = !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'\\'));
    if bare {
        return word.to_owned();
    }
    let mut out = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Bytes in quotes, as `sdscatrepr` writes them: what is not printable ASCII as `\\xhh`.
pub fn represent(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0x07 => out.extend(b"\\a"),
            0x08 => out.extend(b"\\b"),
            b' '..=b'~' => out.push(*byte),
            _ => out.extend(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<&[&[u8]]>) {
        let expected = expected.map(|words| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>());
        assert_eq!(split(line.as_bytes()), expected, "{line}");
    }

    #[test]
    fn words_are_split_as_redis_splits_them() {
        check("", Some(&[]));
        check("  set\tk  v \r", Some(&[b"set", b"k", b"v"]));
        check(r#"a "b c" 'd e'"#, Some(&[b"a", b"b c", b"d e"]));
        check(r#""\x41\n\q\"" '\'\n'"#, Some(&[b"A\nq\"", b"'\\n"]));
        check(r#"a"b c""#, Some(&[b"ab c"]));
        check(r#""" ''"#, Some(&[b"", b""]));
        check("a\0b \0\x0b", Some(&[b"a", b"b"]));
        check(r#""a"b"#, None);
        check(r#"'a"#, None);
        check(r#""a"#, None);
    }

    #[test]
    fn what_is_quoted_reads_back() {
        for word in ["", "plain", "two words", "q\"uo'te", "back\\slash", "new\nline", "ümläut", "\u{1}"] {
            assert_eq!(split(quote(word).as_bytes()), Some(vec![word.as_bytes().to_vec()]), "{word:?}");
        }
    }
    #[test]
    fn any_bytes_are_represented_as_redis_does() {
        let mut out = Vec::new();
        represent(b"a b\x00\n\r\t\x07\x08\"\\\xff~\x7f", &mut out);
        assert_eq!(String::from_utf8_lossy(&out), r#""a b\x00\n\r\t\a\b\"\\\xff~\x7f""#);
    }
}
