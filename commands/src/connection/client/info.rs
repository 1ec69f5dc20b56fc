//! CLIENT INFO, and the line that CLIENT LIST shows of a connection.

use std::fmt::Write;

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::ClientInfo;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "INFO",
    group: Group::Connection,
    summary: "What CLIENT LIST says of this connection.",
    arity: 2,
    flags: &["noscript", "loading", "stale"],
    reply: "text: one line of `field=value` pairs",
    examples: &[("CLIENT INFO", "id=7 addr=127.0.0.1:52888 laddr=127.0.0.1:6379 ...")],
    run: Run::Session(info),
    ..Command::BLANK
};

fn info(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let mut text = String::new();
    line(&session.client(), &mut text);
    Ok(Reply::Verbatim(text))
}

/// Redis 7.4's fields in Redis's order. Those of features that VedDB does not have stand at their empty value.
pub fn line(client: &ClientInfo, out: &mut String) {
    let mut flags = String::new();
    if client.replica {
        flags.push('S');
    }
    if client.monitors {
        flags.push('O');
    }
    if client.is_subscriber() {
        flags.push('P');
    }
    if client.queued.is_some() {
        flags.push('x');
    }
    if client.blocked {
        flags.push('b');
    }
    if client.no_evict {
        flags.push('e');
    }
    if client.no_touch {
        flags.push('T');
    }
    if flags.is_empty() {
        flags.push('N');
    }
    let command = if client.command.is_empty() { "NULL" } else { &client.command };
    let memory = client.query_buffer
        + client.query_buffer_free
        + client.argument_memory
        + client.reply_buffer
        + client.message_memory;
    let written = writeln!(
        out,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={flags} db={} sub={} psub={} ssub={} multi={} \
         watch={} qbuf={} qbuf-free={} argv-mem={} multi-mem={} rbs={} rbp={} obl={} oll={} omem={} tot-mem={memory} \
         events={} cmd={command} user={} redir=-1 resp={} lib-name={} lib-ver={}",
        client.id,
        client.addr,
        client.laddr,
        client.fd,
        client.name,
        client.age_s,
        client.idle_s,
        client.db,
        client.channels,
        client.patterns,
        client.shard_channels,
        client.queued.map_or(-1, |count| i64::try_from(count).unwrap_or(i64::MAX)),
        client.watched,
        client.query_buffer,
        client.query_buffer_free,
        client.argument_memory,
        client.queued_memory,
        client.reply_buffer,
        client.reply_buffer_peak,
        client.output_length,
        client.messages,
        client.message_memory,
        // Who does not take its replies is not read from.
        if client.output_length > 0 { 'w' } else { 'r' },
        client.user,
        client.protocol,
        client.library_name,
        client.library_version,
    );
    written.expect("writing to a string cannot fail");
}
