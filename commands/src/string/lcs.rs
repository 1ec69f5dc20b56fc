//! LCS.

use bytes::Bytes;

use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::error::ErrorCode;
use crate::keyspace::text;
use crate::pipeline::memory::Account;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "LCS",
    group: Group::String,
    summary: "Finds the longest common subsequence of two strings.",
    complexity: "O(N*M) of the two lengths",
    arity: -3,
    args: &[
        Arg::key("key1"),
        Arg::key("key2"),
        Arg::word("LEN"),
        Arg::word("IDX"),
        Arg::integer("min-match-len").after("MINMATCHLEN").optional(),
        Arg::word("WITHMATCHLEN"),
    ],
    keys: Keys::FIRST_TWO,
    reply: "the subsequence; LEN: its length; IDX: a map of `matches`, an array of `[[from, to], [from, to]]` in both strings from the last to the first (WITHMATCHLEN: and the length), of those with at least MINMATCHLEN bytes, and `len`",
    examples: &[("LCS a b", r#""mytext""#), ("LCS a b LEN", "(integer) 6")],
    run: Run::Read(run),
    ..Command::BLANK
};

#[derive(Default)]
struct Options {
    length: bool,
    ranges: bool,
    shortest: usize,
    with_lengths: bool,
}

fn options(args: &Args) -> Result<Options, CommandError> {
    let mut options = Options::default();
    let mut at = 3;
    while at < args.len() {
        if args.is(at, "LEN") {
            options.length = true;
        } else if args.is(at, "IDX") {
            options.ranges = true;
        } else if args.is(at, "WITHMATCHLEN") {
            options.with_lengths = true;
        } else if args.is(at, "MINMATCHLEN") && at + 1 < args.len() {
            at += 1;
            options.shortest = usize::try_from(args.integer(at)?).unwrap_or(0);
        } else {
            return Err(CommandError::syntax());
        }
        at += 1;
    }
    if options.length && options.ranges {
        let message = "If you want both the length and indexes, please just use IDX.";
        return Err(CommandError::err(message));
    }
    Ok(options)
}

/// Steps that are taken without asking whether the client is still there.
const ROWS: usize = 16;

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let options = options(args)?;
    let strings = |error: CommandError| match error.code {
        ErrorCode::WrongType => CommandError::err("The specified keys must contain string values"),
        _ => error,
    };
    let a = text(context, args.bytes(1)).map_err(strings)?;
    let b = text(context, args.bytes(2)).map_err(strings)?;
    let (a, b) = (a.as_deref().unwrap_or_default(), b.as_deref().unwrap_or_default());
    // A step takes about a nanosecond.
    context.afford(a.len() as f64 * b.len() as f64)?;
    let mut held = Account::new(context.queries.memory()).part();
    held.claim((a.len() + 1).saturating_mul(b.len() + 1).saturating_mul(size_of::<u32>()))?;
    let table = Table::new(a, b, context)?;
    let length = table.at(a.len(), b.len());
    if options.length {
        return Ok(Reply::count(length));
    }
    let (common, ranges) = table.walk(a, b);
    if !options.ranges {
        return Ok(Reply::Bulk(Bytes::from(common)));
    }
    let ranges = ranges.into_iter().filter(|range| range.length >= options.shortest);
    let matches = ranges.map(|range| range.reply(options.with_lengths)).collect();
    Ok(Reply::Map(vec![
        (Reply::constant("matches"), Reply::Array(matches)),
        (Reply::constant("len"), Reply::count(length)),
    ]))
}

/// How long the longest common subsequences are of all beginnings of two strings.
struct Table {
    width: usize,
    lengths: Vec<u32>,
}

/// A common run of bytes.
struct Range {
    a: usize,
    b: usize,
    length: usize,
}

impl Range {
    fn reply(&self, with_length: bool) -> Reply {
        let one = |from: usize| Reply::Array(vec![Reply::count(from), Reply::count(from + self.length - 1)]);
        let mut parts = vec![one(self.a), one(self.b)];
        parts.extend(with_length.then(|| Reply::count(self.length)));
        Reply::Array(parts)
    }
}

impl Table {
    fn new(a: &[u8], b: &[u8], context: &ReadContext<'_>) -> Result<Table, CommandError> {
        let width = b.len() + 1;
        let mut lengths = Vec::with_capacity((a.len() + 1) * width);
        lengths.resize(width, 0);
        for (row, byte) in a.iter().enumerate() {
            if row.is_multiple_of(ROWS) {
                context.check(None)?;
            }
            let above = row * width;
            let (mut left, mut before) = (0_u32, 0_u32);
            lengths.push(0);
            for (column, other) in b.iter().enumerate() {
                let up = lengths.get(above + column + 1).copied().unwrap_or(0);
                left = if byte == other { before + 1 } else { up.max(left) };
                before = up;
                lengths.push(left);
            }
        }
        Ok(Table { width, lengths })
    }

    fn at(&self, row: usize, column: usize) -> u32 {
        self.lengths.get(row * self.width + column).copied().unwrap_or(0)
    }

    /// The subsequence, and its runs from the last to the first. Of several of one length it is the one that Redis takes.
    fn walk(&self, a: &[u8], b: &[u8]) -> (Vec<u8>, Vec<Range>) {
        let (mut i, mut j) = (a.len(), b.len());
        let (mut common, mut ranges) = (Vec::new(), Vec::<Range>::new());
        while i > 0 && j > 0 {
            let byte = a.get(i - 1);
            if byte == b.get(j - 1) {
                common.extend(byte);
                (i, j) = (i - 1, j - 1);
                match ranges.last_mut() {
                    Some(range) if range.a == i + 1 && range.b == j + 1 => {
                        *range = Range { a: i, b: j, length: range.length + 1 };
                    }
                    _ => ranges.push(Range { a: i, b: j, length: 1 }),
                }
            } else if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        common.reverse();
        (common, ranges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_where_the_strings_differ() {
        // The runs of both strings touch, but not each other.
        let (a, b) = (b"abXcd", b"abcYd");
        let width = b.len() + 1;
        let mut table = Table { width, lengths: vec![0; (a.len() + 1) * width] };
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                let length = if a[i - 1] == b[j - 1] {
                    table.at(i - 1, j - 1) + 1
                } else {
                    table.at(i - 1, j).max(table.at(i, j - 1))
                };
                table.lengths[i * width + j] = length;
            }
        }
        let (common, ranges) = table.walk(a, b);
        let ranges: Vec<_> = ranges.iter().map(|range| (range.a, range.b, range.length)).collect();
        assert_eq!((common.as_slice(), ranges), (&b"abcd"[..], vec![(4, 4, 1), (3, 2, 1), (0, 0, 2)]));
    }
}
