//! The section clients, and what others say of clients: who is there, waits, listens and watches, and what their buffers hold.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use veddb_tests::{Client, Options, request, until};

use crate::Check;
use crate::seen::Seen;

pub(crate) const CHECKS: &[Check] = &[("clients", clients), ("listeners", listeners), ("recent buffers", buffers)];

const MIB: usize = 1 << 20;

fn clients(seen: &mut Seen) -> Result<()> {
    let server = Options::new().set("maxclients", "6").start()?;
    let mut admin = server.client()?;
    let mut others: Vec<Client> = (0..4).map(|_| server.client()).collect::<Result<_>>()?;
    // The connection by which the start was waited for may be closing still.
    let info = seen.comes(&mut admin, "connected_clients", 5)?;
    seen.is(&info, "maxclients", 6)?;
    seen.is(&info, "rejected_connections", 0)?;
    let _sixth = server.client()?;
    for _ in 0..2 {
        ensure!(server.client()?.run(&["PING"]).is_ok_and(|reply| reply.to_string().contains("max number")));
    }
    let info = seen.comes(&mut admin, "connected_clients", 6)?;
    seen.is(&info, "rejected_connections", 2)?;

    for client in &mut others[..3] {
        client.send(&request(&["WAIT", "1", "0"]))?;
    }
    seen.comes(&mut admin, "blocked_clients", 3)?;
    others.truncate(1);
    seen.comes(&mut admin, "blocked_clients", 1)?;
    Ok(())
}

fn listeners(seen: &mut Seen) -> Result<()> {
    let server = Options::new().start()?;
    let mut admin = server.client()?;
    let mut others: Vec<Client> = (0..6).map(|_| server.client()).collect::<Result<_>>()?;
    others[0].ask(&["SUBSCRIBE", "a"])?;
    others[0].send(&request(&["SUBSCRIBE", "b"]))?;
    others[0].read()?;
    others[1].ask(&["SUBSCRIBE", "a"])?;
    others[1].send(&request(&["PSUBSCRIBE", "a*"]))?;
    others[1].read()?;
    others[2].ask(&["SSUBSCRIBE", "s"])?;
    others[3].ask(&["MONITOR"])?;
    others[4].ask(&["WATCH", "a", "b"])?;
    others[5].ask(&["WATCH", "c"])?;
    let info = seen.look(&mut admin)?;
    seen.is(&info, "pubsub_clients", 3)?;
    seen.is(&info, "pubsub_channels", 2)?;
    seen.is(&info, "pubsub_patterns", 1)?;
    seen.is(&info, "pubsubshard_channels", 1)?;
    seen.is(&info, "monitor_clients", 1)?;
    seen.is(&info, "watching_clients", 2)?;
    seen.is(&info, "total_watched_keys", 3)?;
    others.clear();
    for name in ["pubsub_clients", "pubsub_channels", "pubsub_patterns", "monitor_clients", "total_watched_keys"] {
        seen.comes(&mut admin, name, 0)?;
    }
    Ok(())
}

/// The largest buffers are those of now and of some seconds before.
fn buffers(seen: &mut Seen) -> Result<()> {
    let server = Options::new().start()?;
    let (mut admin, mut asking, mut reading) = (server.client()?, server.client()?, server.client()?);
    let half = MIB as f64 / 2.0;
    asking.send(format!("*2\r\n$4\r\nECHO\r\n${MIB}\r\n").as_bytes())?;
    asking.send(&vec![b'x'; MIB / 2])?;
    // What is set aside for the rest of the argument is held as well.
    let info = seen.comes_within(&mut admin, "client_recent_max_input_buffer", half..=5.0 * half)?;
    seen.within(&info, "mem_clients_normal", half..=6.0 * half)?;
    // It is looked at once a second, as in Redis.
    thread::sleep(Duration::from_millis(2500));
    asking.send(&vec![b'x'; MIB / 2])?;
    asking.send(b"\r\n")?;
    asking.read()?;
    drop(asking);
    let noted = Instant::now();
    until("the connection's end", || Ok(admin.figure("clients", "connected_clients")? == "2"))?;
    if noted.elapsed() < Duration::from_secs(3) {
        let after = seen.look(&mut admin)?;
        seen.within(&after, "client_recent_max_input_buffer", half..=5.0 * half)?;
        seen.within(&after, "mem_clients_normal", 1.0..=half)?;
    }

    // A reply that its client does not read.
    admin.ask(&["SET", "large", &"x".repeat(8 * MIB)])?;
    reading.send(&request(&["GET", "large"]))?;
    let reply = format!("${}\r\n\r\n", 8 * MIB).len() + 8 * MIB;
    let info = seen.comes(&mut admin, "client_recent_max_output_buffer", reply)?;
    seen.within(&info, "mem_clients_normal", reply as f64..=2.5 * reply as f64)?;
    reading.read()?;
    // Both are forgotten after a while; what remains are the buffers of whoever asks.
    seen.comes_within(&mut admin, "client_recent_max_output_buffer", 0.0..=half)?;
    seen.comes_within(&mut admin, "client_recent_max_input_buffer", 1.0..=half / 2.0)?;
    Ok(())
}
