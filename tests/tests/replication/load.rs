//! Somebody who writes: documents, keys, indexes, collections, transactions, as a seed has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;

use anyhow::Result;
use veddb_tests::{Client, Random, Server};

/// One random request, which may well be refused.
pub(crate) fn request(random: &mut Random) -> Vec<String> {
    let collection = format!("c{}", random.below(4));
    let id = random.below(300).to_string();
    let number = random.below(50).to_string();
    let text = "x".repeat(random.below(400));
    let key = format!("k{}", random.below(200));
    let words: Vec<String> = match random.below(40) {
        0..=13 => vec!["DOC.SET".into(), collection, id, format!(r#"{{"n":{number},"t":"{text}","a":[{number},1]}}"#)],
        14..=17 => vec!["DOC.INSERT".into(), collection, format!(r#"{{"n":{number},"t":"{text}"}}"#)],
        18..=20 => {
            let filter = format!(r#"{{"n":{number}}}"#);
            vec!["DOC.UPDATE".into(), collection, filter, r#"{"$inc":{"n":1},"$set":{"u":true}}"#.into()]
        }
        21..=22 => vec!["DOC.DEL".into(), collection, id],
        23 => vec!["DOC.DELETE".into(), collection, format!(r#"{{"n":{number}}}"#)],
        24 => vec!["DOC.EXPIRE".into(), collection, id, (1 + random.below(3)).to_string()],
        25..=28 => vec!["SET".into(), key, text],
        29 => vec!["SET".into(), key, text, "PX".into(), (1 + random.below(3000)).to_string()],
        30 => vec!["DEL".into(), key],
        31 => vec!["INCR".into(), format!("n{number}")],
        32 => {
            let field = ["n", "t", "a", "u"][random.below(4)];
            let mut words = vec!["IDX.CREATE".into(), collection, format!("by_{field}"), format!(r#"{{"{field}":1}}"#)];
            words.extend(random.one_in(4).then(|| "UNIQUE".to_owned()));
            words
        }
        33 => vec!["IDX.DROP".into(), collection, format!("by_{}", ["n", "t", "a", "u"][random.below(4)])],
        34 if random.one_in(8) => vec!["DOC.DROP".into(), collection],
        35 if random.one_in(8) => vec!["DOC.RENAME".into(), collection, format!("c{}", random.below(4))],
        36 => vec!["SELECT".into(), random.below(2).to_string()],
        37 if random.one_in(20) => vec!["FLUSHDB".into()],
        _ => vec!["DOC.SET".into(), collection, id, format!(r#"{{"n":{number}}}"#)],
    };
    words
}

/// Sends so many requests over one connection, some of them as transactions.
pub(crate) fn write(client: &mut Client, random: &mut Random, requests: usize) -> Result<()> {
    let mut sent = 0;
    while sent < requests {
        let count = 1 + random.below(8);
        let mut pipeline: Vec<Vec<String>> = (0..count).map(|_| request(random)).collect();
        if random.one_in(4) {
            pipeline.insert(0, vec!["MULTI".into()]);
            pipeline.push(vec!["EXEC".into()]);
        }
        client.pipeline(&pipeline)?;
        sent += count;
    }
    Ok(())
}

/// Writes until it is stopped, or the server is gone.
pub(crate) struct Writer {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Begins.
    pub(crate) fn start(server: &Server, seed: u64) -> Result<Writer> {
        let over = Arc::new(AtomicBool::new(false));
        let mut client = server.client()?;
        let until = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut random = Random::new(seed);
            while !until.load(SeqCst) && write(&mut client, &mut random, 20).is_ok() {}
        });
        Ok(Writer { over, thread: Some(thread) })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.over.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
