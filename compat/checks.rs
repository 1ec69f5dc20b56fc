//! What the clients in Rust share: names of their own, comparing, and a line for each check.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// What a check may take, where the client itself waits no longer.
pub const CHECK_MAX: Duration = Duration::from_secs(10);

/// What a name begins with that nobody else uses.
pub fn own(name: &str) -> String {
    format!("compat:{}:{name}", std::process::id())
}

pub fn equal<T: PartialEq + Debug>(got: T, expected: T) -> Result<()> {
    ensure!(got == expected, "expected {expected:?}, got {got:?}");
    Ok(())
}

/// Prints how a check ended.
pub fn report(title: &str, what: &str, result: Result<()>) {
    match result {
        Ok(()) => println!("ok {title} {what}"),
        Err(error) => println!("FAIL {title} {what}: {}", format!("{error:#}").replace('\n', " ")),
    }
}

/// Prints the version of a package that a lock file has.
pub fn print_version(lock: &str, package: &str) -> Result<()> {
    let (_, rest) = lock.split_once(&format!("name = \"{package}\"\nversion = \"")).context("no such package")?;
    println!("version {}", rest.split('"').next().unwrap_or_default());
    Ok(())
}

/// The host and port that the program was given.
pub fn address() -> Result<(String, u16)> {
    let mut words = std::env::args().skip(1);
    let (host, port) = words.next().zip(words.next()).context("say HOST PORT")?;
    Ok((host, port.parse().context("the port")?))
}
