//! DOC.CHANGES: whoever follows has what the store has, whatever happens to the server; what is not kept is told; waiting costs little.
//!
//! `VEDDB_CHANGES_KILLS` (4; by hand 100) kills under load. `VEDDB_SEED` repeats the choices, though not the moments.

mod bounds;
mod follower;
mod history;
mod model;
mod waiting;
