//! Aggregation under load, seen from outside: what queries hold in memory, what they leave on disk, when they end, and
//! that others do not wait for them. Answers are checked against a model in the test.
//!
//! The defaults take seconds. By hand: `VEDDB_QUERY_MEMORY_MB` is the memory of one query, of which the data are ten times as
//! much, and `VEDDB_QUERY_SLACK_MB` what the server may take beside it; `VEDDB_MAXTIME_STRICT=1` has every answer in time, not
//! half of them; `VEDDB_PING_MS` is what PING may take beside long queries; `VEDDB_SPILL_KILLS` kills.

mod bounds;
mod cursors;
mod data;
mod deadline;
mod memory;
mod spills;
