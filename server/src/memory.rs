//! What memory the process takes, as the system counts it.

use std::sync::atomic::Ordering::Relaxed;

use veddb_commands::figures::Memory;

use crate::client::Client;
use crate::server::Server;

/// Anonymous memory, bytes: what the server itself took. The rest of the resident set is files that the kernel caches.
pub(crate) fn total() -> Option<u64> {
    status("RssAnon:")
}

/// The most that was resident at once, bytes.
pub(crate) fn peak() -> Option<u64> {
    status("VmHWM:")
}

/// The machine's memory, bytes.
pub(crate) fn of_the_machine() -> Option<u64> {
    kib(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

/// What is resident, bytes.
pub(crate) fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

fn status(name: &str) -> Option<u64> {
    kib(&std::fs::read_to_string("/proc/self/status").ok()?, name)
}

/// The bytes of a line `Name:  123 kB` of a file in /proc.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// What is known of the server's memory.
pub(crate) fn figures(server: &Server) -> Memory {
    let stats = server.stats();
    let mut memory = Memory {
        total: total(),
        peak: peak(),
        resident: resident(),
        startup: server.startup_memory,
        normal_clients: 0,
        listening_clients: 0,
        writes: stats.write_memory_bytes,
        indexes: stats.index_memory_bytes,
        cache: stats.cache_bytes,
        queries: u64::try_from(server.queries.memory().used()).unwrap_or(u64::MAX),
        documents: stats.documents,
    };
    for client in server.clients.list() {
        let listens = client.is_subscriber() || client.monitors.load(Relaxed);
        let class = if listens { &mut memory.listening_clients } else { &mut memory.normal_clients };
        *class += held(&client) as u64;
    }
    memory
}

/// What a connection holds, bytes.
pub(crate) fn held(client: &Client) -> usize {
    let buffers = [
        &client.query_buffer,
        &client.query_buffer_free,
        &client.argument_memory,
        &client.queued_memory,
        &client.reply_buffer,
    ];
    buffers.iter().map(|bytes| bytes.load(Relaxed)).sum::<usize>() + client.message_memory()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_proc() {
        assert_eq!(kib("VmHWM:\t  12 kB\nRssAnon: 3 kB\n", "RssAnon:"), Some(3072));
        assert!(resident().is_some_and(|bytes| bytes > 100_000));
        assert!(total().is_some() && peak() >= total() && of_the_machine() > peak());
    }
}
