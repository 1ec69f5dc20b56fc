//! Copies of a store on other machines: where the log stands, reading it from there, a snapshot to begin with, carrying out
//! what another store's log says.
//!
//! Owns what two stores have to agree on: positions, terms, the bytes of units and of exports. Does not know connections: how
//! the bytes come from one store to the other is the server's.
//!
//! Invariant: of two stores that have written a unit of one history, term and LSN, both have the same units up to it.

mod carry;
mod changes;
mod chunk;
mod content;
mod event;
mod export;
mod feed;
mod follower;
mod ids;
mod install;
mod position;
mod replica;
mod rollback;
mod staging;
mod units;

pub use changes::{Change, ChangePlace, Changes};
pub use event::{Event, EventKind};
pub(crate) use export::Exports;
pub use export::{Export, ExportHash, ExportHeader};
pub(crate) use feed::Feed;
pub use feed::Subscription;
pub use follower::{FollowError, Follower};
pub use install::Staged;
pub(crate) use install::{finish as finish_install, is_begun as is_install_begun};
pub use position::{HistoryId, PROMOTIONS_MAX, Position, TermStart, is_beyond_belief, promotions};
pub(crate) use position::{last_common, next_term, term_at, with_term};
pub use replica::Applied;
pub(crate) use replica::Apply;
pub use rollback::{RolledBack, rollback_lines};
pub use staging::Staging;
pub use units::Units;

use std::sync::Arc;

use crate::lsn::Lsn;
use crate::store::Store;

impl Store {
    /// The last unit that was written, as a view shows it.
    pub fn position(&self) -> Position {
        let state = Arc::clone(&self.shared.state.read());
        self.position_at(state.lsn)
    }

    /// The last unit that is synced: what a replica tells its primary it has.
    pub fn position_durable(&self) -> Position {
        self.position_at(self.progress.lsn_durable())
    }

    fn position_at(&self, lsn: Lsn) -> Position {
        let terms = self.terms();
        Position { history: self.shared.feed.history_id(), term: term_at(&terms, lsn), lsn }
    }

    /// The terms of this store's log, oldest first; the last one is that of the last unit.
    pub fn terms(&self) -> Vec<TermStart> {
        self.shared.state.read().terms.to_vec()
    }

    /// The last unit that this store has in common with one of the same history whose log has these terms and ends at `lsn`.
    /// 0: none that is known.
    pub fn common(&self, terms: &[TermStart], lsn: Lsn) -> Lsn {
        let state = Arc::clone(&self.shared.state.read());
        last_common((&state.terms, state.lsn), (terms, lsn))
    }

    /// Reads the log after a position, which must be on this store's line. What the follower has still to read is kept for it
    /// as long as it takes no more than `Options::log_pinned_bytes_max`, for `Options::log_pin_linger_ms` also after the
    /// follower is dropped, so that it may come back ([`Follower::named`] says that it did).
    ///
    /// # Errors
    /// `Foreign`, `Lost`, `Ahead` and `Diverged` as they say; then only an export helps.
    pub fn follow(&self, after: Position) -> Result<Follower, FollowError> {
        let state = Arc::clone(&self.shared.state.read());
        Follower::open(&self.shared.feed, &state.terms, state.lsn, after)
    }

    /// Has this called whenever there is more for followers to read, from the committer, or more of it on disk: it must not take
    /// its time, nor call the store. Ends when what is returned is dropped.
    pub fn on_commit(&self, listener: impl Fn() + Send + Sync + 'static) -> Subscription {
        self.shared.feed.subscribe(Box::new(listener))
    }
}
