//! Who may do what: users, roles and their rules, and the one check of a request against them.
//!
//! The grammar and the meaning of rules are Redis's; roles, and categories of documents, indexes and keys of encryption are added.
//! Owns no session and no storage: whoever keeps users hands them in, and asks.
//!
//! Invariant: what a request does to collections, keys and channels is read off its command's declaration, here and nowhere else.

pub mod accounts;
pub mod category;
mod denial;
pub mod keys;
pub mod password;
pub mod role;
pub mod rule;
pub mod selector;
pub mod user;

pub use accounts::Accounts;
pub use denial::{Denial, Reason};
pub use role::{Role, Roles};
pub use rule::RuleError;
pub use selector::Selector;
pub use user::User;
