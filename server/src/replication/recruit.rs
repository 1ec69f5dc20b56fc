//! REPLICA.ADD: asking another server to follow this one.

use std::time::Duration;

use bytes::BytesMut;
use veddb_commands::CommandError;

use super::dial::{dial, own_port};
use super::greeting::{accepted, ask, code, credentials};
use crate::server::Server;

/// How long the other server may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the server there; what it says where it does not agree.
pub(crate) async fn recruit(server: &Server, host: &str, port: u16) -> Result<(), CommandError> {
    let asked = tokio::time::timeout(PATIENCE, request(server, host, port)).await;
    let asked = asked.unwrap_or_else(|_| Err(format!("no answer within {} seconds", PATIENCE.as_secs())));
    asked.map_err(|why| CommandError::err(format!("{host}:{port}: {why}")))
}

async fn request(server: &Server, host: &str, port: u16) -> Result<(), String> {
    let mut socket = dial(server, host, port).await?;
    let settings = server.config.load();
    let mut input = BytesMut::new();
    if let Some(words) = credentials(&settings) {
        accepted(&ask(&mut socket, &mut input, &words).await?).map_err(|why| code(&why).to_owned())?;
    }
    let ip = match settings.replica_announce_ip.as_str() {
        "" => {
            let socket = socket.tcp().ok_or("not a connection of the network")?;
            socket.local_addr().map_err(|error| error.to_string())?.ip().to_string()
        }
        announced => announced.to_owned(),
    };
    let words = ["REPLICAOF".to_owned(), ip, own_port(server, &settings).to_string()];
    accepted(&ask(&mut socket, &mut input, &words).await?)
}
