//! Reads paths. Spaces may stand between any two parts.

use std::sync::OnceLock;

use super::filter::{Filter, Literal, Operator, Term};
use super::{Path, Segment};
use crate::error::{CommandError, ErrorCode};

/// The longest path, in bytes.
const PATH_BYTES_MAX: usize = 4096;
/// Parentheses and filters inside one another.
const NESTING_MAX: usize = 64;

/// Reads a path, in either notation.
pub(super) fn parse(path: &[u8]) -> Result<Path, CommandError> {
    let Ok(original) = std::str::from_utf8(path) else {
        return Err(CommandError::new(ErrorCode::BadPath, "Couldn't parse as UTF-8 string"));
    };
    if original.len() > PATH_BYTES_MAX {
        let what = format!("the path has {} bytes, {PATH_BYTES_MAX} are allowed", original.len());
        return Err(CommandError::new(ErrorCode::BadPath, what));
    }
    let legacy = original != "$" && !original.starts_with("$.") && !original.starts_with("$[");
    let text = match original {
        _ if !legacy => original.to_owned(),
        "." => "$".to_owned(),
        _ if original.starts_with('.') => format!("${original}"),
        _ => format!("$.{original}"),
    };
    let mut reader = Reader { text: &text, at: 1, nesting: 0 };
    match reader.whole() {
        Ok(segments) => Ok(Path { original: original.to_owned(), legacy, segments, text }),
        Err(Wrong(what)) => {
            let what = format!("Error occurred on position {} of {text}: {what}", reader.at);
            Err(CommandError::new(ErrorCode::BadPath, what))
        }
    }
}

/// What is wrong where the reader stopped.
struct Wrong(&'static str);

const A_STEP: Wrong = Wrong("expected one of the following: a name, '*', '[', '..'");
const IN_BRACKETS: Wrong =
    Wrong("expected one of the following: '<string>[,<string>,...]', '<number>', ['start:end:steps'], '*', '?'");

struct Reader<'t> {
    text: &'t str,
    /// Where it is, in bytes.
    at: usize,
    nesting: usize,
}

/// Characters of a name without quotation marks, as RedisJSON has them, and all that are not ASCII.
fn of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_`~+#%$^/:".contains(c) || !c.is_ascii()
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches(' ').len();
    }

    /// Goes past what is said, if it comes next.
    fn take(&mut self, what: &str) -> bool {
        self.spaces();
        let found = self.rest().starts_with(what);
        if found {
            self.at += what.len();
        }
        found
    }

    fn comes(&mut self, what: &str) -> bool {
        self.spaces();
        self.rest().starts_with(what)
    }

    fn whole(&mut self) -> Result<Vec<Segment>, Wrong> {
        let segments = self.segments()?;
        self.spaces();
        if self.rest().is_empty() { Ok(segments) } else { Err(A_STEP) }
    }

    /// The steps behind `$` or `@`, as many as there are. A name or `*` may come first without its dot.
    fn segments(&mut self) -> Result<Vec<Segment>, Wrong> {
        let mut segments = Vec::new();
        if self.take("*") {
            segments.push(Segment::All);
        } else if let Some(name) = self.name() {
            segments.push(Segment::Names(vec![name]));
        }
        loop {
            if self.take("..") {
                segments.push(Segment::Below);
                segments.push(if self.take("[") { self.bracket()? } else { self.named()? });
            } else if self.take(".") {
                segments.push(if self.take("[") { self.bracket()? } else { self.named()? });
            } else if self.take("[") {
                segments.push(self.bracket()?);
            } else {
                return Ok(segments);
            }
        }
    }

    fn named(&mut self) -> Result<Segment, Wrong> {
        if self.take("*") {
            return Ok(Segment::All);
        }
        self.name().map(|name| Segment::Names(vec![name])).ok_or(A_STEP)
    }

    fn name(&mut self) -> Option<String> {
        self.spaces();
        let rest = self.rest();
        let end = rest.find(|c| !of_a_name(c)).unwrap_or(rest.len());
        let name = rest.get(..end).filter(|name| !name.is_empty())?;
        self.at += end;
        Some(name.to_owned())
    }

    /// What stands in brackets, and the bracket that closes them.
    fn bracket(&mut self) -> Result<Segment, Wrong> {
        let segment = if self.take("*") {
            Segment::All
        } else if self.take("?") {
            Segment::Filter(self.any()?)
        } else if self.comes("'") || self.comes("\"") {
            let mut names = vec![self.quoted()?];
            while self.take(",") {
                names.push(self.quoted()?);
            }
            Segment::Names(names)
        } else {
            self.indexes()?
        };
        if self.take("]") { Ok(segment) } else { Err(IN_BRACKETS) }
    }

    fn indexes(&mut self) -> Result<Segment, Wrong> {
        let start = if self.comes(":") { None } else { Some(self.integer()?) };
        if self.take(":") {
            let end = if self.comes(":") || self.comes("]") { None } else { Some(self.integer()?) };
            let step = if self.take(":") && !self.comes("]") { self.integer()? } else { 1 };
            let step = usize::try_from(step).ok().filter(|step| *step > 0).ok_or(IN_BRACKETS)?;
            return Ok(Segment::Range { start, end, step });
        }
        let mut indexes: Vec<i64> = start.into_iter().collect();
        while self.take(",") {
            indexes.push(self.integer()?);
        }
        Ok(Segment::Indexes(indexes))
    }

    fn integer(&mut self) -> Result<i64, Wrong> {
        self.spaces();
        let number = self.number();
        number.parse().map_err(|_| {
            self.at -= number.len();
            IN_BRACKETS
        })
    }

    /// What looks like a number.
    fn number(&mut self) -> &'t str {
        let rest = self.rest();
        let digits = |from: usize| rest.bytes().skip(from).take_while(u8::is_ascii_digit).count();
        let mut end = usize::from(rest.starts_with('-'));
        end += digits(end);
        if rest.get(end..).is_some_and(|rest| rest.starts_with('.')) && digits(end + 1) > 0 {
            end += 1 + digits(end + 1);
        }
        self.at += end;
        rest.get(..end).unwrap_or("")
    }

    /// A string in either quotation marks. A backslash stands before one of these, or another backslash.
    fn quoted(&mut self) -> Result<String, Wrong> {
        self.spaces();
        let mut characters = self.rest().char_indices();
        let Some((_, mark @ ('"' | '\''))) = characters.next() else { return Err(IN_BRACKETS) };
        let mut text = String::new();
        while let Some((at, c)) = characters.next() {
            match c {
                '\\' => match characters.next() {
                    Some((_, c @ ('\\' | '"' | '\''))) => text.push(c),
                    _ => {
                        self.at += at;
                        return Err(Wrong("a backslash stands before a quotation mark or a backslash"));
                    }
                },
                c if c == mark => {
                    self.at += at + 1;
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        self.at = self.text.len();
        Err(Wrong("the quotation mark that ends the string is missing"))
    }

    fn any(&mut self) -> Result<Filter, Wrong> {
        let mut filters = vec![self.all()?];
        while self.take("||") {
            filters.push(self.all()?);
        }
        Ok(Filter::Any(filters))
    }

    fn all(&mut self) -> Result<Filter, Wrong> {
        let mut filters = vec![self.one()?];
        while self.take("&&") {
            filters.push(self.one()?);
        }
        Ok(Filter::All(filters))
    }

    fn one(&mut self) -> Result<Filter, Wrong> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(Wrong("it nests too deep"));
        }
        let filter = if self.take("(") {
            let inner = self.any()?;
            if !self.take(")") {
                return Err(Wrong("expected one of the following: ')', '&&', '||', a comparison"));
            }
            inner
        } else {
            let left = self.term()?;
            match self.operator() {
                _ if self.take("=~") => Filter::Matches(left, self.term()?),
                None => Filter::Some(left),
                Some(operator) => Filter::Compare(left, operator, self.term()?),
            }
        };
        self.nesting -= 1;
        Ok(filter)
    }

    fn operator(&mut self) -> Option<Operator> {
        // Those of two characters first.
        let operators = [
            (">=", Operator::GreaterOrEqual),
            ("<=", Operator::LessOrEqual),
            ("==", Operator::Equal),
            ("!=", Operator::Unequal),
            (">", Operator::Greater),
            ("<", Operator::Less),
        ];
        operators.into_iter().find(|(text, _)| self.take(text)).map(|(_, operator)| operator)
    }

    fn term(&mut self) -> Result<Term, Wrong> {
        const A_TERM: Wrong = Wrong("expected one of the following: '@', '$', a number, a string, true, false, null");
        if self.take("@") {
            return Ok(Term::Current(self.segments()?));
        }
        if self.take("$") {
            return Ok(Term::Root(self.segments()?));
        }
        if self.comes("'") || self.comes("\"") {
            return Ok(Term::Literal(Literal::Text(self.quoted()?, OnceLock::new())));
        }
        let words = [("true", Literal::Bool(true)), ("false", Literal::Bool(false)), ("null", Literal::Null)];
        if let Some((_, literal)) = words.into_iter().find(|(word, _)| self.take(word)) {
            return Ok(Term::Literal(literal));
        }
        let number = self.number();
        match (number.parse(), number.parse()) {
            (Ok(integer), _) => Ok(Term::Literal(Literal::Integer(integer))),
            (_, Ok(double)) => Ok(Term::Literal(Literal::Double(double))),
            _ => Err(A_TERM),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Limits;
    use crate::json::path::Effort;
    use veddb_storage::document::json::{ParseLimits, parse_plain, render_value};

    const STORE: &str = r#"{"a":{"b":[1,2.0,{"a":"x'\"\\y"},"5"]},"c d":null,"e-f":{"a":7,"b":-1},"ü":true,"":0}"#;

    fn effort(text: &str) -> Effort<'static> {
        let effort = Effort::write(&Limits::default());
        effort.allow(text.len());
        effort
    }

    #[track_caller]
    fn check(path: &str, expected: &str) {
        let root = parse_plain(STORE.as_bytes(), ParseLimits::default()).unwrap();
        let text = match Path::parse(path.as_bytes()) {
            Err(error) => error.to_string(),
            Ok(path) => {
                let mut out = Vec::new();
                let effort = effort(STORE);
                path.values(root.get(), &effort, &mut |value| {
                    out.push(b' ');
                    render_value(&mut out, value);
                    Ok(())
                })
                .unwrap();
                String::from_utf8(out).unwrap()
            }
        };
        if expected.is_empty() || expected.starts_with(' ') {
            assert_eq!(text, expected, "{path}");
        } else {
            assert!(text.starts_with("BADPATH ") && text.contains(expected), "{path}: {text}");
        }
    }

    #[test]
    fn both_notations_select() {
        check(".a.b[0]", " 1");
        check("a.b[-1]", " \"5\"");
        check(r#"["a"]["b"][0]"#, " 1");
        check(r#".["a"].b.[1]"#, " 2.0");
        check("e-f.a", " 7");
        check("ü", " true");
        check("$['c d']", " null");
        check("$[\"\"]", " 0");
        check("$.nothing", "");
        check("$.a.b[0,1]", " 1 2.0");
        check("$['e-f'][\"b\",'a']", " -1 7");
        check("$.a .b [ 1 : 2 ]", " 2.0");
        check("$.a.b[::2]", r#" 1 {"a":"x'\"\\y"}"#);
        check("$.a.b[:-3]", " 1");
        check("$.a.b[-99]", " 1");
        check("$.a.b[99]", "");
        check("$.e-f.*", " 7 -1");
        check("$.e-f[*]", " 7 -1");
    }

    #[test]
    fn a_node_comes_before_what_is_below_it() {
        check("$.a..a", r#" "x'\"\\y""#);
        check("$..b", r#" [1,2.0,{"a":"x'\"\\y"},"5"] -1"#);
        check("$..b[0]", " 1");
        check("..b[1]", " 2.0");
        check("$.e-f..*", " 7 -1");
        check("$..['a','b'].a", "");
    }

    #[test]
    fn filters_hold_as_in_redisjson() {
        check("$.a.b[?(@>1)]", " 2.0");
        check("$.a.b[?@ >= 1 && @ != 2]", " 1");
        check("$.a.b[?(@==1||@=='5')]", " 1 \"5\"");
        check("$.a.b[?(@.a)]", r#" {"a":"x'\"\\y"}"#);
        check(r#"$.a.b[?(@.a=="x'\"\\y")]"#, r#" {"a":"x'\"\\y"}"#);
        check(r#"$.a.b[?(@.a=='x\'"\\y')]"#, r#" {"a":"x'\"\\y"}"#);
        check("$.a.b[?(@.a!=1)]", r#" 1 2.0 {"a":"x'\"\\y"} "5""#);
        check("$.a.b[?(@ =~ '[0-9]')]", " \"5\"");
        check("$.a.b[?(@.a =~ '^x')]", r#" {"a":"x'\"\\y"}"#);
        check("$.a.b[?(@ =~ '[')]", "");
        check("$.a.b[?(@ =~ $.a.b[3])]", " \"5\"");
        check("$.e-f[?(@==$.e-f.a)]", " 7");
        check("$[?(@.a==7)].b", " -1");
        check("$[?(@==null)]", " null");
        check("$.a[?(@[?(@>1)])]", r#" [1,2.0,{"a":"x'\"\\y"},"5"]"#);
    }

    #[test]
    fn work_is_bounded() {
        let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
        let wide = format!("[{}1]", "1,".repeat(100_000));
        let often = format!("$[{}-1]", "-1,".repeat(1000));
        for (text, path) in [(&deep, "$..*..*..*..*..*"), (&wide, &*often), (&wide, "$[?(@==$[99999])]")] {
            let root = parse_plain(text.as_bytes(), ParseLimits::default()).unwrap();
            let path = Path::parse(path.as_bytes()).unwrap();
            let error = path.values(root.get(), &effort(text), &mut |_| Ok(())).unwrap_err();
            assert_eq!(error.code, ErrorCode::TooBig);
        }
    }

    /// Paths that share an effort share what their patterns take; a pattern counts once, and only where it is needed.
    #[test]
    fn patterns_count_where_they_are_used() {
        let (texts, numbers) =
            (parse_plain(br#"["a","b"]"#, ParseLimits::default()), parse_plain(b"[1]", ParseLimits::default()));
        let (texts, numbers) = (texts.unwrap(), numbers.unwrap());
        let path = |patterns: usize| {
            let filters = vec![r"@ =~ '\\w{40}'"; patterns].join("||");
            Path::parse(format!("$[?({filters})]").as_bytes()).unwrap()
        };
        let effort = effort("");
        path(100).values(numbers.get(), &effort, &mut |_| Ok(())).unwrap();
        let some = path(6);
        for _ in 0..3 {
            some.values(texts.get(), &effort, &mut |_| Ok(())).unwrap();
        }
        let error = path(6).values(texts.get(), &effort, &mut |_| Ok(())).unwrap_err();
        assert_eq!(error.code, ErrorCode::TooBig);
    }

    #[test]
    fn what_is_no_path_says_where() {
        check("$.", "position 2 of $.: expected one of the following: a name");
        check("", "position 2 of $.: expected");
        check("$.a[", "position 4 of $.a[");
        check("$.[[", "position 3");
        check(".a[-inf]", "Error occurred on position 4");
        check("$[0:2:0]", "expected");
        check("$['a", "missing");
        check("$[?(@.a==)]", "expected one of the following: '@'");
        check("$[?(@.a]", "')'");
        check("$.a b", "position 4");
        check("$..", "position 3");
        check("$.....a", "position 3");
        check("gar\0\0bage", "expected one of the following");
        check(&format!("$[?{}@]", "(".repeat(100)), "nests too deep");
        check(&format!("${}@", "[?@".repeat(1000)), "nests too deep");
        assert!(Path::parse(&[b'a'; 5000]).is_err());
        assert!(Path::parse(b"\xff").is_err());
    }
}
