//! DOC.CHANGES: what changed, from a place on.

use crate::args::Args;
use crate::changes::Changes;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOC.CHANGES",
    group: Group::Document,
    summary: "Tells what changed in a collection, or with * in all of the selected database that the user may read: after a token, \
              since the beginning (EARLIEST), or from now on (NOW, the default). Each change comes at least once, in the order of \
              commits, and only once no crash can take it back. BLOCK waits for the first, 0 without an end.",
    complexity: "O(N) with N the size of the log that is read, also of changes that are not wanted.",
    arity: -2,
    args: &[
        Arg::collection(),
        Arg::one_of("place", &[Arg::string("token").after("AFTER"), Arg::word("EARLIEST"), Arg::word("NOW")])
            .optional(),
        Arg::json("filter").after("MATCH").optional(),
        Arg::word("FULLDOC"),
        Arg::integer("count").after("COUNT").optional(),
        Arg::integer("milliseconds").after("BLOCK").optional(),
    ],
    keys: Keys::FIRST,
    categories: &["read", "blocking"],
    flags: &["readonly", "blocking", "star-is-all"],
    reply: "Array of a token, from which to go on, and an array of events: JSON of token, op (insert, update, replace, delete, drop, \
            rename), coll, id, version and doc, of a rename to. HISTORYLOST when what comes after the token is not kept any more \
            (changes-log-size), or not known to this server.",
    examples: &[
        ("DOC.CHANGES users", r#"["AbM..", []]"#),
        (
            "DOC.CHANGES users AFTER AbM.. BLOCK 5000",
            r#"["AbN..", [{"token":"AbN..","op":"insert","coll":"users","id":"ada","version":1,"doc":{"_id":"ada"}}]]"#,
        ),
    ],
    run: Run::Session(changes),
    ..Command::BLANK
};

fn changes(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let request = Changes::parse(args, &session.limits())?;
    session.changes(Box::new(request));
    Ok(Reply::OK)
}
