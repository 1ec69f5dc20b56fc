//! Notifications: what happens to keys and documents, published on channels that are made of their names.
//!
//! The committer hands over what the units of a group noted once it is durable; a thread of its own publishes it, so that nobody
//! who writes waits for patterns to be matched. Its queue is bounded: when it is full the committer waits, and nothing is lost
//! that a subscriber has room for.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{OnceLock, Weak};

use veddb_storage::{Note, Store};

use crate::pubsub::mailbox::{Filled, wake};
use crate::server::Server;

/// Groups of notes that may wait to be published.
const QUEUE: usize = 64;

/// The setting `notify-keyspace-events`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct KeyEvents(u16);

/// The letters of classes that `A` stands for, in the order of Redis.
const CLASSES: &str = "g$lshzxetd";
/// The other letters, in the order of Redis: `__keyspace@..`, `__keyevent@..`, and keys that were not there before.
const OTHERS: &str = "KEn";

impl KeyEvents {
    fn bit(letter: char) -> Option<u16> {
        let at = CLASSES.chars().chain(OTHERS.chars()).position(|known| known == letter)?;
        u32::try_from(at).ok().and_then(|at| 1_u16.checked_shl(at))
    }

    fn all() -> u16 {
        CLASSES.chars().filter_map(KeyEvents::bit).sum()
    }

    fn has(self, letter: char) -> bool {
        KeyEvents::bit(letter).is_some_and(|bit| self.0 & bit != 0)
    }

    /// Reads the letters.
    ///
    /// # Errors
    /// Redis's, for a letter that is none.
    pub fn parse(text: &str) -> Result<KeyEvents, String> {
        let mut found = 0;
        for letter in text.chars() {
            found |= match letter {
                'A' => KeyEvents::all(),
                'm' => return Err("events of keys that were looked up in vain (m) are not published".to_owned()),
                _ => KeyEvents::bit(letter)
                    .ok_or_else(|| format!("Invalid event class character. Use 'A{CLASSES}{OTHERS}'."))?,
            };
        }
        Ok(KeyEvents(found))
    }

    /// Whether anything is published.
    pub(crate) fn is_on(self) -> bool {
        (self.has('K') || self.has('E')) && (self.0 & KeyEvents::all() != 0 || self.has('n'))
    }
}

impl fmt::Display for KeyEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 & KeyEvents::all() == KeyEvents::all() {
            f.write_str("A")?;
        } else {
            CLASSES.chars().filter(|letter| self.has(*letter)).try_for_each(|letter| write!(f, "{letter}"))?;
        }
        OTHERS.chars().filter(|letter| self.has(*letter)).try_for_each(|letter| write!(f, "{letter}"))
    }
}

/// Publishes from now on what the store's units note.
///
/// # Errors
/// When there can be no thread for it.
pub fn start(server: &Arc<Server>) -> std::io::Result<()> {
    let (sender, queue) = sync_channel(QUEUE);
    let _ = server.notes.0.set(sender);
    let publisher = Arc::downgrade(server);
    std::thread::Builder::new().name("veddb-notify".to_owned()).spawn(move || publish_all(&publisher, &queue))?;
    attach(server, &server.store());
    Ok(())
}

/// Where what the units of a store note is sent.
#[derive(Debug, Default)]
pub(crate) struct Notes(OnceLock<SyncSender<Vec<Note>>>);

/// Publishes from now on what the units of this store note.
pub(crate) fn attach(server: &Server, store: &Store) {
    let Some(sender) = server.notes.0.get().cloned() else { return };
    store.listen(Box::new(move |notes| {
        // The thread is gone when the server is.
        let _ = sender.send(notes);
    }));
    let settings = server.config.load();
    store.want_notes(settings.notify_keyspace_events.is_on(), settings.notify_doc_events);
}

fn publish_all(server: &Weak<Server>, queue: &Receiver<Vec<Note>>) {
    let mut filled = Filled::new();
    while let Ok(notes) = queue.recv() {
        let Some(server) = server.upgrade() else { return };
        if server.replication.is_replica() {
            // What its primary publishes of them comes over the link.
            continue;
        }
        for note in notes {
            publish(&server, &note, &mut filled);
        }
        wake(&mut filled);
    }
}

fn publish(server: &Server, note: &Note, filled: &mut Filled) {
    let settings = server.config.load();
    let limit = &settings.client_output_buffer_limit.pubsub;
    let mut send = |channel: &[u8], message: &[u8]| {
        server.publish(false, channel, &[message], limit, filled);
    };
    match note {
        Note::Key { db, class, event, key } => {
            let events = settings.notify_keyspace_events;
            if !events.has(*class) {
                return;
            }
            if events.has('K') {
                send(&[format!("__keyspace@{db}__:").as_bytes(), key].concat(), event.as_bytes());
            }
            if events.has('E') {
                send(format!("__keyevent@{db}__:{event}").as_bytes(), key);
            }
        }
        Note::Document { db, collection, op, id, version } => {
            if !settings.notify_doc_events {
                return;
            }
            let mut message = serde_json::json!({ "op": op, "coll": collection, "db": db });
            if let Some(members) = message.as_object_mut().filter(|_| *version != 0) {
                members.insert("id".to_owned(), String::from_utf8_lossy(id).into());
                members.insert("version".to_owned(), (*version).into());
            }
            send(format!("__doc@{collection}__").as_bytes(), message.to_string().as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::KeyEvents;

    #[test]
    fn letters_are_those_of_redis() {
        for (given, shown) in [
            ("", ""),
            ("KEA", "AKE"),
            ("K$lshzxeE", "$lshzxeKE"),
            ("KA", "AK"),
            ("g$lshzxetdKEn", "AKEn"),
            ("Kx", "xK"),
        ] {
            assert_eq!(KeyEvents::parse(given).unwrap().to_string(), shown, "{given}");
        }
        assert!(KeyEvents::parse("q").is_err() && KeyEvents::parse("m").is_err());
        let is_on = |text| KeyEvents::parse(text).unwrap().is_on();
        assert!(is_on("KA") && is_on("Ex") && is_on("Kn"));
        assert!(!is_on("") && !is_on("A") && !is_on("KE"));
    }
}
