//! Connections against a server in this process: order, limits, access, the end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on ends by panicking")]

use std::io::{Read, Write};
use std::net::{Shutdown as Half, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use veddb_commands::session::Shutdown;
use veddb_server::acl::Acl;
use veddb_server::config::{Config, Secret, Settings};
use veddb_server::telemetry::LevelHandle;
use veddb_server::tls::Tls;
use veddb_server::{Server, data, listener};

struct Running {
    server: Arc<Server>,
    runtime: tokio::runtime::Runtime,
    _dir: tempfile::TempDir,
}

impl Running {
    fn start(change: impl FnOnce(&mut Settings)) -> Running {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings { port: 0, dir: dir.path().join("data"), ..Settings::default() };
        change(&mut settings);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let store = data::open(&settings).unwrap();
        let server = runtime.block_on(async {
            let (listeners, port) = listener::bind(&settings).unwrap();
            let acl = Acl::open(&settings, &store).unwrap();
            let server =
                Server::new(Config::new(settings, None), acl, store, Tls::default(), LevelHandle::NONE, port).unwrap();
            for (listener, speaks) in listeners {
                tokio::spawn(listener::accept(Arc::clone(&server), listener, speaks));
            }
            server
        });
        Running { server, runtime, _dir: dir }
    }

    fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(("127.0.0.1", self.server.port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket
    }

    /// Sends these bytes and nothing more; all that comes until the server closes.
    #[track_caller]
    fn check(&self, sent: &str, expected: &str) {
        let mut socket = self.connect();
        socket.write_all(sent.as_bytes()).unwrap();
        socket.shutdown(Half::Write).unwrap();
        assert_eq!(read_to_end(&mut socket), expected, "{sent:?}");
    }
}

/// A server that closes with unread input resets the connection; what came before that counts.
fn read_to_end(socket: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = socket.read(&mut chunk) {
        all.extend_from_slice(&chunk[..count]);
    }
    String::from_utf8(all).unwrap()
}

fn read_exactly(socket: &mut TcpStream, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    socket.read_exact(&mut bytes).unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}

#[test]
fn replies_come_in_the_order_of_the_requests() {
    let running = Running::start(|_| {});
    running.check(
        "PING\r\n*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\nnope x\r\nSELECT 3\r\nDBSIZE\r\n",
        "+PONG\r\n$2\r\nhi\r\n-ERR unknown command 'nope', with args beginning with: 'x' \r\n+OK\r\n:0\r\n",
    );
    running.check("QUIT\r\nPING\r\n", "+OK\r\n");
    running.check("PING\r\n*1\r\n+PING\r\nPING\r\n", "+PONG\r\n-ERR Protocol error: expected '$', got '+'\r\n");
    running.check("PING\r\nPOST / HTTP/1.1\r\nPING\r\n", "");
    running.check(
        "CLIENT REPLY SKIP\r\nECHO a\r\nECHO b\r\nCLIENT REPLY OFF\r\nPING\r\nCLIENT REPLY ON\r\n",
        "$1\r\nb\r\n+OK\r\n",
    );
}

#[test]
fn a_long_pipeline_is_answered_whole() {
    let running = Running::start(|_| {});
    let mut writer = running.connect();
    let mut reader = writer.try_clone().unwrap();
    let payload = "x".repeat(1000);
    let request = format!("*2\r\n$4\r\nECHO\r\n$1000\r\n{payload}\r\n");
    let sender = std::thread::spawn(move || {
        for _ in 0..20_000 {
            writer.write_all(request.as_bytes()).unwrap();
        }
    });
    let expected = format!("$1000\r\n{payload}\r\n");
    for _ in 0..20_000 {
        read_exactly(&mut reader, &expected);
    }
    sender.join().unwrap();
}

#[test]
fn nothing_runs_before_the_password() {
    let running = Running::start(|settings| settings.requirepass = Secret("s3cret".into()));
    running.check(
        "PING\r\nAUTH wrong\r\nAUTH s3cret\r\nPING\r\n",
        "-NOAUTH Authentication required.\r\n-WRONGPASS invalid username-password pair or user is \
         disabled.\r\n+OK\r\n+PONG\r\n",
    );
    running.check("*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n");
    running.check("AUTH default s3cret\r\n*2\r\n$4\r\nECHO\r\n$17000\r\n", "+OK\r\n");
    running.check("AUTH s3cret\r\nRESET\r\nPING\r\n", "+OK\r\n+RESET\r\n-NOAUTH Authentication required.\r\n");
}

#[test]
fn a_client_over_the_limit_is_told_and_one_that_leaves_makes_room() {
    let running = Running::start(|settings| settings.maxclients = 1);
    let mut first = running.connect();
    first.write_all(b"PING\r\n").unwrap();
    read_exactly(&mut first, "+PONG\r\n");
    assert_eq!(read_to_end(&mut running.connect()), "-ERR max number of clients reached\r\n");
    first.write_all(b"QUIT\r\n").unwrap();
    assert_eq!(read_to_end(&mut first), "+OK\r\n");
    while running.server.clients.count() > 0 {
        std::thread::yield_now();
    }
    running.check("PING\r\n", "+PONG\r\n");
}

#[test]
fn a_client_that_does_not_read_holds_up_itself_alone() {
    let running = Running::start(|_| {});
    let mut stuck = running.connect();
    stuck.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let request = format!("*2\r\n$4\r\nECHO\r\n$100000\r\n{}\r\n", "x".repeat(100_000));
    let sent = (0..10_000).take_while(|_| stuck.write_all(request.as_bytes()).is_ok()).count();
    assert!(sent < 1_000, "the server went on reading: {sent} requests");
    running.check("PING\r\n", "+PONG\r\n");
    let id = running.server.clients.list()[0].id;
    running.check(&format!("CLIENT KILL ID {id}\r\n"), ":1\r\n");
    while running.server.clients.get(id).is_some() {
        std::thread::yield_now();
    }
}

#[test]
fn settings_are_changed_while_it_runs() {
    let running = Running::start(|_| {});
    running.check(
        "CONFIG SET timeout 9 maxclients 77\r\nCONFIG GET time* maxcl*\r\n",
        "+OK\r\n*4\r\n$7\r\ntimeout\r\n$1\r\n9\r\n$10\r\nmaxclients\r\n$2\r\n77\r\n",
    );
    running.check("CONFIG REWRITE\r\n", "-ERR The server is running without a config file\r\n");
    running.check("CONFIG SET requirepass x\r\nPING\r\n", "+OK\r\n+PONG\r\n");
    running.check("PING\r\n", "-NOAUTH Authentication required.\r\n");
}

#[test]
fn stopping_answers_what_was_sent_and_closes() {
    let running = Running::start(|_| {});
    let mut idle = running.connect();
    idle.write_all(b"PING\r\n").unwrap();
    read_exactly(&mut idle, "+PONG\r\n");
    running.check("PING\r\nSHUTDOWN\r\nPING\r\n", "+PONG\r\n");
    assert_eq!(read_to_end(&mut idle), "");
    let how = *running.server.watch_stop().borrow();
    assert_eq!(how, Some(Shutdown::Drain));
    running.runtime.block_on(running.server.drain(Duration::from_secs(10)));
    assert_eq!(running.server.clients.count(), 0);
}
