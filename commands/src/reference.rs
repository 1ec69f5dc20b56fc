//! Renders `docs/commands.md` from the command table, and the syntax line that the reference and HELP share.
//!
//! A test compares the file with the rendering, so the reference cannot fall behind the code; run it with `UPDATE=1`
//! to write the file anew.

use std::fmt::Write;

use crate::spec::{Arg, ArgKind, Command, Group};
use crate::table::COMMANDS;

/// The reference as Markdown.
pub fn render() -> String {
    let mut out = String::from(
        "# Commands\n\nGenerated from the command table (`veddb docs` prints it). UPPER CASE is literal, `[x]` is \
         optional, `...` repeats. Replies are named by their RESP3 types; under RESP2 a map is a flat array, a \
         boolean an integer, a double a bulk string, null a null bulk.\n",
    );
    for group in Group::ALL {
        let mut commands: Vec<_> = COMMANDS.iter().filter(|command| command.group == group).collect();
        commands.sort_by_key(|command| command.name);
        if commands.is_empty() {
            continue;
        }
        let (first, rest) = group.as_str().split_at(1);
        out.push_str(&format!("\n## {}{rest}\n", first.to_uppercase()));
        for command in commands {
            describe(&mut out, command, command.name);
            for sub in command.subcommands {
                describe(&mut out, sub, &format!("{} {}", command.name, sub.name));
            }
        }
    }
    out
}

fn describe(out: &mut String, command: &Command, name: &str) {
    let line = format!("{name} {}", syntax(command.args));
    out.push_str(&format!("\n### {name}\n\n`{}`\n\n{}\n", line.trim_end(), command.summary));
    if !command.reply.is_empty() {
        out.push_str(&format!(
            "\n- Reply: {}\n- Complexity: {}\n- Since: {}\n",
            command.reply, command.complexity, command.since
        ));
    }
    if !command.examples.is_empty() {
        out.push_str("\n```text\n");
        for (request, reply) in command.examples {
            out.push_str(&format!("> {request}\n"));
            if !reply.is_empty() {
                out.push_str(&format!("{reply}\n"));
            }
        }
        out.push_str("```\n");
    }
}

/// The arguments as the documentation of Redis writes them.
pub(crate) fn syntax(args: &[Arg]) -> String {
    args.iter().map(argument).collect::<Vec<_>>().join(" ")
}

/// Declarations are constants that nest a few levels, which bounds the recursion.
fn argument(arg: &Arg) -> String {
    let inner = match arg.kind {
        ArgKind::PureToken => arg.token.to_owned(),
        ArgKind::OneOf => {
            let parts: Vec<_> = arg.parts.iter().map(argument_bare).collect();
            let joined = parts.join("|");
            if arg.optional && !arg.multiple && arg.token.is_empty() { joined } else { format!("<{joined}>") }
        }
        ArgKind::Block => syntax(arg.parts),
        _ => arg.name.to_owned(),
    };
    let mut text =
        if arg.token.is_empty() || arg.kind == ArgKind::PureToken { inner } else { format!("{} {inner}", arg.token) };
    if arg.multiple {
        let repeated = if arg.token.is_empty() { text.clone() } else { inner_of(&text, arg.token) };
        write!(text, " [{repeated} ...]").expect("writing to a string cannot fail");
    }
    if arg.optional { format!("[{text}]") } else { text }
}

/// What repeats after a keyword is the value, not the keyword.
fn inner_of(text: &str, token: &str) -> String {
    text.strip_prefix(token).map_or(text, str::trim_start).to_owned()
}

/// A choice's part stands without the brackets of being optional.
fn argument_bare(arg: &Arg) -> String {
    let text = argument(arg);
    if arg.optional {
        text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(&text).to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_in_step_with_the_table() {
        in_step("docs/commands.md", &render());
    }

    #[test]
    fn the_reference_of_the_language_is_in_step_with_its_tables() {
        in_step("docs/language.md", &crate::language::render());
    }

    fn in_step(file: &str, rendered: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, rendered).expect("the reference can be written");
        }
        let written = std::fs::read_to_string(&path).expect("the reference can be read");
        assert!(written == rendered, "{file} is out of step: run this test with UPDATE=1");
    }

    #[test]
    fn every_command_is_declared_whole() {
        for entry in crate::lookup::entries() {
            let command = entry.command;
            assert!(command.summary.ends_with('.'), "{}: the summary is a sentence", entry.name);
            assert!(!command.complexity.is_empty(), "{}", entry.name);
            if !matches!(command.run, crate::spec::Run::Container) {
                assert!(!command.reply.is_empty(), "{}: the reply is not described", entry.name);
                assert!(!command.examples.is_empty(), "{}: no example", entry.name);
            }
        }
    }

    #[test]
    fn syntax_reads_as_in_the_documentation_of_redis() {
        const ARGS: &[Arg] = &[
            Arg::collection(),
            Arg::string("id").multiple(),
            Arg::one_of("condition", &[Arg::word("NX"), Arg::word("XX")]).optional(),
            Arg::integer("n").after("LIMIT").optional(),
        ];
        assert_eq!(syntax(ARGS), "coll id [id ...] [NX|XX] [LIMIT n]");
    }
}
