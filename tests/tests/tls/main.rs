//! TLS: who gets in and as whom, who does not, what links between servers believe, and that neither strangers nor new certificates
//! disturb a connection.

mod authority;
mod connections;
mod links;
mod users;
