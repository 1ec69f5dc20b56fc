//! The commands that took longer than `slowlog-log-slower-than`, the last `slowlog-max-len` of them.
//!
//! Keeps copies of what it shows, shortened and without secrets, so that no request is held by it.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;
use veddb_commands::Args;
use veddb_commands::figures::SlowCommand;
use veddb_commands::lookup::Entry;
use veddb_commands::worked::Work;

use crate::client::Client;
use crate::execute::now_ms;
use crate::monitor::REDACTED;

/// Arguments of one request that are kept.
const ARGS_MAX: usize = 32;
/// Bytes of one argument that are kept.
const ARG_BYTES_MAX: usize = 128;

/// The commands that took long.
#[derive(Debug, Default)]
pub(crate) struct Slowlog(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    /// The latest first.
    entries: VecDeque<SlowCommand>,
    next_id: u64,
}

/// What is kept of a command beside what it was and who asked for it.
pub(crate) struct Slow {
    /// What the log calls the request.
    pub(crate) request: String,
    /// The number of its trace, where it has one.
    pub(crate) trace: Option<String>,
    pub(crate) took_us: u64,
    /// Where it was a query.
    pub(crate) work: Option<Work>,
}

impl Slowlog {
    /// Adds a command, and forgets the oldest beyond `most`.
    pub(crate) fn add(&self, (entry, args): (&Entry, &Args), client: &Client, slow: Slow, most: usize) {
        let Slow { request, trace, took_us, work } = slow;
        let slow = SlowCommand {
            id: 0,
            unix_s: now_ms() / 1000,
            took_us,
            args: shortened(entry, args),
            addr: client.addr.to_string(),
            name: client.texts.lock().name.clone(),
            request,
            trace,
            work,
        };
        let mut log = self.0.lock();
        let id = log.next_id;
        log.next_id += 1;
        log.entries.push_front(SlowCommand { id, ..slow });
        log.entries.truncate(most);
    }

    /// The latest, at most so many.
    pub(crate) fn latest(&self, most: usize) -> Vec<SlowCommand> {
        self.0.lock().entries.iter().take(most).cloned().collect()
    }

    /// How many there have been since the start, also those that are forgotten.
    pub(crate) fn count(&self) -> u64 {
        self.0.lock().next_id
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().entries.len()
    }

    /// Forgets all beyond so many.
    pub(crate) fn truncate(&self, most: usize) {
        self.0.lock().entries.truncate(most);
    }
}

/// A request as Redis's slow log shows it.
fn shortened(entry: &Entry, args: &Args) -> Vec<Bytes> {
    let shown = |at: usize| {
        let bytes = if (entry.command.secrets)(args, at) { REDACTED } else { args.bytes(at) };
        match bytes.split_at_checked(ARG_BYTES_MAX) {
            Some((first, rest)) if !rest.is_empty() => {
                Bytes::from([first, format!("... ({} more bytes)", rest.len()).as_bytes()].concat())
            }
            _ => Bytes::copy_from_slice(bytes),
        }
    };
    if args.len() <= ARGS_MAX {
        return (0..args.len()).map(shown).collect();
    }
    let more = format!("... ({} more arguments)", args.len() - ARGS_MAX + 1);
    (0..ARGS_MAX - 1).map(shown).chain([Bytes::from(more)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use veddb_commands::lookup::{Lookup, find};

    fn shown(words: Vec<String>) -> Vec<String> {
        let args = Args::new(words.into_iter().map(Bytes::from).collect());
        let Lookup::Found(entry) = find(&args) else { panic!("no such command") };
        shortened(entry, &args).iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect()
    }

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn requests_are_shortened_as_in_redis() {
        let long = shown(vec!["echo".into(), "x".repeat(200)]);
        assert_eq!(long, ["echo".to_owned(), format!("{}... (72 more bytes)", "x".repeat(128))]);
        assert_eq!(shown(vec!["echo".into(), "x".repeat(128)]).concat().len(), 132);
        let many = shown((0..40).map(|at| if at == 0 { "doc.mget".to_owned() } else { at.to_string() }).collect());
        assert_eq!((many.len(), many[30].as_str(), many[31].as_str()), (32, "30", "... (9 more arguments)"));
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(shown(words("auth user secret")), ["auth", "(redacted)", "(redacted)"]);
        assert_eq!(shown(words("auth a b c d")).concat().matches("(redacted)").count(), 4);
        assert_eq!(
            shown(words("hello 3 auth u p setname n")).join(" "),
            "hello 3 auth (redacted) (redacted) setname n"
        );
        let set = shown(words("config set timeout 5 RequirePass secret"));
        assert_eq!(set.join(" "), "config set timeout 5 RequirePass (redacted)");
    }
}
