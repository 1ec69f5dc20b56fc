//! TOKEN.*: tokens (JSON Web Tokens) that users get in with instead of a password. One file a command.
//!
//! Says what is asked; what tokens are made of and how they are checked is the server's.

pub mod issue;
pub mod list;
pub mod revoke;
pub mod rotate;

use crate::context::Session;
use crate::error::{CommandError, ErrorCode};

/// Refuses what makes tokens to a connection that got in with one: it would outlive it, and be more than it.
fn needs_password(session: &dyn Session) -> Result<(), CommandError> {
    if session.token().is_none() {
        return Ok(());
    }
    Err(CommandError::new(ErrorCode::NoPerm, "who got in with a token makes no tokens and no keys for them"))
}
