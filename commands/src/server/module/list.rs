//! MODULE LIST.

use crate::json::MODULE;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "LIST",
    group: Group::Server,
    summary: "Names the modules whose commands there are, with the version that they follow. None is loaded from a file.",
    arity: 2,
    categories: &["admin", "dangerous"],
    reply: "array of maps: name, ver, path, args",
    examples: &[("MODULE LIST", "1) name ReJSON ver (integer) 20809 path \"\" args (empty array)")],
    run: Run::Session(|_, _| {
        let (name, version) = MODULE;
        Ok(Reply::Array(vec![Reply::Map(vec![
            (Reply::constant("name"), Reply::constant(name)),
            (Reply::constant("ver"), Reply::Integer(i64::from(version))),
            (Reply::constant("path"), Reply::constant("")),
            (Reply::constant("args"), Reply::Array(Vec::new())),
        ])]))
    }),
    ..Command::BLANK
};
