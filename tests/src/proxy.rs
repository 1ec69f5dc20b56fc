//! A TCP proxy that does harm: it cuts connections, holds them up, lets them hang half-open, and puts garbage on them, at the byte
//! that is asked for.
//!
//! Each connection takes the next of the plans that were made, and none when there are none left. Gone when it is dropped.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;

/// What is done to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Both sides see it end.
    Cut,
    /// Nothing passes for so long.
    Delay(Duration),
    /// Nothing passes any more, and nobody sees it end.
    HalfOpen,
    /// A byte comes as another one.
    Garbage,
}

/// Which bytes of a connection are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// Those of whoever connected.
    Client,
    /// Those of the server behind.
    Server,
}

/// What is done to one connection: once so many bytes have passed that come from there.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Whose bytes are counted.
    pub from: From,
    /// How many pass before.
    pub after_bytes: u64,
    /// What happens then.
    pub fault: Fault,
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    target: AtomicU16,
    plans: Mutex<VecDeque<Plan>>,
    open: Mutex<Vec<TcpStream>>,
    /// Connections are closed at once.
    refuses: AtomicBool,
    connections: AtomicU64,
    /// Bytes that came from the server behind, over all connections.
    passed: AtomicU64,
    /// Bytes that came from whoever connected.
    taken: AtomicU64,
    over: AtomicBool,
    /// Nothing is read from the server behind.
    holds: Mutex<bool>,
    held: Condvar,
}

impl Proxy {
    /// One in front of this port of the loopback address.
    pub fn start(target: u16) -> Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared { target: AtomicU16::new(target), ..Shared::default() });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.over.load(SeqCst) {
                    return;
                }
                accepting.connections.fetch_add(1, SeqCst);
                if !accepting.refuses.load(SeqCst) {
                    carry(&accepting, client);
                }
            }
        });
        Ok(Proxy { port, shared })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Has it stand before another port, for connections from now on.
    pub fn set_target(&self, target: u16) {
        self.shared.target.store(target, SeqCst);
    }

    /// Does this to the connection after those that have plans.
    pub fn plan(&self, plan: Plan) {
        lock(&self.shared.plans).push_back(plan);
    }

    /// Plans that no connection has taken yet.
    pub fn planned(&self) -> usize {
        lock(&self.shared.plans).len()
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(SeqCst)
    }

    /// Bytes that came from the server behind so far.
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(SeqCst)
    }

    /// Bytes that came from whoever connected so far, whether they were passed on or not.
    pub fn taken(&self) -> u64 {
        self.shared.taken.load(SeqCst)
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        lock(&self.shared.open).drain(..).for_each(|socket| drop(socket.shutdown(Shutdown::Both)));
    }

    /// Whether nothing is read from the server behind, as by a client that stands still: what is sent then fills the buffers between
    /// the two, and no more. What a connection is just in the midst of still passes.
    pub fn hold(&self, holds: bool) {
        *lock(&self.shared.holds) = holds;
        self.shared.held.notify_all();
    }

    /// Whether it lets connections through.
    pub fn refuse(&self, refuses: bool) {
        self.shared.refuses.store(refuses, SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, SeqCst);
        self.hold(false);
        self.cut();
        // The thread that accepts looks at it now.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn carry(shared: &Arc<Shared>, client: TcpStream) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", shared.target.load(SeqCst))) else { return };
    let plan = lock(&shared.plans).pop_front();
    let hangs = Arc::new(AtomicBool::new(false));
    for socket in [&client, &server] {
        let _ = socket.set_nodelay(true);
        if let Ok(socket) = socket.try_clone() {
            lock(&shared.open).push(socket);
        }
    }
    let (Ok(client_out), Ok(server_out)) = (client.try_clone(), server.try_clone()) else { return };
    let one_way = |from, input, output| {
        let pump = Pump {
            shared: Arc::clone(shared),
            from,
            input,
            output,
            plan: plan.filter(|plan| plan.from == from),
            hangs: Arc::clone(&hangs),
        };
        thread::spawn(move || pump.run());
    };
    one_way(From::Client, client, server_out);
    one_way(From::Server, server, client_out);
}

struct Pump {
    shared: Arc<Shared>,
    from: From,
    input: TcpStream,
    output: TcpStream,
    plan: Option<Plan>,
    /// The connection is half-open: what comes from either side is taken and thrown away.
    hangs: Arc<AtomicBool>,
}

impl Pump {
    fn run(mut self) {
        let mut buffer = vec![0; 16 << 10];
        let mut passed = 0;
        while let Ok(count @ 1..) = self.read(&mut buffer) {
            let bytes = &mut buffer[..count];
            if self.from == From::Client {
                self.shared.taken.fetch_add(count as u64, SeqCst);
            }
            if let Some(plan) = self.plan
                && passed + count as u64 > plan.after_bytes
            {
                let at = usize::try_from(plan.after_bytes.saturating_sub(passed)).unwrap_or(0);
                self.plan = None;
                let (before, after) = bytes.split_at_mut(at);
                if self.pass(before).is_err() || !self.harm(plan.fault, after) {
                    break;
                }
                passed += count as u64;
                continue;
            }
            passed += count as u64;
            if self.pass(bytes).is_err() {
                break;
            }
        }
        if !self.hangs.load(SeqCst) {
            let _ = self.input.shutdown(Shutdown::Both);
            let _ = self.output.shutdown(Shutdown::Both);
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.from == From::Server {
            let held = self.shared.held.wait_while(lock(&self.shared.holds), |holds| *holds);
            drop(held.unwrap_or_else(PoisonError::into_inner));
        }
        self.input.read(buffer)
    }

    /// Whether the connection goes on.
    fn harm(&mut self, fault: Fault, bytes: &mut [u8]) -> bool {
        match fault {
            Fault::Cut => return false,
            Fault::Delay(time) => thread::sleep(time),
            Fault::HalfOpen => self.hangs.store(true, SeqCst),
            Fault::Garbage => bytes[0] ^= 0x55,
        }
        self.pass(bytes).is_ok()
    }

    fn pass(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if self.hangs.load(SeqCst) {
            return Ok(());
        }
        if self.from == From::Server {
            self.shared.passed.fetch_add(bytes.len() as u64, SeqCst);
        }
        self.output.write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fault: Fault, from: From, expected: Option<&[u8]>) {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::start(server.local_addr().unwrap().port()).unwrap();
        proxy.plan(Plan { from, after_bytes: 3, fault });
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        let (mut behind, _) = server.accept().unwrap();
        let (sender, receiver) = match from {
            From::Client => (&mut client, &mut behind),
            From::Server => (&mut behind, &mut client),
        };
        sender.write_all(b"abcde").unwrap();
        receiver.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut got = Vec::new();
        let ended = receiver.read_to_end(&mut got);
        match expected {
            // It goes on, so the end does not come.
            Some(expected) => assert!(ended.is_err() && got == expected, "{fault:?}: {got:?}"),
            None => assert!(ended.is_ok() && got == b"abc", "{fault:?}: {got:?}"),
        }
    }

    #[test]
    fn who_stands_still_is_sent_what_buffers_hold() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::start(server.local_addr().unwrap().port()).unwrap();
        proxy.hold(true);
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        let (mut behind, _) = server.accept().unwrap();
        behind.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        let sent = std::iter::repeat_with(|| behind.write(&[7; 4096])).map_while(Result::ok).sum::<usize>();
        assert_eq!(proxy.passed(), 0);
        proxy.hold(false);
        client.read_exact(&mut vec![0; sent]).unwrap();
    }

    #[test]
    fn harm_is_done_at_the_byte_that_is_asked_for() {
        for from in [From::Client, From::Server] {
            check(Fault::Cut, from, None);
            check(Fault::HalfOpen, from, Some(b"abc"));
            check(Fault::Garbage, from, Some(b"abc1e"));
            check(Fault::Delay(Duration::from_millis(20)), from, Some(b"abcde"));
        }
    }
}
