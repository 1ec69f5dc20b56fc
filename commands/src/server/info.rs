//! INFO: chooses sections and lays them out. The figures are measured by the server.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::InfoSection;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "INFO",
    group: Group::Server,
    summary: "What the server is, has and did, by section.",
    complexity: "O(1)",
    arity: -1,
    args: &[Arg::string("section").optional().multiple()],
    categories: &["dangerous"],
    flags: &["loading", "stale"],
    reply: "text: `# Section` and `field:value` lines, each ended by CRLF",
    examples: &[("INFO server", "# Server redis_version:7.4.0 ...")],
    run: Run::Session(info),
    ..Command::BLANK
};

fn info(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let mut text = String::new();
    for section in chosen(args) {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        text.push_str("# ");
        text.push_str(section.title());
        text.push_str("\r\n");
        for (field, value) in session.info(section) {
            text.push_str(&field);
            text.push(':');
            text.push_str(&value);
            text.push_str("\r\n");
        }
    }
    Ok(Reply::Verbatim(text))
}

/// In the order of the sections, whatever the order of the arguments. A name that is no section shows nothing.
fn chosen(args: &Args) -> Vec<InfoSection> {
    let named = args.from(1);
    let asks = |word: &str| named.iter().any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
    let all = asks("all") || asks("everything");
    let default = named.is_empty() || asks("default");
    let wanted = |section: &InfoSection| all || (default && section.is_default()) || asks(section.title());
    InfoSection::ALL.into_iter().filter(wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[track_caller]
    fn check(words: &[&'static str], expected: &[InfoSection]) {
        assert_eq!(chosen(&Args::new(words.iter().map(|w| Bytes::from_static(w.as_bytes())).collect())), expected);
    }

    #[test]
    fn sections_are_chosen_as_in_redis() {
        check(&["INFO", "memory", "SERVER"], &[InfoSection::Server, InfoSection::Memory]);
        check(&["INFO", "nope"], &[]);
        check(&["INFO", "all"], &InfoSection::ALL);
        let default = chosen(&Args::new(vec![Bytes::from_static(b"INFO")]));
        assert!(!default.contains(&InfoSection::Commandstats));
        check(&["INFO", "default", "memory"], &default);
    }
}
