//! EXEC.

use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "EXEC",
    group: Group::Transactions,
    summary: "Carries out the commands that were queued, as one atomic unit.",
    complexity: "that of the commands",
    arity: 1,
    args: &[],
    flags: &["noscript", "loading", "stale"],
    reply: "array of what each answers; null if something watched has changed",
    examples: &[("EXEC", "1) ...")],
    run: Run::Exec,
    ..Command::BLANK
};
