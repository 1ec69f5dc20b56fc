//! KEY.*: the keys that what is stored is sealed under, one file a command.

pub mod cancel;
pub mod list;
pub mod pause;
pub mod resume;
pub mod rotate;
pub mod status;

use veddb_storage::{DataKeys, KeyCounts};

use crate::context::{Phased, Prepared, ReadContext, Step};
use crate::error::CommandError;
use crate::reply::Reply;

/// What is asked of the keys in one step. It may wait for the disk, which no connection's task may, and touches no document,
/// for which the committer would be needed.
struct Asking<F>(F);

impl<F: FnMut(&DataKeys, u64) -> Result<Reply, CommandError> + Send> Phased for Asking<F> {
    fn next(
        &mut self,
        context: &ReadContext<'_>,
        _before: Option<Result<Reply, CommandError>>,
    ) -> Result<Step, CommandError> {
        (self.0)(context.view.data_keys(), context.now_ms).map(Step::Done)
    }
}

fn ask(what: impl FnMut(&DataKeys, u64) -> Result<Reply, CommandError> + Send + 'static) -> Prepared {
    Prepared::Phased(Box::new(Asking(what)))
}

/// A number of milliseconds since 1970; 0 is none.
fn time(ms: u64) -> Reply {
    if ms == 0 { Reply::Null } else { Reply::count(ms) }
}

/// Records by key.
fn records(counts: &KeyCounts) -> Reply {
    Reply::Map(counts.iter().map(|(id, count)| (Reply::text(id.to_string()), Reply::count(*count))).collect())
}
