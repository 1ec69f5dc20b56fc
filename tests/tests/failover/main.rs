//! Failovers as users have them: stock sentinels, and redis-py and ioredis that find the primary through them and write on, while
//! one primary after the other is killed or has its cable pulled, and comes back.
//!
//! Prints what was lost and how long nobody could write, which docs/replication.md tells. Servers are machines of their own where
//! network namespaces can be made; elsewhere the process of a primary that would be cut off is stopped instead.

mod check;
mod report;
mod rounds;
mod world;
mod writers;

use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use veddb_tests::setting;

use rounds::Mode;

/// One world at a time: another one would be measured with it.
static ALONE: Mutex<()> = Mutex::new(());

fn run(mode: Mode) -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let report = rounds::run(mode, setting("VEDDB_FAILOVERS", 2))?;
    println!("{report}");
    Ok(())
}

#[test]
fn what_one_has_acknowledged_is_lost_only_as_far_as_replicas_lag() -> Result<()> {
    run(Mode::Alone)
}

#[test]
fn what_two_have_acknowledged_is_never_lost() -> Result<()> {
    run(Mode::ByTwo)
}
