//! Redis's glob patterns: `*`, `?`, `[a-z]`, `[^a]`, `\x`.

/// Whether the whole text matches. One place to go back to at a time, so the cost is at most pattern times text.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // The pattern after the last `*`, and the text from which it was tried last.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        let step = match (pattern.split_first(), text.split_first()) {
            (None, None) => return true,
            (Some((b'*', rest)), _) => {
                retry = Some((rest, text));
                Some((rest, text))
            }
            (Some((b'?', rest)), Some((_, tail))) => Some((rest, tail)),
            (Some((b'[', rest)), Some((byte, tail))) => {
                let (hit, rest) = class(rest, *byte);
                hit.then_some((rest, tail))
            }
            (Some((b'\\', rest)), Some((byte, tail))) => {
                let (literal, rest) = rest.split_first().unwrap_or((&b'\\', &[]));
                (literal == byte).then_some((rest, tail))
            }
            (Some((literal, rest)), Some((byte, tail))) => (literal == byte).then_some((rest, tail)),
            _ => None,
        };
        match (step, retry) {
            (Some(next), _) => (pattern, text) = next,
            (None, Some((after, from))) => {
                let Some((_, tail)) = from.split_first() else { return false };
                retry = Some((after, tail));
                (pattern, text) = (after, tail);
            }
            (None, None) => return false,
        }
    }
}

/// Whether the class after `[` has the byte, and the pattern after `]`.
fn class(pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    let (negated, mut rest) = match pattern.split_first() {
        Some((b'^', rest)) => (true, rest),
        _ => (false, pattern),
    };
    let mut hit = false;
    loop {
        match rest {
            // An unclosed class ends with the pattern, as in Redis.
            [] => return (hit != negated, rest),
            [b']', tail @ ..] => return (hit != negated, tail),
            [b'\\', literal, tail @ ..] => {
                hit |= *literal == byte;
                rest = tail;
            }
            [a, b'-', b, tail @ ..] => {
                hit |= (*a.min(b)..=*a.max(b)).contains(&byte);
                rest = tail;
            }
            [literal, tail @ ..] => {
                hit |= *literal == byte;
                rest = tail;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn as_redis_matches() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "abd", false),
            ("a*b*c", "aXbYbZc", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            (r"h\*llo", "h*llo", true),
            (r"h\*llo", "hello", false),
            ("[a", "a", true),
            ("", "a", false),
            ("a", "", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} on {text}");
        }
        let hostile = "*a".repeat(500);
        assert!(!matches(hostile.as_bytes(), "a".repeat(400).as_bytes()));
    }
}
