//! The document that the programs of `tests/benches` write.

/// About 350 bytes.
pub(crate) fn document(id: u64) -> String {
    let noise: String = (0..14).map(|_| format!("{:08x}", rand::random::<u32>())).collect();
    format!(
        r#"{{"name":"customer {id}","email":"c{id}@example.com","age":{},"score":{},"active":true,"tags":["math","computing","poetry"],"address":{{"street":"{} St James Square","city":"London","zip":"SW1Y 4JH"}},"bio":"{noise}"}}"#,
        18 + id % 80,
        id % 10_000,
        id % 997
    )
}
