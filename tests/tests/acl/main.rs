//! Users: what each may do, by a table that was written by hand; rules beside redis-server's; what is kept; how long passwords take.

mod differential;
mod file;
mod kept;
mod matrix;
mod passwords;
