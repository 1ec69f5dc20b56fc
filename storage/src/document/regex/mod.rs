//! PCRE's regular expressions, as MongoDB has them, in the words of the `regex` crate.
//!
//! The crate matches in linear time, which is why look-around, back-references, atomic groups, possessive quantifiers and
//! recursion are refused here and not approximated. What is written differently is translated: PCRE's classes are
//! ASCII's unless the pattern begins with `(*UCP)`, `$` also stands before a newline that ends the text, white space
//! in a class counts under `x`, `&&` and `--` in a class are nothing special, a brace that begins no count is itself.
//!
//! Where only whether there is a match is asked, `\K` means nothing, and `$` and `\Z` may take the last newline along.
//! Where its place is asked they may not: `$` is the very end then.

mod class;

use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};

use class::class_of;

/// The longest pattern, in bytes; MongoDB's.
pub const PATTERN_BYTES_MAX: usize = 16_384;
/// Groups inside groups.
const DEPTH_MAX: usize = 128;

/// The parts of a pattern's meaning that options or `(?imsx)` set.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    insensitive: bool,
    multi_line: bool,
    dot_all: bool,
    extended: bool,
}

impl Flags {
    fn set(&mut self, flag: char, on: bool) -> bool {
        match flag {
            'i' => self.insensitive = on,
            'm' => self.multi_line = on,
            's' => self.dot_all = on,
            'x' => self.extended = on,
            // Patterns are always read as UTF-8.
            'u' => {}
            _ => return false,
        }
        true
    }
}

/// What a pattern is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Whether,
    Where,
}

/// Compiles a pattern with options out of `imsxu`, to ask where it matches; says what is wrong with it.
///
/// # Errors
/// Where the pattern or an option is none, and where it is larger than `size_max` when it is compiled.
pub fn compile(pattern: &str, options: &str, size_max: usize) -> Result<Regex, String> {
    compile_for(Asked::Where, pattern, options, size_max)
}

/// Compiles a pattern of which only is asked whether it matches.
///
/// # Errors
/// As of [`compile`].
pub fn compile_to_test(pattern: &str, options: &str, size_max: usize) -> Result<Regex, String> {
    compile_for(Asked::Whether, pattern, options, size_max)
}

fn compile_for(asked: Asked, pattern: &str, options: &str, size_max: usize) -> Result<Regex, String> {
    let mut flags = Flags::default();
    for option in options.chars() {
        if !flags.set(option, true) {
            return Err(format!("unknown option {option:?}"));
        }
    }
    let translated = translate(asked, pattern, flags).map_err(|what| format!("bad regular expression: {what}"))?;
    let mut builder = RegexBuilder::new(&translated);
    builder.size_limit(size_max);
    builder.case_insensitive(flags.insensitive).multi_line(flags.multi_line).dot_matches_new_line(flags.dot_all);
    builder.build().map_err(|error| {
        // Only the last line of the regex crate's drawing says what is wrong.
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or("bad pattern").trim_start_matches("error: ");
        format!("bad regular expression: {}", reason.trim_end_matches('.'))
    })
}

fn translate(asked: Asked, pattern: &str, flags: Flags) -> Result<String, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("{} bytes, more than {PATTERN_BYTES_MAX}", pattern.len()));
    }
    if pattern.contains('\0') {
        return Err("a null byte".into());
    }
    let mut rest = pattern;
    let mut unicode = false;
    while let Some((verb, after)) = rest.strip_prefix("(*").and_then(|inner| inner.split_once(')')) {
        match verb {
            "UTF" | "UTF8" => {}
            "UCP" => unicode = true,
            _ => return Err(format!("(*{verb}) is not supported")),
        }
        rest = after;
    }
    let mut translator = Translator {
        rest: rest.chars().peekable(),
        out: String::with_capacity(rest.len() + 16),
        flags,
        outer: Vec::new(),
        asked,
        unicode,
        repeats: Repeats::Nothing,
    };
    translator.run()?;
    Ok(translator.out)
}

/// What a quantifier would meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeats {
    /// The beginning of a branch.
    Nothing,
    /// Something that may be repeated.
    Atom,
    /// A quantifier, which `?` makes lazy and `+` possessive.
    Quantifier,
    /// A quantifier that has its `?`.
    Lazy,
}

struct Translator<'p> {
    rest: Peekable<Chars<'p>>,
    out: String,
    flags: Flags,
    /// The flags outside of each group that is open.
    outer: Vec<Flags>,
    asked: Asked,
    unicode: bool,
    repeats: Repeats,
}

impl Translator<'_> {
    fn run(&mut self) -> Result<(), String> {
        while let Some(c) = self.rest.next() {
            match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group()?,
                ')' => {
                    self.flags = self.outer.pop().ok_or("unopened group")?;
                    self.atom(")");
                }
                '|' => {
                    self.out.push('|');
                    self.repeats = Repeats::Nothing;
                }
                '$' if !self.flags.multi_line => self.end(),
                '*' | '+' | '?' => self.quantifier(&c.to_string())?,
                '{' => self.brace()?,
                '#' if self.flags.extended => {
                    self.rest.by_ref().find(|c| *c == '\n');
                }
                c if self.flags.extended && is_space(c) => {}
                c => self.atom(c.encode_utf8(&mut [0; 4])),
            }
        }
        if self.outer.is_empty() { Ok(()) } else { Err("unclosed group".into()) }
    }

    fn atom(&mut self, text: &str) {
        self.out.push_str(text);
        self.repeats = Repeats::Atom;
    }

    /// The end, or before the newline that ends the text.
    fn end(&mut self) {
        self.atom(if self.asked == Asked::Whether { r"(?:\n?\z)" } else { r"\z" });
    }

    fn literal(&mut self, c: char) {
        self.atom(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }

    fn quantifier(&mut self, text: &str) -> Result<(), String> {
        self.repeats = match (self.repeats, text) {
            (Repeats::Nothing, _) => return Err("repetition operator missing expression".into()),
            (Repeats::Atom, _) => Repeats::Quantifier,
            (Repeats::Quantifier, "?") => Repeats::Lazy,
            (Repeats::Quantifier, "+") => return Err("possessive quantifiers are not supported".into()),
            _ => return Err("a repetition operator after another".into()),
        };
        self.out.push_str(text);
        Ok(())
    }

    /// `{2}`, `{2,}` and `{2,5}` count; any other brace is itself.
    fn brace(&mut self) -> Result<(), String> {
        let ahead: String = self.rest.clone().take(16).take_while(|c| *c != '}').collect();
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let (low, high) = ahead.split_once(',').unwrap_or((&ahead, ""));
        if !digits(low) || !(high.is_empty() || digits(high)) || self.rest.clone().nth(ahead.len()) != Some('}') {
            self.atom(r"\{");
            return Ok(());
        }
        self.quantifier(&format!("{{{ahead}}}"))?;
        self.rest.by_ref().nth(ahead.len());
        Ok(())
    }

    fn group(&mut self) -> Result<(), String> {
        self.repeats = Repeats::Nothing;
        if self.outer.len() >= DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} groups inside each other"));
        }
        if self.rest.next_if_eq(&'?').is_none() {
            if self.rest.peek() == Some(&'*') {
                return Err("verbs such as (*SKIP) are not supported".into());
            }
            self.outer.push(self.flags);
            self.out.push('(');
            return Ok(());
        }
        match self.rest.peek().copied() {
            Some('#') => {
                self.rest.by_ref().find(|c| *c == ')').ok_or("unclosed comment")?;
                Ok(())
            }
            Some('P' | '<' | '\'') => self.named(),
            Some('=' | '!') => Err("look-around is not supported".into()),
            Some('>') => Err("atomic groups are not supported".into()),
            Some('(') => Err("conditional groups are not supported".into()),
            Some('|') => Err("branch reset groups are not supported".into()),
            Some('R' | '&' | '+' | '0'..='9') => Err("recursion is not supported".into()),
            _ => self.inline_flags(),
        }
    }

    /// `(?<name>`, `(?P<name>` and `(?'name'`; names are not asked for, so a plain group does.
    fn named(&mut self) -> Result<(), String> {
        if self.rest.next_if_eq(&'P').is_some() && self.rest.peek() != Some(&'<') {
            return Err("back-references and recursion are not supported".into());
        }
        let end = if self.rest.next() == Some('<') { '>' } else { '\'' };
        if matches!(self.rest.peek(), Some('=' | '!')) {
            return Err("look-around is not supported".into());
        }
        let mut named = false;
        loop {
            match self.rest.next() {
                Some(c) if c == end && named => break,
                Some(c) if c == '_' || c.is_alphanumeric() => named = true,
                _ => return Err("a bad group name".into()),
            }
        }
        self.outer.push(self.flags);
        self.out.push('(');
        Ok(())
    }

    /// `(?i)` to the end of the group, `(?i:..)` for a group of its own.
    fn inline_flags(&mut self) -> Result<(), String> {
        let (before, mut on) = (self.flags, true);
        loop {
            match self.rest.next() {
                Some(')') => break,
                Some(':') => {
                    self.outer.push(before);
                    self.out.push_str("(?");
                    self.put_flags();
                    self.out.push(':');
                    return Ok(());
                }
                Some('-') if on => on = false,
                Some(flag) if flag != 'u' && self.flags.set(flag, on) => {}
                _ => return Err("unrecognized flag".into()),
            }
        }
        self.out.push_str("(?");
        self.put_flags();
        self.out.push(')');
        Ok(())
    }

    /// White space under `x` is dealt with here, the rest by the crate.
    fn put_flags(&mut self) {
        let flags = [('i', self.flags.insensitive), ('m', self.flags.multi_line), ('s', self.flags.dot_all)];
        self.out.extend(flags.iter().filter(|(_, on)| *on).map(|(flag, _)| *flag));
        if flags.iter().any(|(_, on)| !on) {
            self.out.push('-');
            self.out.extend(flags.iter().filter(|(_, on)| !on).map(|(flag, _)| *flag));
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        let c = self.rest.next().ok_or("a backslash at the end")?;
        if let Some(class) = class_of(c, self.unicode) {
            let open = if c.is_uppercase() { "[^" } else { "[" };
            self.atom(&format!("{open}{class}]"));
            return Ok(());
        }
        match c {
            'b' => self.atom(if self.unicode { r"\b" } else { r"(?-u:\b)" }),
            'B' => self.atom(if self.unicode { r"\B" } else { r"(?-u:\B)" }),
            'A' | 'z' => {
                self.out.push('\\');
                self.atom(c.encode_utf8(&mut [0; 4]));
            }
            'Z' => self.end(),
            'N' => self.atom(r"[^\n]"),
            'R' => self.atom(r"(?:\r\n|[\n\x0b\f\r\x{85}\x{2028}\x{2029}])"),
            'K' if self.asked == Asked::Where => return Err(r"\K is not supported".into()),
            // It moves where the match begins.
            'K' | 'E' => {}
            'Q' => self.quoted(),
            'p' | 'P' => {
                let property = self.property(c)?;
                self.atom(&property);
            }
            '1'..='9' | 'g' | 'k' => return Err("back-references are not supported".into()),
            c => {
                let c = self.character(c)?;
                self.literal(c);
            }
        }
        Ok(())
    }

    /// `\Q..\E`: all of it is itself.
    fn quoted(&mut self) {
        while let Some(c) = self.rest.next() {
            if c == '\\' && self.rest.next_if_eq(&'E').is_some() {
                return;
            }
            self.literal(c);
        }
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

#[cfg(test)]
mod tests;
