//! How many connections the HTTP port has, and whose.
//!
//! Invariant: what other machines do leaves room for this one: whoever watches from here is let in, however many come from there.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::limits::network;
use crate::listener::is_loopback;

/// Connections at once.
pub(super) const CONNECTIONS_MAX: usize = 128;
/// So many of them are for this machine alone.
const RESERVED: usize = 32;
/// So many may be of one other address, or of one /64 of IPv6.
const OF_ONE_MAX: usize = 16;

/// Lets connections in and counts them.
#[derive(Debug, Default)]
pub(super) struct Door(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    taken: usize,
    /// Of other machines, by their addresses.
    by_peer: HashMap<IpAddr, usize>,
}

/// The place of one connection, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    door: Arc<Door>,
    /// None where it is of this machine.
    peer: Option<IpAddr>,
}

impl Door {
    /// A place for a connection of this address; none where there is no room for it.
    pub(super) fn enter(self: &Arc<Door>, address: IpAddr) -> Option<Place> {
        let peer = (!is_loopback(address)).then(|| network(address));
        let mut places = self.0.lock();
        let most = if peer.is_some() { CONNECTIONS_MAX - RESERVED } else { CONNECTIONS_MAX };
        if places.taken >= most {
            return None;
        }
        if let Some(peer) = peer {
            let of_one = places.by_peer.entry(peer).or_default();
            if *of_one >= OF_ONE_MAX {
                return None;
            }
            *of_one += 1;
        }
        places.taken += 1;
        Some(Place { door: Arc::clone(self), peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.door.0.lock();
        places.taken -= 1;
        let Some(peer) = self.peer else { return };
        if let Some(of_one) = places.by_peer.get_mut(&peer) {
            *of_one -= 1;
            if *of_one == 0 {
                places.by_peer.remove(&peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(door: &Arc<Door>, address: &str) -> Option<Place> {
        door.enter(address.parse().unwrap())
    }

    #[test]
    fn others_leave_room_for_this_machine_and_for_each_other() {
        let door = Arc::new(Door::default());
        let one: Vec<Place> = (0..OF_ONE_MAX).filter_map(|_| enter(&door, "10.0.0.1")).collect();
        assert_eq!(one.len(), OF_ONE_MAX);
        assert!(enter(&door, "10.0.0.1").is_none() && enter(&door, "::ffff:10.0.0.1").is_none());
        let hosts = (0..1000).map(|at| format!("10.0.{}.{}", 1 + at / 250, at % 250));
        let others: Vec<Place> = hosts.filter_map(|host| enter(&door, &host)).collect();
        assert_eq!(one.len() + others.len(), CONNECTIONS_MAX - RESERVED);
        let own: Vec<Place> = (0..1000).filter_map(|_| enter(&door, "127.0.0.1")).collect();
        assert_eq!(own.len(), RESERVED);
        drop((one, others, own));
        let places = door.0.lock();
        assert!(places.taken == 0 && places.by_peer.is_empty(), "{places:?}");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let door = Arc::new(Door::default());
        let held: Vec<Place> = (0..100).filter_map(|at| enter(&door, &format!("2001:db8::{at:x}"))).collect();
        assert_eq!(held.len(), OF_ONE_MAX);
        assert!(enter(&door, "2001:db8:0:1::1").is_some());
    }
}
