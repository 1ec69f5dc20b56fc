//! Waiting for what has to come about, by asking again.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long whatever is waited for may take: a debug build beside others is slow.
pub const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(10);

/// Returns once this holds. A server that is down for a moment is asked again.
///
/// # Errors
/// What the last question came to, where it has not come about within [`PATIENCE`].
pub fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = holds();
        if matches!(found, Ok(true)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            found?;
            bail!("{what} has not come about within {PATIENCE:?}");
        }
        thread::sleep(PAUSE);
    }
}
