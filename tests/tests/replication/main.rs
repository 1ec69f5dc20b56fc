//! Replicas: equal to their primary after whatever happens to the link and to either side, and what is refused.

mod equality;
mod kills;
mod load;
mod pair;
mod refusals;
mod roles;
mod stalled;
