//! redis-rs against a server: its blocking and its asynchronous connections, under RESP2 and RESP3.

mod asynchronous;
mod blocking;
#[path = "../../../checks.rs"]
mod checks;

use anyhow::Result;
use redis::Client;

use checks::{address, print_version, report};

fn main() -> Result<()> {
    print_version(include_str!("../Cargo.lock"), "redis")?;
    let (host, port) = address()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for protocol in [2, 3] {
        let title = format!("RESP{protocol}");
        let client = Client::open(format!("redis://{host}:{port}/?protocol={protocol}"))?;
        for (what, check) in blocking::CHECKS {
            report(&title, what, check(&client));
        }
        runtime.block_on(asynchronous::checks(&title, &client, protocol));
    }
    Ok(())
}
