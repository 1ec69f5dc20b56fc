//! SUBSCRIBE, PUBLISH and the other commands of pub/sub. One file a command.

pub mod introspect;
pub mod psubscribe;
pub mod publish;
pub mod punsubscribe;
pub mod spublish;
pub mod ssubscribe;
pub mod subscribe;
pub mod sunsubscribe;
pub mod unsubscribe;

use crate::args::Args;
use crate::context::Session;
use crate::reply::Reply;
use crate::session::Subscription;

/// Subscribes to each argument; a message of its own for each.
fn subscribe(args: &Args, session: &mut dyn Session, kind: Subscription, word: &'static str) -> Reply {
    let mut replies = Vec::with_capacity(args.len() - 1);
    for name in args.from(1) {
        match session.subscribe(kind, name) {
            Ok(count) => replies.push(said(word, Reply::Bulk(name.clone()), count)),
            Err(error) => {
                // Those before it hold.
                replies.push(Reply::Error(error));
                break;
            }
        }
    }
    Reply::Several(replies)
}

/// The opposite; without arguments of all.
fn unsubscribe(args: &Args, session: &mut dyn Session, kind: Subscription, word: &'static str) -> Reply {
    let (all, count) = session.subscriptions(kind);
    let names = if args.len() > 1 { args.from(1) } else { &all };
    if names.is_empty() {
        return said(word, Reply::Null, count);
    }
    let one = |name| {
        let count = session.unsubscribe(kind, name);
        said(word, Reply::Bulk(name.clone()), count)
    };
    Reply::Several(names.iter().map(one).collect())
}

fn said(word: &'static str, name: Reply, count: usize) -> Reply {
    Reply::Push(vec![Reply::constant(word), name, Reply::count(count)])
}
