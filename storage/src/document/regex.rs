//! Regular expressions as MongoDB writes them (PCRE's notation), on an engine that matches in linear time.
//!
//! `\d \w \s \b` mean ASCII, as they do there. What only backtracking can do (look-around, back-references) is refused.

use regex::{Regex, RegexBuilder};

/// The longest pattern, bytes; MongoDB's.
pub const PATTERN_BYTES_MAX: usize = 16_384;

/// Compiles a pattern; says what is wrong with it.
///
/// # Errors
/// Where the pattern or an option is none, or where it is larger than `size_max` when compiled.
pub fn compile(pattern: &str, options: &str, size_max: usize) -> Result<Regex, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("the regular expression has more than {PATTERN_BYTES_MAX} bytes"));
    }
    if pattern.contains('\0') || options.contains('\0') {
        return Err("a regular expression and its options may not hold NUL".into());
    }
    let mut builder = RegexBuilder::new(&ascii_classes(pattern));
    builder.size_limit(size_max);
    for option in options.chars() {
        match option {
            'i' => builder.case_insensitive(true),
            'm' => builder.multi_line(true),
            's' => builder.dot_matches_new_line(true),
            'x' => builder.ignore_whitespace(true),
            // Patterns are always read as UTF-8.
            'u' => &mut builder,
            other => return Err(format!("unknown option {other:?}")),
        };
    }
    builder.build().map_err(|error| {
        // Only the last line of the regex crate's drawing says what is wrong.
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or("bad pattern").trim_start_matches("error: ");
        format!("bad regular expression: {}", reason.trim_end_matches('.'))
    })
}

/// The pattern with its short classes written out: the engine's own are Unicode's.
fn ascii_classes(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern.chars();
    // How many brackets are open.
    let mut depth = 0usize;
    while let Some(c) = rest.next() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            '\\' => {
                let Some(escaped) = rest.next() else {
                    out.push(c);
                    break;
                };
                let inside = depth > 0;
                match escaped {
                    'd' | 'w' | 's' if inside => out.push_str(class(escaped)),
                    'd' | 'w' | 's' => out.extend(["[", class(escaped), "]"]),
                    'D' | 'W' | 'S' => out.extend(["[^", class(escaped.to_ascii_lowercase()), "]"]),
                    'b' | 'B' if !inside => out.extend(["(?-u:\\", if escaped == 'b' { "b" } else { "B" }, ")"]),
                    other => out.extend(['\\', other]),
                }
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    out
}

fn class(letter: char) -> &'static str {
    match letter {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        _ => "\\t\\n\\x0B\\x0C\\r\\x20",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_classes_are_ascii() {
        for (pattern, yes, no) in [
            (r"^\d+$", "123", "\u{661}"),
            (r"^\w$", "a", "é"),
            (r"^\s$", "\t", "\u{a0}"),
            (r"^[\d\s]+$", "1 2", "a"),
            (r"^[^\d]$", "a", "1"),
            (r"^[\D]$", "a", "1"),
            (r"\bcat\b", "a cat", "concat"),
            (r"^\\d$", r"\d", "1"),
            (r"^[\]d]$", "d", "1"),
            (r"^.$", "é", "ab"),
        ] {
            let regex = compile(pattern, "", 1 << 20).unwrap();
            assert!(regex.is_match(yes), "{pattern} finds itself in {yes:?}");
            assert!(!regex.is_match(no), "{pattern} does not find itself in {no:?}");
        }
        assert!(compile(r"a b # c", "x", 1 << 20).unwrap().is_match("ab"));
        for bad in ["(", "a(?=b)", r"(a)\1", "a\0"] {
            assert!(compile(bad, "", 1 << 20).is_err(), "{bad}");
        }
        assert!(compile("a", "q", 1 << 20).is_err());
        assert!(compile(&"a".repeat(PATTERN_BYTES_MAX + 1), "", 1 << 30).is_err());
    }
}
