//! The query language: what filters, updates and plans do with documents.

pub(crate) mod jsonpath;
