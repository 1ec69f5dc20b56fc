//! fred against a server, under RESP2 and RESP3. A module has the checks of one kind.

#[path = "../../../checks.rs"]
mod checks;
mod commands;
mod pubsub;

use anyhow::{Context, Result, bail};
use fred::clients::SubscriberClient;
use fred::prelude::*;
use fred::types::RespVersion;
use tokio::time::timeout;

use checks::{CHECK_MAX, address, print_version, report};

/// Where the server is, and how it is spoken to.
struct Target {
    title: &'static str,
    builder: Builder,
}

impl Target {
    fn new(host: &str, port: u16, title: &'static str, version: RespVersion) -> Self {
        let server = ServerConfig::new_centralized(host, port);
        let mut builder = Builder::from_config(Config { server, version, ..Config::default() });
        builder.set_policy(ReconnectPolicy::new_constant(0, 20));
        builder.with_performance_config(|performance| {
            performance.default_command_timeout = CHECK_MAX;
            // Messages wait here for who receives them; beyond this they are lost.
            performance.broadcast_channel_capacity = 4096;
        });
        Self { title, builder }
    }

    async fn connect(&self) -> Result<Client> {
        let client = self.builder.build()?;
        client.init().await?;
        Ok(client)
    }

    async fn connect_subscriber(&self) -> Result<SubscriberClient> {
        let client = self.builder.build_subscriber_client()?;
        client.init().await?;
        Ok(client)
    }

    /// Reports a check, which has its time.
    async fn check(&self, what: &str, check: impl Future<Output = Result<()>>) {
        let result = timeout(CHECK_MAX, check).await.context("no end in ten seconds");
        report(self.title, what, result.flatten());
    }
}

/// The message of the error that a call ends with.
fn refusal<T>(result: Result<T, Error>) -> Result<String> {
    match result {
        Ok(_) => bail!("no error"),
        Err(error) => Ok(error.details().to_owned()),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    print_version(include_str!("../Cargo.lock"), "fred")?;
    let (host, port) = address()?;
    for (title, version) in [("RESP2", RespVersion::RESP2), ("RESP3", RespVersion::RESP3)] {
        let target = Target::new(&host, port, title, version);
        commands::checks(&target).await;
        pubsub::checks(&target).await;
        target.check("leaves nothing behind", commands::leaves_nothing(&target)).await;
    }
    Ok(())
}
