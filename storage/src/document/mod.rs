//! Documents: typed values, their stored form, their JSON, their order, paths into them and filters over them.
//!
//! Does not know where documents are kept.

pub mod bounds;
pub mod codec;
pub mod expression;
pub mod filter;
pub mod id;
pub mod json;
pub mod order;
pub mod ordered;
pub mod path;
pub mod record;
pub mod regex;
pub mod rows;
pub mod value;

pub use codec::{Packed, RawArray, RawObject, ValueRef};
pub use expression::Expression;
pub use filter::Filter;
pub use value::{Kind, Object, Value};
