//! MEMORY DOCTOR: what is remarkable about the server's memory.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::figures::Memory;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOCTOR",
    group: Group::Server,
    summary: "What is remarkable about the server's memory, in words.",
    complexity: "O(n), n being the number of connections",
    arity: 2,
    reply: "text",
    examples: &[("MEMORY DOCTOR", "Nothing is remarkable about this server's memory.")],
    run: Run::Session(doctor),
    ..Command::BLANK
};

fn doctor(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(Reply::Verbatim(report(&session.memory())))
}

const MIB: u64 = 1 << 20;

fn report(memory: &Memory) -> String {
    let mut text = String::new();
    let mut say = |line: String| {
        text.push_str(" * ");
        text.push_str(&line);
        text.push('\n');
    };
    let total = memory.total.unwrap_or(0);
    if let (Some(peak), Some(resident)) = (memory.peak, memory.resident)
        && peak > 16 * MIB
        && peak / 2 > resident
    {
        let (peak, now) = (peak / MIB, resident / MIB);
        say(format!("Peak memory: {peak} MiB at most, {now} MiB now. What was used then is free again."));
    }
    let clients = memory.normal_clients + memory.listening_clients;
    if clients > 16 * MIB && clients > total / 4 {
        let clients = clients / MIB;
        say(format!(
            "Clients: {clients} MiB of buffers. CLIENT LIST shows whose (tot-mem); they may not read their replies."
        ));
    }
    if memory.queries > 16 * MIB && memory.queries > total / 4 {
        let queries = memory.queries / MIB;
        say(format!("Queries: {queries} MiB are held by what runs now. query-memory-limit bounds one of them."));
    }
    if text.is_empty() { "Nothing is remarkable about this server's memory.\n".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remarkable_is_said() {
        let calm =
            Memory { total: Some(100 * MIB), resident: Some(110 * MIB), peak: Some(120 * MIB), ..Memory::default() };
        assert!(report(&calm).starts_with("Nothing"));
        let shrunk = Memory { peak: Some(400 * MIB), ..calm.clone() };
        assert!(report(&shrunk).contains("Peak memory: 400 MiB at most, 110 MiB now"));
        let clients = Memory { normal_clients: 50 * MIB, ..calm.clone() };
        assert!(report(&clients).contains("Clients: 50 MiB"));
        assert!(report(&Memory { queries: 60 * MIB, ..calm }).contains("Queries: 60 MiB"));
    }
}
