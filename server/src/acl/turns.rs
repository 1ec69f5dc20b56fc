//! Whose password is computed next: those of one address wait for one another, and addresses take turns.
//!
//! Owns who waits. However many passwords one address sends, another one's waits for at most one of each address.
//!
//! Invariant: no more turns are given at once than there are; one that nobody waits for any more goes to the next.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Passwords of one address that wait at most; each is of a connection that waits for its answer.
pub(super) const WAITING_MAX: usize = 512;

/// Gives turns.
#[derive(Debug)]
pub(super) struct Turns {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Of the addresses that wait for any, in the order in which they come next.
    order: VecDeque<IpAddr>,
    /// Who waits, by address; never empty.
    waiting: HashMap<IpAddr, VecDeque<oneshot::Sender<Turn>>>,
}

/// Leave to compute one password. It goes on to the next when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Option<Arc<Turns>>,
}

impl Turns {
    /// So many at once.
    pub(super) fn new(count: usize) -> Arc<Turns> {
        let state = State { free: count, order: VecDeque::new(), waiting: HashMap::new() };
        Arc::new(Turns { state: Mutex::new(state) })
    }

    /// Waits for a turn; None where too many of the same address wait already.
    pub(super) async fn take(self: &Arc<Self>, address: IpAddr) -> Option<Turn> {
        let turn = {
            let mut state = self.state.lock();
            if state.free > 0 {
                state.free -= 1;
                return Some(Turn { turns: Some(Arc::clone(self)) });
            }
            state.join(address)?
        };
        turn.await.ok()
    }

    fn pass_on(self: Arc<Self>) {
        loop {
            let next = {
                let mut state = self.state.lock();
                let next = state.next();
                if next.is_none() {
                    state.free += 1;
                }
                next
            };
            let Some(next) = next else { return };
            match next.send(Turn { turns: Some(Arc::clone(&self)) }) {
                Ok(()) => return,
                // Whoever waited is gone: this turn is still to be given.
                Err(mut back) => back.turns = None,
            }
        }
    }
}

impl State {
    /// Has somebody wait, unless too many do.
    fn join(&mut self, address: IpAddr) -> Option<oneshot::Receiver<Turn>> {
        let is_new = !self.waiting.contains_key(&address);
        let waiting = self.waiting.entry(address).or_default();
        if waiting.len() >= WAITING_MAX {
            waiting.retain(|one| !one.is_closed());
        }
        if waiting.len() >= WAITING_MAX {
            return None;
        }
        if is_new {
            self.order.push_back(address);
        }
        let (sender, receiver) = oneshot::channel();
        waiting.push_back(sender);
        Some(receiver)
    }

    /// The next one, of the address whose turn it is.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let address = self.order.pop_front()?;
        let waiting = self.waiting.get_mut(&address)?;
        let next = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&address);
        } else {
            self.order.push_back(address);
        }
        next
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.turns.take() {
            turns.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    /// Begins to wait, as far as joining the queue goes.
    fn wait(turns: &Turns, address: IpAddr) -> Option<oneshot::Receiver<Turn>> {
        turns.state.lock().join(address)
    }

    #[tokio::test]
    async fn addresses_take_turns() {
        let turns = Turns::new(1);
        let first = turns.take(ONE).await.unwrap();
        let mut waiting: Vec<_> = [ONE, ONE, ONE, OTHER].map(|address| wait(&turns, address).unwrap()).into();
        let mut given = Vec::new();
        let mut held = Some(first);
        for _ in 0..4 {
            drop(held.take());
            let at = waiting.iter_mut().position(|one| match one.try_recv() {
                Ok(turn) => held.replace(turn).is_none(),
                Err(_) => false,
            });
            given.push(at.unwrap());
        }
        assert_eq!(given, [0, 3, 1, 2]);
        drop(held);
        let state = turns.state.lock();
        assert_eq!((state.free, state.order.len(), state.waiting.len()), (1, 0, 0));
    }

    #[tokio::test]
    async fn who_is_gone_is_passed_over_and_does_not_count() {
        let turns = Turns::new(1);
        let first = turns.take(ONE).await.unwrap();
        let gone: Vec<_> = (0..WAITING_MAX).map(|_| wait(&turns, ONE).unwrap()).collect();
        assert!(wait(&turns, ONE).is_none());
        let mut other = wait(&turns, OTHER).unwrap();
        drop(gone);
        let mut last = wait(&turns, ONE).unwrap();
        let left_at_once = wait(&turns, ONE).unwrap();
        drop(left_at_once);
        drop(first);
        // Those who are left, each once, whoever comes first.
        let turn = last.try_recv().or_else(|_| other.try_recv()).unwrap();
        assert!(last.try_recv().is_err() && other.try_recv().is_err());
        drop(turn);
        drop(last.try_recv().or_else(|_| other.try_recv()).unwrap());
        // A turn that was given and not taken goes on as well.
        assert_eq!(turns.state.lock().free, 1);
        let held = turns.take(ONE).await.unwrap();
        let given = wait(&turns, ONE).unwrap();
        drop(held);
        drop(given);
        assert_eq!(turns.state.lock().free, 1);
    }
}
