//! Replicas: equal to their primary after whatever happens to the link and to either side, and what is refused.

mod equality;
mod failover;
mod kills;
mod load;
mod pair;
mod peer;
mod refusals;
mod roles;
mod stalled;
mod swap;
