//! Every command, in one table.

use crate::spec::Command;

/// All commands, by group. The only list there is.
pub static COMMANDS: &[&Command] = &[];
