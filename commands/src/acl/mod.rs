//! ACL: users, roles and their rules. One file a subcommand.
//!
//! Shows what is; a change is asked of the session, which carries it out beside the connection's task.

pub mod cat;
pub mod delrole;
pub mod deluser;
pub mod dryrun;
pub mod genpass;
pub mod getrole;
pub mod getuser;
pub mod help;
pub mod list;
pub mod load;
pub mod log;
pub mod roles;
pub mod save;
pub mod setrole;
pub mod setuser;
pub mod users;
pub mod whoami;

use crate::access::Selector;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "ACL",
    group: Group::Server,
    summary: "Commands about users and their rights.",
    complexity: "depends on the subcommand",
    arity: -2,
    subcommands: &[
        &cat::SPEC,
        &delrole::SPEC,
        &deluser::SPEC,
        &dryrun::SPEC,
        &genpass::SPEC,
        &getrole::SPEC,
        &getuser::SPEC,
        &help::SPEC,
        &list::SPEC,
        &load::SPEC,
        &log::SPEC,
        &roles::SPEC,
        &save::SPEC,
        &setrole::SPEC,
        &setuser::SPEC,
        &users::SPEC,
        &whoami::SPEC,
    ],
    run: Run::Container,
    ..Command::BLANK
};

/// What GETUSER and GETROLE show of rules.
fn selector(selector: &Selector) -> Vec<(Reply, Reply)> {
    vec![
        (Reply::constant("commands"), Reply::Bulk(selector.show_commands().into())),
        (Reply::constant("keys"), Reply::Bulk(selector.show_keys().into())),
        (Reply::constant("channels"), Reply::Bulk(selector.show_channels().into())),
    ]
}

fn needs_file(session: &dyn Session) -> Result<(), CommandError> {
    if session.has_acl_file() {
        return Ok(());
    }
    Err(CommandError::err(
        "This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command \
         and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the \
         Redis configuration.",
    ))
}
