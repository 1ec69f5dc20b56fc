//! Connections of clients: who has a good certificate gets in, and nobody disturbs those who are.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use veddb_tests::server::run_to_end;
use veddb_tests::{Value, request};

use crate::authority::{Authority, Flaw, free_port, options, secured};

const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// What redis-cli says to PING through TLS.
fn ping(port: u16, ca: &str, host: &str, more: &[String]) -> Result<String> {
    let mut command = Command::new("redis-cli");
    command.args(["-h", host, "-p", &port.to_string(), "--tls", "--cacert", ca]).args(more).arg("PING");
    let output = command.output().context("redis-cli is missing (Debian: redis-tools)")?;
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned())
}

/// A connection of rustls's own client, and the certificate that the server showed.
struct Secure {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl Secure {
    fn connect(port: u16, authority: &Authority) -> Result<Secure> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority.path("ca.pem"))?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let connection = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost")?)?;
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut secure = Secure { stream: BufReader::new(StreamOwned::new(connection, socket)) };
        secure.ask(&["PING"])?;
        Ok(secure)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.get_mut().write_all(bytes)?;
        Ok(self.stream.get_mut().flush()?)
    }

    fn ask(&mut self, arguments: &[&str]) -> Result<Value> {
        self.send(&request(arguments))?;
        let value = Value::read(&mut self.stream)?;
        ensure!(!matches!(value, Value::Error(_)), "{arguments:?}: {value}");
        Ok(value)
    }

    fn certificate(&self) -> Vec<u8> {
        let shown = self.stream.get_ref().conn.peer_certificates().and_then(|all| all.first());
        shown.map(|first| first.to_vec()).unwrap_or_default()
    }
}

#[test]
fn who_has_a_good_certificate_gets_in() -> Result<()> {
    let (ours, foreign) = (Authority::new("ours")?, Authority::new("foreign")?);
    for (name, serial, flaw) in [("client", 1, Flaw::None), ("expired", 2, Flaw::Expired), ("revoked", 3, Flaw::None)] {
        ours.sign(name, serial, flaw)?;
    }
    ours.revoke(3, A_DAY)?;
    foreign.sign("client", 1, Flaw::None)?;
    let ca = ours.path("ca.pem");
    let nobody: Vec<String> = Vec::new();
    // What is refused answers no PING; the words are OpenSSL's.
    let check = |port: u16, shown: &[String], good: bool| -> Result<()> {
        let answer = ping(port, &ca, "localhost", shown)?;
        ensure!((answer == "PONG") == good, "{shown:?}: {answer}");
        Ok(())
    };
    let (mut server, port) = secured(&ours, "yes")?;
    check(port, &ours.shown("client"), true)?;
    check(port, &nobody, false)?;
    check(port, &ours.shown("expired"), false)?;
    check(port, &foreign.shown("client"), false)?;
    // Until the list is read nobody knows.
    check(port, &ours.shown("revoked"), true)?;
    let mut client = server.client()?;
    client.ask(&["CONFIG", "SET", "tls-crl-file", &ours.path("crl.pem")])?;
    check(port, &ours.shown("revoked"), false)?;
    check(port, &ours.shown("client"), true)?;
    let failed: u64 = client.figure("stats", "tls_handshakes_failed")?.parse()?;
    ensure!(failed >= 4, "{failed} handshakes are said to have failed");

    client.ask(&["CONFIG", "SET", "tls-auth-clients", "optional"])?;
    check(port, &nobody, true)?;
    check(port, &foreign.shown("client"), false)?;
    client.ask(&["CONFIG", "SET", "tls-auth-clients", "no"])?;
    check(port, &nobody, true)?;

    // The client's side: another CA, another name, a version that is not spoken.
    ensure!(ping(port, &foreign.path("ca.pem"), "localhost", &nobody)? != "PONG", "a foreign server was believed");
    client.ask(&["CONFIG", "SET", "tls-protocols", "TLSv1.3"])?;
    check(port, &nobody, true)?;
    ensure!(client.run(&["CONFIG", "SET", "tls-protocols", "TLSv1.1"])?.is_error("ERR"), "TLS 1.1 was taken");
    server.stop()
}

#[test]
fn a_new_certificate_disturbs_nobody() -> Result<()> {
    let authority = Authority::new("ours")?;
    let (server, port) = secured(&authority, "no")?;
    let mut admin = server.client()?;
    let mut old = Secure::connect(port, &authority)?;
    let before = old.certificate();
    let done = AtomicBool::new(false);
    thread::scope(|scope| -> Result<()> {
        let load = |at: usize| -> Result<u64> {
            let mut client = Secure::connect(port, &authority)?;
            let mut served = 0;
            while !done.load(Ordering::Acquire) {
                client.ask(&["DOC.SET", "c", &at.to_string(), &format!(r#"{{"n":{served}}}"#)])?;
                served += 1;
            }
            Ok(served)
        };
        let clients: Vec<_> = (0..8).map(|at| scope.spawn(move || load(at))).collect();
        for round in 0..5 {
            authority.sign("server", 200 + round, Flaw::None)?;
            admin.ask(&["CONFIG", "SET", "tls-cert-file", &authority.path("server.pem")])?;
            ensure!(Secure::connect(port, &authority)?.certificate() != before, "the old certificate is shown");
        }
        // What cannot be read changes nothing.
        fs::write(authority.path("server.pem"), "no certificate")?;
        let refused = admin.run(&["CONFIG", "SET", "tls-cert-file", &authority.path("server.pem")])?;
        ensure!(refused.is_error("ERR"), "{refused}");
        Secure::connect(port, &authority)?;
        old.ask(&["PING"])?;
        done.store(true, Ordering::Release);
        for client in clients {
            let served = client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
            ensure!(served > 0, "a client was not served");
        }
        Ok(())
    })
}

#[test]
fn settings_that_are_refused_together_change_nothing() -> Result<()> {
    let authority = Authority::new("ours")?;
    let (server, port) = secured(&authority, "no")?;
    let mut admin = server.client()?;
    let before = Secure::connect(port, &authority)?.certificate();
    authority.sign("server", 200, Flaw::None)?;
    let path = authority.path("server.pem");
    let refused = admin.run(&["CONFIG", "SET", "tls-cert-file", &path, "token-jwks-file", "/nowhere"])?;
    ensure!(refused.is_error("ERR") && refused.to_string().contains("token-jwks"), "{refused}");
    ensure!(Secure::connect(port, &authority)?.certificate() == before, "what was refused is in force");
    admin.ask(&["CONFIG", "SET", "tls-cert-file", &path])?;
    ensure!(Secure::connect(port, &authority)?.certificate() != before, "the old certificate is shown");

    // Nobody is asked for a certificate, so none can name a user.
    let refused = admin.run(&["CONFIG", "SET", "tls-auth-clients-user", "CN"])?;
    ensure!(refused.to_string().contains("tls-auth-clients-user needs"), "{refused}");
    admin.ask(&["CONFIG", "SET", "tls-auth-clients-user", "CN", "tls-auth-clients", "optional"])?;
    ensure!(admin.run(&["CONFIG", "SET", "tls-auth-clients", "no"])?.is_error("ERR"), "users by no certificate");
    Ok(())
}

#[test]
fn two_lists_of_one_issuer_are_refused() -> Result<()> {
    let (ours, foreign) = (Authority::new("ours")?, Authority::new("foreign")?);
    let (server, port) = secured(&ours, "yes")?;
    ours.sign("client", 1, Flaw::None)?;
    ours.sign("revoked", 3, Flaw::None)?;
    let mut admin = server.client()?;
    let mut load = |lists: &[String]| -> Result<Value> {
        fs::write(ours.path("crl.pem"), lists.concat())?;
        admin.run(&["CONFIG", "SET", "tls-crl-file", &ours.path("crl.pem")])
    };
    let list = |authority: &Authority, serial: u64, point: Option<&str>| authority.list(serial, A_DAY, point);
    let (one, other) = (Some("http://a.example/one"), Some("http://a.example/other"));
    let (old, new) = (list(&ours, 4, None)?, list(&ours, 3, None)?);
    // Also for two distribution points: a certificate that names none would be looked for in the first list alone.
    for lists in [[old, new.clone()], [list(&ours, 4, one)?, list(&ours, 3, other)?]] {
        let refused = load(&lists)?;
        ensure!(refused.to_string().contains("there are two lists of "), "{refused}");
    }
    let pings = |name: &str| -> Result<bool> {
        Ok(ping(port, &ours.path("ca.pem"), "localhost", &ours.shown(name))? == "PONG")
    };
    ensure!(pings("revoked")?, "a file that was refused is in force");
    let taken = load(&[new, list(&foreign, 1, None)?])?;
    ensure!(!matches!(taken, Value::Error(_)), "{taken}");
    ensure!(pings("client")? && !pings("revoked")?, "the lists are not those of the file");
    Ok(())
}

#[test]
fn much_comes_through_whole() -> Result<()> {
    let authority = Authority::new("ours")?;
    let (_server, port) = secured(&authority, "no")?;
    let mut client = Secure::connect(port, &authority)?;
    // More than one record, more than one read, and a pipeline that is answered in pieces.
    let text = "x".repeat(5 << 20);
    client.ask(&["SET", "large", &text])?;
    ensure!(client.ask(&["GET", "large"])?.text() == Some(&text), "another value came back");
    let mut pipeline = Vec::new();
    for n in 0..20_000 {
        pipeline.extend(request(&["ECHO", &n.to_string()]));
    }
    client.send(&pipeline)?;
    for n in 0..20_000 {
        let value = Value::read(&mut client.stream)?;
        ensure!(value.text() == Some(&n.to_string()), "{n}: {value}");
    }
    // Messages reach who only listens.
    client.ask(&["SUBSCRIBE", "news"])?;
    let mut other = Secure::connect(port, &authority)?;
    other.ask(&["PUBLISH", "news", "of today"])?;
    let message = Value::read(&mut client.stream)?;
    ensure!(message.to_string().contains("of today"), "{message}");
    Ok(())
}

#[test]
fn a_query_ends_with_its_client() -> Result<()> {
    let authority = Authority::new("ours")?;
    let (server, port) = secured(&authority, "no")?;
    let mut other = server.client()?;
    for _ in 0..20 {
        other.ask(&["DOC.INSERT", "c", "{}", "{}", "{}", "{}", "{}"])?;
    }
    let inner = r#"{"$reduce":{"input":{"$range":[0,1000]},"initialValue":0,"in":{"$add":["$$value","$$this"]}}}"#;
    let query =
        format!(r#"[{{"$set":{{"x":{{"$size":{{"$map":{{"input":{{"$range":[0,100000]}},"in":{inner}}}}}}}}}}}]"#);
    let mut leaving = Secure::connect(port, &authority)?;
    leaving.send(&request(&["DOC.AGGREGATE", "c", &query]))?;
    let runs = |other: &mut veddb_tests::Client| -> Result<bool> {
        Ok(other.ask(&["CLIENT", "LIST"])?.expect_text().contains("cmd=doc.aggregate"))
    };
    let until = Instant::now() + Duration::from_secs(30);
    while !runs(&mut other)? {
        ensure!(Instant::now() < until, "the query did not begin");
    }
    leaving.stream.get_mut().conn.send_close_notify();
    leaving.stream.get_mut().flush()?;
    drop(leaving);
    while runs(&mut other)? {
        ensure!(Instant::now() < until, "the query goes on without its client");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[test]
fn strangers_are_left_alone() -> Result<()> {
    let authority = Authority::new("ours")?;
    authority.sign("server", 100, Flaw::None)?;
    let port = free_port()?;
    let server = options(&authority, port).set("tls-auth-clients", "no").set("handshake-timeout", "2").start()?;
    let mut served = Secure::connect(port, &authority)?;
    let connect = || -> Result<TcpStream> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(socket)
    };
    // Silence, RESP in the clear, random bytes, the first bytes of a handshake and then nothing.
    let silent: Vec<TcpStream> = (0..200).map(|_| connect()).collect::<Result<_>>()?;
    let mut plain = connect()?;
    plain.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    let mut random = connect()?;
    let noise: Vec<u8> = (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    // It may be turned away before all of it is sent.
    let _ = random.write_all(&noise);
    let mut half = connect()?;
    half.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01])?;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        let asked = Instant::now();
        served.ask(&["PING"])?;
        ensure!(asked.elapsed() < Duration::from_secs(1), "PING took {:?}", asked.elapsed());
    }
    for mut socket in silent.into_iter().chain([plain, random, half]) {
        let mut answer = Vec::new();
        // A reset is an end as well.
        if let Err(error) = socket.read_to_end(&mut answer) {
            ensure!(error.kind() == std::io::ErrorKind::ConnectionReset, "{error}");
        }
        ensure!(!answer.windows(4).any(|four| four == b"PONG"), "RESP in the clear was answered");
    }
    let mut admin = server.client()?;
    let failed: u64 = admin.figure("stats", "tls_handshakes_failed")?.parse()?;
    ensure!(failed >= 203, "{failed} handshakes are said to have failed");
    served.ask(&["PING"])?;
    Ok(())
}

#[test]
fn without_a_certificate_there_is_no_start() -> Result<()> {
    let authority = Authority::new("ours")?;
    authority.sign("server", 100, Flaw::None)?;
    let home = tempfile::tempdir()?;
    let dir = home.path().join("data").display().to_string();
    let (cert, key) = (authority.path("server.pem"), authority.path("server.key"));
    let refused = |more: &[&str], why: &str| -> Result<()> {
        let (plain, port) = (free_port()?.to_string(), free_port()?.to_string());
        let mut arguments = vec!["--port", &plain, "--dir", &dir, "--tls-port", &port];
        arguments.extend(more);
        let (status, said) = run_to_end(&arguments, Path::new("/dev/null"))?;
        ensure!(!status.success() && said.contains(why), "{more:?}: {said}");
        Ok(())
    };
    refused(&[], "tls-ca-cert-file is needed")?;
    refused(&["--tls-auth-clients", "no"], "tls-cert-file is needed")?;
    refused(&["--tls-auth-clients", "no", "--tls-auth-clients-user", "CN"], "tls-auth-clients-user needs")?;
    refused(&["--tls-auth-clients", "no", "--tls-cert-file", &cert], "tls-key-file is needed")?;
    refused(&["--tls-auth-clients", "no", "--tls-cert-file", &cert, "--tls-key-file", &cert], "tls-key-file: ")?;
    refused(&["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &key], "no certificate in it")
}

#[test]
fn a_list_that_has_expired_is_not_believed() -> Result<()> {
    let authority = Authority::new("ours")?;
    let (server, port) = secured(&authority, "yes")?;
    authority.sign("client", 1, Flaw::None)?;
    let mut admin = server.client()?;
    let (ca, crl, shown) = (authority.path("ca.pem"), authority.path("crl.pem"), authority.shown("client"));
    let pings = || Ok::<bool, anyhow::Error>(ping(port, &ca, "localhost", &shown)? == "PONG");
    let load = |admin: &mut veddb_tests::Client| admin.run(&["CONFIG", "SET", "tls-crl-file", &crl]);
    // One that has expired changes nothing.
    authority.revoke(3, Duration::ZERO)?;
    let refused = load(&mut admin)?;
    ensure!(refused.to_string().contains("has expired"), "{refused}");
    ensure!(pings()?, "the certificate is refused");
    // One that expires meanwhile lets nobody in any more, and that is said.
    authority.revoke(3, Duration::from_secs(8))?;
    load(&mut admin)?;
    ensure!(pings()?, "the certificate is refused");
    let until = Instant::now() + Duration::from_secs(60);
    while pings()? {
        ensure!(Instant::now() < until, "a list that has expired is believed");
        thread::sleep(Duration::from_millis(100));
    }
    ensure!(server.log().contains("a list in tls-crl-file has expired"), "{}", server.log());
    authority.revoke(3, A_DAY)?;
    load(&mut admin)?;
    ensure!(pings()?, "the certificate is refused with a new list");
    Ok(())
}
