use std::time::Instant;
use veddb_storage::document::json::*;
use veddb_storage::Document;
fn main() {
    let text = std::env::args().nth(1).unwrap();
    let n = 300_000;
    for _ in 0..2 {
    let t = Instant::now();
    let mut total = 0;
    for _ in 0..n { total += parse_document(text.as_bytes(), Default::default(), IdSource::Given("000000012345")).unwrap().body.len(); }
    println!("parse {:.0} ns", t.elapsed().as_nanos() as f64 / n as f64);
    let p = parse_document(text.as_bytes(), Default::default(), IdSource::Given("000000012345")).unwrap();
    let t = Instant::now();
    for _ in 0..n { let d = Document::new(1, p.body.clone()); total += d.json().len(); }
    println!("clone + render {:.0} ns", t.elapsed().as_nanos() as f64 / n as f64);
    let t = Instant::now();
    for _ in 0..n { let v: serde_json::Value = serde_json::from_str(&text).unwrap(); total += v.as_object().unwrap().len(); }
    println!("serde_json Value {:.0} ns  total {total} body {}", t.elapsed().as_nanos() as f64 / n as f64, p.body.len());
    }
}
