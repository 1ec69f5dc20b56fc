//! Tokens: who gets in with one, what it may do then, and that it is worth nothing once it has expired or was revoked.

mod foreign;
mod issued;
mod jwt;
mod replicas;
