//! DOC.*: documents and collections.
