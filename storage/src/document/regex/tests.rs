//! What MongoDB makes of each expression, as tables.

use super::{compile, compile_to_test};

fn check(pattern: &str, options: &str, yes: &[&str], no: &[&str]) {
    let regex = compile_to_test(pattern, options, 1 << 20).unwrap_or_else(|e| panic!("{pattern}: {e}"));
    for text in yes {
        assert!(regex.is_match(text), "{pattern} ({regex}) must match {text:?}");
    }
    for text in no {
        assert!(!regex.is_match(text), "{pattern} ({regex}) must not match {text:?}");
    }
}

#[test]
fn classes_are_ascii_unless_asked() {
    check(r"^\d+$", "", &["123"], &["\u{661}", ""]);
    check(r"(*UCP)^\d+$", "", &["123", "\u{661}"], &["a"]);
    check(r"(*UTF)(*UCP)[[:alpha:]]", "", &["é"], &["1"]);
    check(r"[[:alpha:]]", "", &["e"], &["é"]);
    check(r"[[:^alpha:]]", "", &["1"], &["e"]);
    check(r"^\w$", "", &["_"], &["é"]);
    check(r"^\W$", "", &["é"], &["e"]);
    check(r"^[\w-]+$", "", &["a-b"], &["é"]);
    check(r"^[^\W_]+$", "", &["ab"], &["_", "-"]);
    check(r"\byster", "", &["Öyster"], &["oyster"]);
    check(r"a\Bb", "", &["ab"], &["a b"]);
    check(r"^\s$", "", &[" ", "\u{b}"], &["\u{a0}"]);
    check(r"^\h\v\R\N$", "", &["\t\n\r\nx"], &["\n\n\nx"]);
    check(r"^\p{Cyrillic}\P{L}\pL\p{^L}$", "", &["П1a1"], &["a1a1"]);
}

#[test]
fn anchors() {
    check("abc$", "", &["abc", "abc\n"], &["abcd", "abc\n\n"]);
    check(r"abc\Z", "", &["abc", "abc\n"], &["abcx"]);
    check(r"abc\z", "", &["abc"], &["abc\n"]);
    check("^b$", "m", &["a\nb\nc", "b"], &["ab"]);
    check("(?m:^b$)c|x$", "", &["x\n"], &["xy"]);
    check("$|a", "", &["", "b"], &[]);
    assert_eq!(compile("a?$", "", 1 << 20).unwrap().find("b\n").unwrap().range(), 2..2);
    assert!(compile(r"a\Kb", "", 1 << 20).is_err());
}

#[test]
fn classes_in_brackets() {
    check("^[a b#]$", "x", &["a", " ", "#"], &["c"]);
    check("^[a&&b]$", "", &["a", "&", "b"], &["c"]);
    check("^[a--c]$", "", &["-", "a"], &["b!"]);
    check("^[]a]$", "", &["]", "a"], &["b"]);
    check("^[^]a]$", "", &["b"], &["]", "a"]);
    check("^[[a]$", "", &["[", "a"], &["b"]);
    check("^[a-c.~-]$", "", &["b", ".", "~", "-"], &["d"]);
    check(r"^[\d-z]$", "", &["1", "-", "z"], &["a"]);
    check(r"^[\]\b\x41\n]$", "", &["]", "\u{8}", "A", "\n"], &["b"]);
}

#[test]
fn what_is_written_differently() {
    check("a{,3}", "", &["a{,3}"], &["aaa"]);
    check("a{b}", "", &["a{b}"], &["a"]);
    check("^a{2}$", "", &["aa"], &["a"]);
    check("^a{2,}?b$", "", &["aab"], &["ab"]);
    check(r"\<a\-\/", "", &["<a-/"], &[]);
    check(r"\Qa.b(\E+", "", &["a.b(("], &["axb("]);
    check(r"^\x41\x{e9}\o{101}\cA$", "", &["AéA\u{1}"], &["b"]);
    check("foo\\Kbar", "", &["foobar"], &["bar"]);
    check("(?<n>a)(?'m'b)(?P<o>c)(?#no(ne)", "", &["abc"], &["ab"]);
    check("a b # c\nd", "x", &["abd"], &["a b d"]);
    check("(?x)a b (?-x)c d", "", &["abc d"], &["abcd"]);
    check("((?i)a)b", "", &["Ab"], &["AB"]);
    check("(?i:a)b(?s).", "", &["Ab\n"], &["AB\n"]);
    check(r"\é", "", &["é"], &[]);
}

#[test]
fn what_takes_more_than_linear_time_is_refused() {
    for (pattern, what) in [
        (r"(a)\1", "back-references are not supported"),
        ("(?P=n)", "back-references and recursion are not supported"),
        ("(?<=a)b", "look-around is not supported"),
        ("a(?!b)", "look-around is not supported"),
        ("(?>a)", "atomic groups are not supported"),
        ("a++", "possessive quantifiers are not supported"),
        ("a**", "a repetition operator after another"),
        ("(?(1)a|b)", "conditional groups are not supported"),
        ("(?R)", "recursion is not supported"),
        ("(*SKIP)a", "(*SKIP) is not supported"),
        ("a(*SKIP)", "verbs such as (*SKIP) are not supported"),
        ("*a", "repetition operator missing expression"),
        ("a)", "unopened group"),
        ("(a", "unclosed group"),
        ("[a", "unclosed character class"),
        ("a\\", "a backslash at the end"),
        (r"\y", r"unrecognized escape sequence \y"),
        (r"\x{d800}", "d800 is no character"),
        ("(?q)", "unrecognized flag"),
        ("a\0", "a null byte"),
    ] {
        let error = compile(pattern, "", 1 << 20).unwrap_err();
        assert_eq!(error, format!("bad regular expression: {what}"), "{pattern}");
    }
    assert_eq!(compile("a", "g", 1 << 20).unwrap_err(), "unknown option 'g'");
    assert!(compile(&"(".repeat(1000), "", 1 << 20).is_err());
    assert!(compile(&"a".repeat(40_000), "", 1 << 20).is_err());
    assert!(compile(r"(\w{500}){500}", "", 1 << 20).is_err());
}
