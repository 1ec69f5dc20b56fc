//! A RESP reply as the suites see it: parsed from the wire, and printed as the transcripts write it.

use std::fmt;
use std::io::{self, BufRead, Read};

/// One reply, of RESP2 or RESP3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `+OK`
    Simple(String),
    /// `-ERR message`
    Error(String),
    /// `:1`
    Integer(i64),
    /// `,1.5`, as it was spelled.
    Double(String),
    /// `#t`
    Boolean(bool),
    /// `_`, `$-1`
    Null,
    /// `*-1`
    NullArray,
    /// `$3 abc`
    Bulk(Vec<u8>),
    /// `=txt:`
    Verbatim(Vec<u8>),
    /// `(123`
    BigNumber(String),
    /// `*`
    Array(Vec<Value>),
    /// `~`
    Set(Vec<Value>),
    /// `>`
    Push(Vec<Value>),
    /// `%`
    Map(Vec<(Value, Value)>),
}

impl Value {
    /// Reads one reply.
    pub fn read(from: &mut impl BufRead) -> io::Result<Value> {
        read(from, 0)
    }

    /// The text of a bulk or simple string.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Simple(text) => Some(text),
            Value::Bulk(bytes) | Value::Verbatim(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The text of a string, or a panic that shows what it is.
    pub fn expect_text(&self) -> &str {
        self.text().unwrap_or_else(|| panic!("not text: {self}"))
    }

    /// The integer, or a panic that shows what it is.
    pub fn expect_integer(&self) -> i64 {
        match self {
            Value::Integer(number) => *number,
            other => panic!("not an integer: {other}"),
        }
    }

    /// The elements, or a panic that shows what it is.
    pub fn expect_array(&self) -> &[Value] {
        match self {
            Value::Array(values) | Value::Set(values) | Value::Push(values) => values,
            other => panic!("not an array: {other}"),
        }
    }

    /// Whether it is an error with this first word.
    pub fn is_error(&self, code: &str) -> bool {
        matches!(self, Value::Error(message) if message.split(' ').next() == Some(code))
    }

    /// The value of a name in a map, or in the flat array that RESP2 has for one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Map(pairs) => pairs.iter().find(|(key, _)| key.text() == Some(name)).map(|(_, value)| value),
            Value::Array(values) => {
                values.chunks_exact(2).find(|pair| pair[0].text() == Some(name)).map(|pair| &pair[1])
            }
            _ => None,
        }
    }
}

fn bad(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

fn read(from: &mut impl BufRead, depth: usize) -> io::Result<Value> {
    if depth > 64 {
        return Err(bad("a reply nested deeper than any the server has"));
    }
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.strip_suffix(b"\r\n").ok_or_else(|| bad(format!("a line without CR LF: {line:?}")))?;
    let line = std::str::from_utf8(line).map_err(|_| bad(format!("a line that is not UTF-8: {line:?}")))?;
    let kind = line.chars().next().ok_or_else(|| bad("an empty line"))?;
    let rest = &line[kind.len_utf8()..];
    let number = || rest.parse::<i64>().map_err(|_| bad(format!("not a number: {line}")));
    let elements =
        |from: &mut _, count: i64| -> io::Result<Vec<Value>> { (0..count).map(|_| read(from, depth + 1)).collect() };
    Ok(match kind {
        '+' => Value::Simple(rest.to_owned()),
        '-' => Value::Error(rest.to_owned()),
        ':' => Value::Integer(number()?),
        ',' => Value::Double(rest.to_owned()),
        '(' => Value::BigNumber(rest.to_owned()),
        '#' => Value::Boolean(match rest {
            "t" => true,
            "f" => false,
            _ => return Err(bad(format!("not a boolean: {line}"))),
        }),
        '_' => Value::Null,
        '$' if rest == "-1" => Value::Null,
        '*' if rest == "-1" => Value::NullArray,
        '$' => Value::Bulk(bulk(from, number()?)?),
        '=' => Value::Verbatim(bulk(from, number()?)?.split_off(4)),
        '*' => Value::Array(elements(from, number()?)?),
        '~' => Value::Set(elements(from, number()?)?),
        '>' => Value::Push(elements(from, number()?)?),
        '%' => {
            let count = number()?;
            let pair = |_| Ok((read(from, depth + 1)?, read(from, depth + 1)?));
            Value::Map((0..count).map(pair).collect::<io::Result<_>>()?)
        }
        _ => return Err(bad(format!("not a reply: {line}"))),
    })
}

fn bulk(from: &mut impl Read, length: i64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(|_| bad(format!("a bulk of {length} bytes")))?;
    let mut bytes = vec![0; length + 2];
    from.read_exact(&mut bytes)?;
    if !bytes.ends_with(b"\r\n") {
        return Err(bad("a bulk without CR LF"));
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// One line of text in which nothing is lost: control characters, backslashes and bytes that are not UTF-8 are escaped.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => out.push_str("\\\\"),
                '\r' => out.push_str("\\r"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                control if control.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(control))),
                other => out.push(other),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self, f, 0)
    }
}

fn print(value: &Value, f: &mut fmt::Formatter<'_>, indent: usize) -> fmt::Result {
    let string = |f: &mut fmt::Formatter<'_>, sign: &str, bytes: &[u8]| match bytes {
        b"" => f.write_str(sign),
        _ => write!(f, "{sign} {}", escape(bytes)),
    };
    let list = |f: &mut fmt::Formatter<'_>, sign: &str, values: &[Value]| {
        if values.is_empty() {
            return write!(f, "{sign}[]");
        }
        writeln!(f, "{sign}[")?;
        for value in values {
            write!(f, "{:indent$}", "", indent = indent + 2)?;
            print(value, f, indent + 2)?;
            writeln!(f)?;
        }
        write!(f, "{:indent$}]", "")
    };
    match value {
        Value::Simple(text) => write!(f, "+{text}"),
        Value::Error(text) => write!(f, "-{text}"),
        Value::Integer(number) => write!(f, ":{number}"),
        Value::Double(text) => write!(f, ",{text}"),
        Value::BigNumber(text) => write!(f, "({text}"),
        Value::Boolean(true) => f.write_str("#t"),
        Value::Boolean(false) => f.write_str("#f"),
        Value::Null => f.write_str("nil"),
        Value::NullArray => f.write_str("nil array"),
        Value::Bulk(bytes) => string(f, "$", bytes),
        Value::Verbatim(bytes) => string(f, "=", bytes),
        Value::Array(values) => list(f, "", values),
        Value::Set(values) => list(f, "~", values),
        Value::Push(values) => list(f, ">", values),
        Value::Map(pairs) if pairs.is_empty() => f.write_str("{}"),
        Value::Map(pairs) => {
            writeln!(f, "{{")?;
            for (key, value) in pairs {
                write!(f, "{:indent$}", "", indent = indent + 2)?;
                print(key, f, indent + 2)?;
                f.write_str(" => ")?;
                print(value, f, indent + 2)?;
                writeln!(f)?;
            }
            write!(f, "{:indent$}}}", "")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wire: &str, printed: &str) {
        let value = Value::read(&mut wire.replace('|', "\r\n").as_bytes()).unwrap();
        assert_eq!(value.to_string(), printed);
    }

    #[test]
    fn replies_print_as_transcripts_write_them() {
        check("+OK|", "+OK");
        check("$-1|", "nil");
        check("_|", "nil");
        check("*-1|", "nil array");
        check("$0||", "$");
        check("$5|a\\\n\tb|", "$ a\\\\\\n\\tb");
        check("*2|:1|*1|$1|x|", "[\n  :1\n  [\n    $ x\n  ]\n]");
        check("%1|$1|a|*0|", "{\n  $ a => []\n}");
        check("=6|txt:hi|", "= hi");
        check(",1.5|", ",1.5");
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for wire in ["", "x\r\n", ":a\r\n", "$3\r\nab", "$1\r\nabc", "+OK\n"] {
            assert!(Value::read(&mut wire.as_bytes()).is_err(), "{wire:?}");
        }
    }
}
