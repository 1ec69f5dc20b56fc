//! Connecting to another server: in the clear, or through TLS where `tls-replication` asks for it.
//!
//! Invariant: with `tls-replication yes` nothing is said to a server before its certificate was found to be of a CA in
//! `tls-ca-cert-file` and for the name or address by which it was called.

use tokio::net::TcpStream;

use crate::config::Settings;
use crate::server::Server;
use crate::stream::Stream;

/// Connects. Whoever calls says how long that may take.
///
/// # Errors
/// Why there is no connection, in words that stay the same from one attempt to the next.
pub(super) async fn dial(server: &Server, host: &str, port: u16) -> Result<Stream, String> {
    let refused = |why: &dyn std::fmt::Display| format!("cannot connect: {why}");
    let socket = TcpStream::connect((host, port)).await.map_err(|error| refused(&error))?;
    let _ = socket.set_nodelay(true);
    if socket.peer_addr().ok().zip(socket.local_addr().ok()).is_some_and(|(peer, local)| peer == local) {
        // Loopback connects a port to itself where nobody listens.
        return Err(refused(&"nobody listens there"));
    }
    if server.config.load().tls.replication {
        return server.tls.connect(host, socket).await.map_err(|why| refused(&why));
    }
    Ok(Stream::Plain(socket))
}

/// The port by which other servers reach this one: the one that is announced, else that of what links speak.
pub(super) fn own_port(server: &Server, settings: &Settings) -> u16 {
    match (settings.replica_announce_port, settings.tls.port) {
        (0, tls) if settings.tls.replication && tls != 0 => tls,
        (0, _) => server.port,
        (announced, _) => announced,
    }
}
