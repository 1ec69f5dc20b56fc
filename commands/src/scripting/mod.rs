//! EVAL and its family. There is no interpreter: one script is known by its text, since applications have it from their framework.

pub mod eval;
pub mod evalsha;
pub mod fcall;
pub mod fcall_ro;
pub mod function;
pub mod script;

use crate::args::Args;
use crate::error::CommandError;

/// What the broadcaster of Laravel sends: `ARGV[1]` is published to the channels that follow.
const BROADCAST: &str = "for i = 2, #ARGV do redis.call('publish', ARGV[i], ARGV[1]) end";

/// Whether a script is that one, however it is laid out.
fn is_broadcast(script: &[u8]) -> bool {
    let words = script.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.eq(BROADCAST.split(' ').map(str::as_bytes))
}

/// Where the arguments begin that are not keys.
fn first_argument(args: &Args) -> Result<usize, CommandError> {
    let keys = args.integer(2)?;
    let keys = usize::try_from(keys).map_err(|_| CommandError::err("Number of keys can't be negative"))?;
    if keys > args.len() - 3 {
        return Err(CommandError::err("Number of keys can't be greater than number of args"));
    }
    Ok(3 + keys)
}

fn no_scripts() -> CommandError {
    CommandError::err("this server runs no scripts but the one with which Laravel broadcasts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_does_not_matter() {
        assert!(is_broadcast(b"for i = 2, #ARGV do\n  redis.call('publish', ARGV[i], ARGV[1])\nend"));
        assert!(is_broadcast(BROADCAST.as_bytes()) && !is_broadcast(b"return 1") && !is_broadcast(b""));
        assert!(!is_broadcast(b"for i = 2, #ARGV do redis.call('publish', ARGV[i], ARGV[1]) end return 1"));
    }
}
