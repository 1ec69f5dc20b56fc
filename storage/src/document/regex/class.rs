//! What stands for characters: escapes, properties, classes in brackets.

use std::fmt::Write;

use super::Translator;

impl Translator<'_> {
    /// The rest of `\pL`, `\p{L}` or `\p{^L}`.
    pub(super) fn property(&mut self, p: char) -> Result<String, String> {
        let name = match self.rest.next() {
            Some('{') => self.rest.by_ref().take_while(|c| *c != '}').collect(),
            Some(c) => c.to_string(),
            None => return Err("a property without a name".into()),
        };
        let negated = p == 'P';
        let (name, turned) = name.strip_prefix('^').map_or((name.as_str(), false), |name| (name, true));
        match name {
            "Xan" => return Ok(String::from(if negated == turned { r"[\p{L}\p{N}]" } else { r"[^\p{L}\p{N}]" })),
            "Any" => return Ok(String::from(if negated == turned { r"[\s\S]" } else { r"[^\s\S]" })),
            _ if name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_&".contains(&b)) => {}
            _ => return Err("a bad property name".into()),
        }
        let name = name.replace('&', "");
        Ok(format!("\\{}{{{name}}}", if negated == turned { 'p' } else { 'P' }))
    }

    /// The character that an escape stands for.
    pub(super) fn character(&mut self, c: char) -> Result<char, String> {
        Ok(match c {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'f' => '\u{c}',
            'a' => '\u{7}',
            'e' => '\u{1b}',
            'c' => {
                let control = self.rest.next().filter(|c| (' '..='~').contains(c)).ok_or(r"a bad \c")?;
                char::from(u8::try_from(control.to_ascii_uppercase()).unwrap_or_default() ^ 0x40)
            }
            'x' if self.rest.next_if_eq(&'{').is_some() => {
                let digits: String = self.rest.by_ref().take_while(|c| *c != '}').collect();
                code_point(&digits, 16)?
            }
            'x' => {
                let digits = self.digits(16, 2);
                if digits.is_empty() { '\0' } else { code_point(&digits, 16)? }
            }
            'o' if self.rest.next_if_eq(&'{').is_some() => {
                let digits: String = self.rest.by_ref().take_while(|c| *c != '}').collect();
                code_point(&digits, 8)?
            }
            '0' => {
                let digits = self.digits(8, 2);
                code_point(&format!("0{digits}"), 8)?
            }
            c if c.is_ascii_alphanumeric() => return Err(format!("unrecognized escape sequence \\{c}")),
            c => c,
        })
    }

    fn digits(&mut self, radix: u32, most: usize) -> String {
        let mut digits = String::new();
        while digits.len() < most
            && let Some(digit) = self.rest.next_if(|c| c.is_digit(radix))
        {
            digits.push(digit);
        }
        digits
    }

    /// A class in brackets. What the crate would read as a set operation is escaped.
    pub(super) fn class(&mut self) -> Result<(), String> {
        let mut class = String::from("[");
        if self.rest.next_if_eq(&'^').is_some() {
            class.push('^');
        }
        let mut first = true;
        loop {
            let c = self.rest.next().ok_or("unclosed character class")?;
            match c {
                ']' if !first => break,
                '[' if matches!(self.rest.peek(), Some(':')) => class.push_str(&self.posix()?),
                '\\' => self.escape_in_class(&mut class)?,
                // A range has a character on either side.
                '-' if !first && !matches!(self.rest.peek(), Some(']' | '-')) => class.push('-'),
                c => put_in_class(&mut class, c),
            }
            first = false;
        }
        class.push(']');
        self.atom(&class);
        Ok(())
    }

    fn escape_in_class(&mut self, class: &mut String) -> Result<(), String> {
        let c = self.rest.next().ok_or("unclosed character class")?;
        if let Some(members) = class_of(c, self.unicode) {
            let negation = if c.is_uppercase() { "^" } else { "" };
            let _ = write!(class, "[{negation}{members}]");
            // After a class a dash is itself.
            if self.rest.next_if_eq(&'-').is_some() {
                class.push_str(r"\-");
            }
            return Ok(());
        }
        match c {
            'p' | 'P' => class.push_str(&self.property(c)?),
            'b' => class.push_str(r"\x08"),
            'E' => {}
            'Q' => {
                while let Some(c) = self.rest.next() {
                    if c == '\\' && self.rest.next_if_eq(&'E').is_some() {
                        break;
                    }
                    put_in_class(class, c);
                }
            }
            '1'..='7' => {
                let digits = self.digits(8, 2);
                put_in_class(class, code_point(&format!("{c}{digits}"), 8)?);
            }
            c => {
                let c = self.character(c)?;
                put_in_class(class, c);
            }
        }
        Ok(())
    }

    /// `[:alpha:]` and its like; the opening bracket was read.
    fn posix(&mut self) -> Result<String, String> {
        let ahead: String = self.rest.clone().skip(1).take_while(|c| *c == '^' || c.is_ascii_lowercase()).collect();
        let mut after = self.rest.clone().skip(1 + ahead.len());
        if (after.next(), after.next()) != (Some(':'), Some(']')) {
            return Ok(r"\[".into());
        }
        self.rest.by_ref().nth(ahead.len() + 2);
        let (name, negation) = ahead.strip_prefix('^').map_or((ahead.as_str(), ""), |name| (name, "^"));
        let unicode = match name {
            _ if !self.unicode => None,
            "alpha" => Some(r"\p{L}"),
            "alnum" => Some(r"\p{L}\p{N}"),
            "digit" => Some(r"\p{Nd}"),
            "lower" => Some(r"\p{Ll}"),
            "upper" => Some(r"\p{Lu}"),
            "space" => Some(r"\s"),
            "word" => Some(r"\p{L}\p{N}_"),
            _ => None,
        };
        match unicode {
            Some(members) => Ok(format!("[{negation}{members}]")),
            None => Ok(format!("[:{negation}{name}:]")),
        }
    }
}

/// The members of the class that a letter after a backslash names; an upper case letter names all others.
pub(super) fn class_of(letter: char, unicode: bool) -> Option<&'static str> {
    Some(match (letter.to_ascii_lowercase(), unicode) {
        ('d', false) => "0-9",
        ('d', true) => r"\p{Nd}",
        ('w', false) => "0-9A-Za-z_",
        ('w', true) => r"\p{L}\p{N}_",
        ('s', false) => r"\t-\r ",
        ('s', true) => r"\s",
        ('h', _) => r"\t \x{a0}\x{1680}\x{180e}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}",
        ('v', _) => r"\n-\r\x{85}\x{2028}\x{2029}",
        _ => return None,
    })
}

fn put_in_class(class: &mut String, c: char) {
    if c.is_ascii_alphanumeric() || !c.is_ascii() {
        class.push(c);
    } else {
        let _ = write!(class, "\\x{:02x}", u32::from(c));
    }
}

fn code_point(digits: &str, radix: u32) -> Result<char, String> {
    let code = u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    code.ok_or_else(|| format!("{digits} is no character"))
}
