//! OBJECT: what is known of how a key is kept.

pub mod encoding;
pub mod freq;
pub mod help;
pub mod idletime;
pub mod refcount;

use std::sync::Arc;

use veddb_storage::Document;

use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "OBJECT",
    group: Group::Generic,
    summary: "Says how a key is kept.",
    complexity: "Depends on the subcommand",
    arity: -2,
    reply: "depends on the subcommand",
    subcommands: &[&encoding::SPEC, &freq::SPEC, &help::SPEC, &idletime::SPEC, &refcount::SPEC],
    run: Run::Container,
    ..Command::BLANK
};

/// The key that argument 2 names.
fn named(args: &Args, context: &ReadContext<'_>) -> Result<Option<Arc<Document>>, CommandError> {
    context.key(args.bytes(2))
}
