//! What queries hold in memory while they run, counted: of one query, and of all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::error::{CommandError, ErrorCode};

/// What a stage may hold however much the others do: without it it could not go on at all.
const ALWAYS_BYTES: usize = 256 << 10;

/// The memory of all queries.
#[derive(Debug)]
pub struct QueryMemory {
    used: AtomicUsize,
    query_max: AtomicUsize,
    total_max: AtomicUsize,
    /// Bytes that queries wrote to temporary files so far.
    spilled: AtomicU64,
}

impl QueryMemory {
    /// One query may hold so many bytes, and all together so many.
    pub fn new(query_max: usize, total_max: usize) -> QueryMemory {
        QueryMemory {
            used: AtomicUsize::new(0),
            query_max: AtomicUsize::new(query_max),
            total_max: AtomicUsize::new(total_max),
            spilled: AtomicU64::new(0),
        }
    }

    /// Changes the limits, also of queries that run.
    pub fn set_limits(&self, query_max: usize, total_max: usize) {
        self.query_max.store(query_max, Relaxed);
        self.total_max.store(total_max, Relaxed);
    }

    /// Bytes that queries hold.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Bytes that queries wrote to temporary files so far.
    pub fn spilled(&self) -> u64 {
        self.spilled.load(Relaxed)
    }
}

/// The memory of one query.
#[derive(Debug)]
pub struct Account {
    all: Arc<QueryMemory>,
    used: AtomicUsize,
    spilled: AtomicU64,
}

impl Account {
    /// The account of a new query.
    pub fn new(all: &Arc<QueryMemory>) -> Arc<Account> {
        Arc::new(Account { all: Arc::clone(all), used: AtomicUsize::new(0), spilled: AtomicU64::new(0) })
    }

    /// What one query may hold, bytes.
    pub fn limit(&self) -> usize {
        self.all.query_max.load(Relaxed)
    }

    /// Bytes that it wrote to temporary files.
    pub fn spilled(&self) -> u64 {
        self.spilled.load(Relaxed)
    }

    /// Counts bytes written to a temporary file.
    pub fn note_spilled(&self, bytes: u64) {
        self.spilled.fetch_add(bytes, Relaxed);
        self.all.spilled.fetch_add(bytes, Relaxed);
    }

    /// A stage's part of it, of which nothing is used.
    pub fn part(self: &Arc<Account>) -> Held {
        Held { account: Arc::clone(self), bytes: 0 }
    }
}

/// What one stage holds; given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    account: Arc<Account>,
    bytes: usize,
}

impl Held {
    /// Counts so many bytes more, if they fit. A stage that is told no writes what it holds to a temporary file and
    /// [releases](Held::release) it.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let all = &self.account.all;
        let query = self.account.used.load(Relaxed).saturating_add(bytes);
        let total = all.used.load(Relaxed).saturating_add(bytes);
        let fits = query <= all.query_max.load(Relaxed) && total <= all.total_max.load(Relaxed);
        if !fits && self.bytes.saturating_add(bytes) > ALWAYS_BYTES {
            return false;
        }
        self.force(bytes);
        true
    }

    /// Counts so many bytes more of what cannot be written away; `TOOBIG` when they do not fit.
    pub fn claim(&mut self, bytes: usize) -> Result<(), CommandError> {
        if self.grow(bytes) {
            return Ok(());
        }
        let limit = self.account.limit();
        let what =
            format!("the query would hold more than {limit} bytes (query-memory-limit), or all more than they may");
        Err(CommandError::new(ErrorCode::TooBig, what))
    }

    /// Counts so many bytes as held, of what cannot be written away; `TOOBIG` when they do not fit.
    pub fn set(&mut self, bytes: usize) -> Result<(), CommandError> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.claim(more),
            None => {
                self.shrink(self.bytes - bytes);
                Ok(())
            }
        }
    }

    /// Counts so many bytes more, whatever there is: of what cannot be written away.
    pub fn force(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.account.used.fetch_add(bytes, Relaxed);
        self.account.all.used.fetch_add(bytes, Relaxed);
    }

    /// Takes back so many bytes.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.account.used.fetch_sub(bytes, Relaxed);
        self.account.all.used.fetch_sub(bytes, Relaxed);
    }

    /// Takes everything back.
    pub fn release(&mut self) {
        self.shrink(self.bytes);
    }

    /// What it holds, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The query's account.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}

/// Drops what a query held that failed. One whose time is up is answered meanwhile, since to free millions of small values
/// takes a tenth of a second; it counts as held until then. With any other answer memory and disk are given back already.
pub fn let_go<T: Send + 'static>(held: T, error: &CommandError) {
    if error.code != ErrorCode::Timeout {
        return;
    }
    // Where there is no thread to be had it is dropped here.
    let _ = std::thread::Builder::new().name("let-go".to_owned()).spawn(move || drop(held));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_one_and_of_all() {
        let all = Arc::new(QueryMemory::new(1 << 20, 3 << 19));
        let (one, two) = (Account::new(&all), Account::new(&all));
        let (mut a, mut b, mut c) = (one.part(), one.part(), two.part());
        assert!(a.grow(600 << 10));
        assert!(!b.grow(500 << 10), "one query's limit");
        assert!(b.grow(200 << 10) && c.grow(700 << 10));
        assert!(!c.grow(100 << 10), "the limit of all");
        assert!(two.part().grow(100 << 10), "a little can always be held");
        assert_eq!(c.claim(300 << 10).unwrap_err().code, ErrorCode::TooBig);
        assert!(c.set(100 << 10).is_ok() && c.bytes() == 100 << 10 && c.set(700 << 10).is_ok());
        a.release();
        assert!(c.grow(100 << 10));
        drop((a, b, c));
        assert_eq!(all.used(), 0);
    }
}
