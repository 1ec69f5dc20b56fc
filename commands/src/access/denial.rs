//! Why a request may not run, in Redis's words.

use bytes::Bytes;

use super::user::User;
use crate::error::{CommandError, ErrorCode};

/// What a user may not do. The later is told where selectors refuse for different reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// To run the command.
    Command,
    /// To touch a key or collection.
    Key,
    /// To get in.
    Auth,
    /// To be the user that a certificate names.
    Certificate,
    /// To publish on a channel or listen to it.
    Channel,
}

impl Reason {
    /// The word of ACL LOG.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Auth => "auth",
            Reason::Certificate => "tls-cert",
            Reason::Channel => "channel",
        }
    }
}

/// A request that a user may not make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// The command's full name, the key, or the channel.
    pub object: Bytes,
    /// At which argument.
    pub(super) at: usize,
}

impl Denial {
    /// What the client hears.
    #[must_use]
    pub fn error(&self, user: &User) -> CommandError {
        let message = match self.reason {
            Reason::Command => self.text(user),
            Reason::Key => "No permissions to access a key".to_owned(),
            Reason::Auth | Reason::Certificate | Reason::Channel => "No permissions to access a channel".to_owned(),
        };
        CommandError::new(ErrorCode::NoPerm, message)
    }

    /// What it hears when the rights were cut between queueing and EXEC.
    #[must_use]
    pub fn error_of_exec(&self) -> CommandError {
        let why = match self.reason {
            Reason::Command => "no permission to execute the command or subcommand",
            Reason::Key => "no permission to touch the specified keys",
            Reason::Auth | Reason::Certificate | Reason::Channel => {
                "no permission to access one of the channels used as arguments to the command"
            }
        };
        CommandError::new(
            ErrorCode::NoPerm,
            format!(
                "ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is \
                 no longer allowed for the following reason: {why}"
            ),
        )
    }

    /// What ACL DRYRUN says.
    #[must_use]
    pub fn text(&self, user: &User) -> String {
        let (name, object) = (String::from_utf8_lossy(user.name()), String::from_utf8_lossy(&self.object));
        match self.reason {
            Reason::Command => format!("User {name} has no permissions to run the '{object}' command"),
            Reason::Key => format!("User {name} has no permissions to access the '{object}' key"),
            Reason::Auth | Reason::Certificate | Reason::Channel => {
                format!("User {name} has no permissions to access the '{object}' channel")
            }
        }
    }
}
