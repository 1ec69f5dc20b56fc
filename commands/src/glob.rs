//! Redis's glob patterns: `* ? [abc] [^a] [a-c] \x`, byte by byte.
//!
//! Bounded: a pattern of many stars gives up a branch as soon as a later star has consumed the rest of the text, so
//! time is at most the product of the lengths. Where Redis differs from other globs (`[!a]` is literal, an unclosed
//! `[a` is closed by the end) this differs too.

/// Whether `text` matches `pattern`. Where `ignore_case`, ASCII letters match in either case.
pub fn matches(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    let (mut at_pattern, mut at_text) = (0, 0);
    // Where to start again when a literal fails: after the last star, one byte further in the text. Only the last star
    // matters, which is what keeps this from being exponential.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let rest = pattern.get(at_pattern..).unwrap_or_default();
        let matched = match rest.split_first() {
            // Redis: `*` does not match an empty text (the loop there never starts).
            Some((b'*', _)) if text.is_empty() => return false,
            Some((b'*', _)) => {
                let stars = rest.iter().take_while(|&&b| b == b'*').count();
                at_pattern += stars;
                if at_pattern == pattern.len() {
                    return true;
                }
                retry = Some((at_pattern, at_text));
                continue;
            }
            Some(_) => text.get(at_text).and_then(|&byte| match_one(rest, byte, ignore_case)),
            None if at_text == text.len() => return true,
            None => None,
        };
        match (matched, retry) {
            (Some(consumed), _) => {
                at_pattern += consumed;
                at_text += 1;
            }
            (None, Some((pattern_after_star, text_at_star))) if text_at_star < text.len() => {
                retry = Some((pattern_after_star, text_at_star + 1));
                (at_pattern, at_text) = (pattern_after_star, text_at_star + 1);
            }
            (None, _) => return false,
        }
    }
}

/// Matches one byte against the pattern's next element; how many bytes of the pattern that element takes.
fn match_one(pattern: &[u8], byte: u8, ignore_case: bool) -> Option<usize> {
    let fold = |b: u8| if ignore_case { b.to_ascii_lowercase() } else { b };
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => {
            let (hit, length) = match_class(class, fold(byte), fold);
            hit.then_some(length + 1)
        }
        [b'\\', literal, ..] => (fold(*literal) == fold(byte)).then_some(2),
        [literal, ..] => (fold(*literal) == fold(byte)).then_some(1),
        [] => None,
    }
}

/// Matches a byte against what stands after `[`; whether it hit, and how long the class is with its `]`.
fn match_class(class: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut hit = false;
    loop {
        match class.get(at..).unwrap_or_default() {
            [b'\\', literal, ..] => {
                hit |= fold(*literal) == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [] => break,
            [from, b'-', to, ..] => {
                let (low, high) = (fold(*from.min(to)), fold(*from.max(to)));
                hit |= (low..=high).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                hit |= fold(*literal) == byte;
                at += 1;
            }
        }
    }
    (hit != negated, at)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn agrees_with_redis() {
        // What redis-server 7.0.15 answered for each pair.
        let cases = [
            ("*", "", false),
            ("*", "a", true),
            ("a*", "", false),
            ("[a-c]x", "bx", true),
            ("[c-a]x", "bx", true),
            ("[^a]x", "bx", true),
            ("[!a]x", "bx", false),
            ("[!a]x", "!x", true),
            ("[a", "a", true),
            ("[", "[", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("a\\", "a", false),
            ("[\\]]", "]", true),
            ("[\\-]", "-", true),
            ("h?llo", "hllo", false),
            ("h**o", "hello", true),
            ("[]a]", "a", false),
            ("[^]", "x", true),
            ("[a-", "-", true),
            ("[a-]", "-", false),
            ("[a-]", "b", false),
            ("news.[st]*", "news.tech", true),
            ("?", "", false),
            ("\\", "\\", true),
            ("[a-z]", "B", false),
            ("A", "a", false),
            ("**", "", false),
            ("a**", "a", true),
            ("a?*", "a", false),
            ("[", "", false),
            ("x[", "x", false),
            ("{a,b}", "a", false),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxbxx", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), false), expected, "{pattern:?} {text:?}");
        }
        assert!(matches(b"MAX*", b"maxclients", true));
    }

    #[test]
    fn many_stars_do_not_blow_up() {
        let pattern = "*a".repeat(500) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(5_000).as_bytes(), false));
    }
}
