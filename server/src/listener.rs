//! Accepts connections: binding, the gates at the door, and the options of sockets.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::client::Client;
use crate::config::Settings;
use crate::connection::Connection;
use crate::dispatch::{PROTECTED, TOO_MANY};
use crate::server::Server;
use crate::stream::Stream;

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// RESP.
    Plain,
    /// RESP within TLS.
    Tls,
}

/// Binds what the settings ask for: `port`, unless it is 0 beside a `tls-port`, and that. The port says where it is reached, plain
/// where both are there.
///
/// # Errors
/// An address that cannot be listened on.
pub fn bind(settings: &Settings) -> Result<(Vec<(TcpListener, Speaks)>, u16), BindError> {
    let (mut listeners, mut port) = (Vec::new(), settings.tls.port);
    if settings.tls.port != 0 {
        let (secured, _) = bind_port(&settings.bind, settings.tls.port, settings.tcp_backlog)?;
        listeners.extend(secured.into_iter().map(|listener| (listener, Speaks::Tls)));
    }
    if settings.port != 0 || settings.tls.port == 0 {
        let (plain, at) = bind_port(&settings.bind, settings.port, settings.tcp_backlog)?;
        listeners.extend(plain.into_iter().map(|listener| (listener, Speaks::Plain)));
        port = at;
    }
    Ok((listeners, port))
}

/// Binds all of these addresses on one port. Port 0 takes a free one, the same for all.
pub(crate) fn bind_port(
    addresses: &[IpAddr],
    mut port: u16,
    backlog: u32,
) -> Result<(Vec<TcpListener>, u16), BindError> {
    let mut listeners = Vec::new();
    for address in addresses {
        let at = SocketAddr::new(*address, port);
        let listener = bind_one(at, backlog).map_err(|source| BindError { at, source })?;
        port = listener.local_addr().map_err(|source| BindError { at, source })?.port();
        listeners.push(listener);
    }
    Ok((listeners, port))
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("could not create server TCP listening socket {at}: {source}")]
pub struct BindError {
    at: SocketAddr,
    source: std::io::Error,
}

fn bind_one(at: SocketAddr, backlog: u32) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    if at.is_ipv6() {
        // So that `bind * ::*` does not take the IPv4 address twice.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// Accepts until the server stops.
pub async fn accept(server: Arc<Server>, listener: TcpListener, speaks: Speaks) {
    let mut stopping = server.watch_stop();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(Option::is_some) => return,
        };
        match accepted {
            Ok((socket, peer)) => welcome(&server, socket, peer, speaks),
            Err(error) => {
                // Out of file descriptors, most likely: others must close first, so asking again at once is no use.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn welcome(server: &Arc<Server>, socket: TcpStream, peer: SocketAddr, speaks: Speaks) {
    let settings = server.config.load();
    server.metrics.connections_received.fetch_add(1, Relaxed);
    let Ok(local) = socket.local_addr() else { return };
    if let Err(error) = server.limits.connect(peer.ip()) {
        turn_away(server, &socket, speaks, &format!("-{error}\r\n"));
        return;
    }
    if settings.protected_mode && server.acl.is_open() && !is_loopback(peer.ip()) {
        turn_away(server, &socket, speaks, PROTECTED);
        return;
    }
    let Some(client) = server.clients.add(peer, local, socket.as_raw_fd(), settings.maxclients) else {
        turn_away(server, &socket, speaks, TOO_MANY);
        return;
    };
    if let Err(error) = prepare(&socket, settings.tcp_keepalive_s) {
        tracing::debug!(client = client.id, %error, "socket options");
    }
    let server = Arc::clone(server);
    match speaks {
        Speaks::Plain => drop(tokio::spawn(Connection::new(server, client, Stream::Plain(socket)).run())),
        Speaks::Tls => drop(tokio::spawn(secure(server, client, socket))),
    }
}

/// Serves a connection once it has made its keys. Until then it has said nothing that counts, so it ends as those do that do
/// not authenticate in time.
async fn secure(server: Arc<Server>, client: Arc<Client>, socket: TcpStream) {
    let handshake = tokio::select! {
        made = server.tls.accept(socket) => made,
        () = client.killed() => Err(std::io::ErrorKind::TimedOut.into()),
    };
    match handshake {
        Ok(stream) => {
            let mut connection = Connection::new(server, client, stream);
            connection.recognise();
            connection.run().await;
        }
        Err(error) => {
            server.clients.remove(client.id);
            server.metrics.tls_handshakes_failed.fetch_add(1, Relaxed);
            tracing::debug!(client = client.id, addr = %client.addr, %error, "TLS handshake");
        }
    }
}

fn turn_away(server: &Server, socket: &TcpStream, speaks: Speaks, why: &str) {
    server.metrics.connections_rejected.fetch_add(1, Relaxed);
    if speaks == Speaks::Tls {
        // It could not be read, and keys are not made for it.
        return;
    }
    // One attempt: a new socket's buffer is empty, and nobody waits for a stranger.
    let _ = SockRef::from(socket).send(why.as_bytes());
}

/// Whether that is this machine itself.
pub(crate) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn prepare(socket: &TcpStream, keepalive_s: u64) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    if keepalive_s > 0 {
        // As Redis: the first probe after the time, then three, a third of it apart.
        let interval = Duration::from_secs((keepalive_s / 3).max(1));
        let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(keepalive_s)).with_interval(interval);
        SockRef::from(socket).set_tcp_keepalive(&keepalive.with_retries(3))?;
    }
    Ok(())
}
