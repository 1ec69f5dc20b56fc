//! Pub/sub beyond what transcripts show: what redis-server answered byte for byte, order, and clients that do harm.

mod golden;
mod receivers;
