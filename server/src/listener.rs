//! Accepts connections: binding, the gates at the door, and the options of sockets.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::config::Settings;
use crate::connection::Connection;
use crate::dispatch::{PROTECTED, TOO_MANY};
use crate::server::Server;

/// Binds every address of the setting `bind`, all on one port. Port 0 takes a free one, the same for all.
pub fn bind(settings: &Settings) -> Result<(Vec<TcpListener>, u16), BindError> {
    let mut port = settings.port;
    let mut listeners = Vec::new();
    for address in &settings.bind {
        let at = SocketAddr::new(*address, port);
        let listener = bind_one(at, settings.tcp_backlog).map_err(|source| BindError { at, source })?;
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
pub async fn accept(server: Arc<Server>, listener: TcpListener) {
    let mut stopping = server.watch_stop();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(Option::is_some) => return,
        };
        match accepted {
            Ok((socket, peer)) => welcome(&server, socket, peer),
            Err(error) => {
                // Out of file descriptors, most likely: others must close first, so asking again at once is no use.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn welcome(server: &Arc<Server>, socket: TcpStream, peer: SocketAddr) {
    let settings = server.config.load();
    server.metrics.connections_received.fetch_add(1, Relaxed);
    let Ok(local) = socket.local_addr() else { return };
    if settings.protected_mode && settings.requirepass.0.is_empty() && !is_loopback(peer.ip()) {
        turn_away(server, &socket, PROTECTED);
        return;
    }
    let Some(client) = server.clients.add(peer, local, socket.as_raw_fd(), settings.maxclients) else {
        turn_away(server, &socket, TOO_MANY);
        return;
    };
    if let Err(error) = prepare(&socket, settings.tcp_keepalive_s) {
        tracing::debug!(client = client.id, %error, "socket options");
    }
    tokio::spawn(Connection::new(Arc::clone(server), client, socket).run());
}

fn turn_away(server: &Server, socket: &TcpStream, why: &str) {
    server.metrics.connections_rejected.fetch_add(1, Relaxed);
    // One attempt: a new socket's buffer is empty, and nobody waits for a stranger.
    let _ = SockRef::from(socket).send(why.as_bytes());
}

fn is_loopback(address: IpAddr) -> bool {
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
