//! The documents of the benchmark: a customer with an address and orders, as many as the size asks for.

use serde_json::{Map, Value, json};

/// The city that FIND asks for, and the pattern of names.
pub(crate) const CITY: &str = "London";
pub(crate) const NAME: &str = "^Grace .*r$";
/// How many of 64 documents have that city, and how many such a name.
pub(crate) const EQUAL: usize = 16;
pub(crate) const MATCHING: usize = 16;

/// Compact JSON of about this many bytes; the same for the same seed.
pub(crate) fn document(seed: usize, bytes: usize) -> Vec<u8> {
    let city = ["Paris", CITY, "Oslo", "Lima"][seed % 4];
    let name = ["Ada Lovelace", "Alan Turing", "Grace Hopper", "Edsger Dijkstra"][seed / 4 % 4];
    let Value::Object(mut document) = json!({
        "_id": format!("customer-{seed:05}"),
        "name": name,
        "visits": seed * 31,
        "active": seed.is_multiple_of(3),
        "score": seed as f64 * 1.25 + 0.5,
        "tags": ["math", "computing", "poetry"],
        "address": {"street": format!("{} St James Square", seed + 1), "city": city, "zip": "SW1Y 4JH"},
        "orders": [],
    }) else {
        unreachable!("an object was written")
    };
    let mut orders = Vec::new();
    while text(&document).len() + 110 < bytes {
        orders.push(json!({
            "number": 1_000_000 + seed * 1000 + orders.len(),
            "item": "difference engine, brass, with 8 columns",
            "price": 19.99 + orders.len() as f64,
            "paid": true,
        }));
        document.insert("orders".to_owned(), Value::Array(orders.clone()));
    }
    let missing = bytes.saturating_sub(text(&document).len() + r#","note":"""#.len());
    document.insert("note".to_owned(), Value::String("x".repeat(missing)));
    text(&document)
}

fn text(document: &Map<String, Value>) -> Vec<u8> {
    serde_json::to_vec(document).expect("a map of values is JSON")
}
