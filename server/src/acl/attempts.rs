//! Passwords that were wrong: how many each address and each user has had of late, and for how long no more are looked at.
//!
//! Owns the counts. An address has `limit-auth-failures` wrong passwords; each one after that doubles the time in which none of
//! its passwords is looked at, right or wrong. A user has [`USER_FACTOR`] times as many from all addresses together, and shorter
//! delays, which do not hold for an address from which it has got in: whoever guesses must not lock out who knows.
//!
//! Invariant: of one address no more passwords are looked at before it is known how they end than it may have wrong ones; the
//! others are when their turn comes. A count goes when nothing has failed for [`FORGET`], or the address gets in; before that
//! only where there are [`KNOWN_MAX`], and it is the one with the fewest failures.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashlink::LruCache;
use parking_lot::Mutex;

/// The first delay.
const FIRST: Duration = Duration::from_secs(1);
/// The longest delay of an address, and of a user.
const ADDRESS_DELAY_MAX: Duration = Duration::from_secs(300);
const USER_DELAY_MAX: Duration = Duration::from_secs(10);
/// How many times as many failures a user may have as an address.
const USER_FACTOR: u32 = 10;
/// After so long without a failure those before do not count any more.
const FORGET: Duration = Duration::from_secs(600);
/// Counts of addresses, and of users, that are kept.
const KNOWN_MAX: usize = 65_536;
/// Pairs of user and address that are known to belong together.
const TRUSTED_MAX: usize = 16_384;

/// Users by a hash under a key of this process: names come from strangers, and are of any length.
type UserTag = u64;

/// All counts.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    state: Mutex<State>,
    tags: RandomState,
}

#[derive(Debug)]
struct State {
    addresses: HashMap<IpAddr, Count>,
    users: HashMap<UserTag, Count>,
    /// Which user has got in from where.
    trusted: LruCache<(UserTag, IpAddr), ()>,
}

impl Default for State {
    fn default() -> State {
        State { addresses: HashMap::new(), users: HashMap::new(), trusted: LruCache::new(TRUSTED_MAX) }
    }
}

/// What is known of one address or user.
#[derive(Debug, Clone, Copy)]
struct Count {
    failures: u32,
    /// Attempts whose end is not known yet.
    pending: u32,
    /// When the last one failed.
    last: Instant,
    /// Until when none is looked at.
    until: Option<Instant>,
}

/// One attempt to get in, from its beginning to its end.
#[derive(Debug)]
pub(super) struct Attempt {
    /// None where there is no limit.
    counted: Option<Counted>,
}

#[derive(Debug)]
struct Counted {
    attempts: Arc<Attempts>,
    address: IpAddr,
    user: UserTag,
    most: u32,
    /// It, and all that are pending, could be wrong without the limit being passed.
    early: bool,
}

impl Count {
    fn new(now: Instant) -> Count {
        Count { failures: 0, pending: 0, last: now, until: None }
    }

    /// How long nothing is looked at any more.
    fn wait(&self, now: Instant) -> Option<Duration> {
        self.until?.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }

    fn is_forgotten(&self, now: Instant) -> bool {
        self.pending == 0 && (self.failures == 0 || now.saturating_duration_since(self.last) > FORGET)
    }

    /// Counts an attempt that is pending; whether it and all others could fail without the limit being passed.
    fn begin(&mut self, most: u32) -> bool {
        let fits = self.failures.saturating_add(self.pending) < most;
        self.pending += 1;
        fits
    }

    /// Counts one more that has failed.
    fn failed(&mut self, now: Instant, most: u32, longest: Duration) {
        if now.saturating_duration_since(self.last) > FORGET {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.last = now;
        if let Some(over) = self.failures.checked_sub(most) {
            // Beyond 2^16 seconds it is longer than the longest anyway.
            self.until = Some(now + (FIRST * (1 << over.min(16))).min(longest));
        }
    }
}

impl Attempts {
    /// Begins an attempt to be this user; `most` is the setting, 0 is no limit.
    ///
    /// # Errors
    /// How long none is looked at any more.
    pub(super) fn begin(self: &Arc<Self>, address: IpAddr, name: &[u8], most: u32) -> Result<Attempt, Duration> {
        self.begin_at(Instant::now(), address, name, most)
    }

    fn begin_at(self: &Arc<Self>, now: Instant, address: IpAddr, name: &[u8], most: u32) -> Result<Attempt, Duration> {
        if most == 0 {
            return Ok(Attempt { counted: None });
        }
        let user = self.tags.hash_one(name);
        let mut state = self.state.lock();
        state.look(now, address, user)?;
        let is_trusted = state.is_trusted(address, user);
        let fits = state.addresses.entry(address).or_insert_with(|| Count::new(now)).begin(most);
        let of_user = most.saturating_mul(USER_FACTOR);
        let fits_user = state.users.entry(user).or_insert_with(|| Count::new(now)).begin(of_user);
        let early = fits && (fits_user || is_trusted);
        drop(state);
        Ok(Attempt { counted: Some(Counted { attempts: Arc::clone(self), address, user, most, early }) })
    }

    /// Forgets what is too long ago to count. To be called now and then.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let State { addresses, users, .. } = &mut *state;
        addresses.retain(|_, count| !count.is_forgotten(now));
        users.retain(|_, count| !count.is_forgotten(now));
        if addresses.is_empty() && users.is_empty() {
            (*addresses, *users) = (HashMap::new(), HashMap::new());
        }
    }
}

impl State {
    fn is_trusted(&self, address: IpAddr, user: UserTag) -> bool {
        self.trusted.peek(&(user, address)).is_some()
    }

    /// Whether an attempt is looked at now.
    fn look(&self, now: Instant, address: IpAddr, user: UserTag) -> Result<(), Duration> {
        let of_address = self.addresses.get(&address).and_then(|count| count.wait(now));
        let of_user = self.users.get(&user).and_then(|count| count.wait(now));
        match of_address.max(of_user.filter(|_| !self.is_trusted(address, user))) {
            Some(wait) => Err(wait),
            None => Ok(()),
        }
    }
}

/// Keeps a map within its bound: the one with the fewest failures goes, so that none with more can be driven out.
fn make_room<K: Hash + Eq + Copy>(counts: &mut HashMap<K, Count>, kept: &K, now: Instant) {
    if counts.len() <= KNOWN_MAX {
        return;
    }
    counts.retain(|key, count| key == kept || !count.is_forgotten(now));
    if counts.len() <= KNOWN_MAX {
        return;
    }
    let idle = counts.iter().filter(|(_, count)| count.pending == 0);
    let mildest = idle.min_by_key(|(_, count)| (count.failures, count.last)).map(|(key, _)| *key);
    if let Some(mildest) = mildest {
        counts.remove(&mildest);
    }
}

impl Attempt {
    /// Whether it may be looked at at once, before those that came earlier are done.
    pub(super) fn is_early(&self) -> bool {
        self.counted.as_ref().is_none_or(|counted| counted.early)
    }

    /// Whether it may be looked at now that those that came earlier are done.
    ///
    /// # Errors
    /// As [`Attempts::begin`].
    pub(super) fn look_again(&self) -> Result<(), Duration> {
        let Some(Counted { attempts, address, user, .. }) = &self.counted else { return Ok(()) };
        attempts.state.lock().look(Instant::now(), *address, *user)
    }

    /// It was right: its address has no failures any more.
    pub(super) fn succeeded(self) {
        let Some(Counted { attempts, address, user, .. }) = &self.counted else { return };
        let mut state = attempts.state.lock();
        if let Some(count) = state.addresses.get_mut(address) {
            (count.failures, count.until) = (0, None);
        }
        state.trusted.insert((*user, *address), ());
    }

    /// It was wrong.
    pub(super) fn failed(self) {
        self.failed_at(Instant::now());
    }

    fn failed_at(self, now: Instant) {
        let Some(Counted { attempts, address, user, most, .. }) = &self.counted else { return };
        let mut state = attempts.state.lock();
        let State { addresses, users, .. } = &mut *state;
        let count = addresses.entry(*address).or_insert_with(|| Count::new(now));
        count.failed(now, *most, ADDRESS_DELAY_MAX);
        make_room(addresses, address, now);
        let count = users.entry(*user).or_insert_with(|| Count::new(now));
        count.failed(now, most.saturating_mul(USER_FACTOR), USER_DELAY_MAX);
        make_room(users, user, now);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Some(Counted { attempts, address, user, .. }) = &self.counted else { return };
        let mut state = attempts.state.lock();
        let State { addresses, users, .. } = &mut *state;
        settle(addresses, address);
        settle(users, user);
    }
}

/// One attempt fewer is pending.
fn settle<K: Hash + Eq>(counts: &mut HashMap<K, Count>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        count.pending = count.pending.saturating_sub(1);
        if count.pending == 0 && count.failures == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn address(last: u8) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, last))
    }

    /// Has one attempt fail at this moment; how long it was told to wait instead, if it was.
    fn fail(attempts: &Arc<Attempts>, now: Instant, from: IpAddr, user: &str) -> Option<u64> {
        match attempts.begin_at(now, from, user.as_bytes(), 3) {
            Ok(attempt) => {
                attempt.failed_at(now);
                None
            }
            Err(wait) => Some(wait.as_secs()),
        }
    }

    #[test]
    fn delays_double_up_to_a_bound_and_are_forgotten() {
        let attempts = Arc::new(Attempts::default());
        let mut now = Instant::now();
        for _ in 0..3 {
            assert_eq!(fail(&attempts, now, address(1), "ada"), None);
        }
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert_eq!(fail(&attempts, now, address(1), "bob"), Some(expected), "whoever it wants to be");
            assert_eq!(fail(&attempts, now, address(2), "eve"), None, "another address");
            attempts.state.lock().addresses.remove(&address(2));
            now += Duration::from_secs(expected);
            assert_eq!(fail(&attempts, now, address(1), &format!("user {expected}")), None);
        }
        now += FORGET + Duration::from_secs(1);
        for _ in 0..3 {
            assert_eq!(fail(&attempts, now, address(1), "ada"), None);
        }
        assert_eq!(fail(&attempts, now, address(1), "ada"), Some(1));
    }

    #[test]
    fn no_more_are_looked_at_early_than_may_fail() {
        let attempts = Arc::new(Attempts::default());
        let begin = || attempts.begin(address(1), b"ada", 3).unwrap();
        let pending: Vec<_> = (0..5).map(|_| begin()).collect();
        assert_eq!(pending.iter().map(Attempt::is_early).collect::<Vec<_>>(), [true, true, true, false, false]);
        drop(pending);
        begin().failed();
        assert_eq!([begin().is_early(), begin().is_early()], [true, true]);
        let (one, other, third) = (begin(), begin(), begin());
        assert_eq!([&one, &other, &third].map(Attempt::is_early), [true, true, false]);
        one.failed();
        other.failed();
        assert!(third.look_again().is_err() && attempts.begin(address(1), b"ada", 3).is_err());
        // Without a limit nothing is kept.
        assert!(attempts.begin(address(1), b"ada", 0).unwrap().is_early());
    }

    #[test]
    fn who_gets_in_has_no_failures_and_nothing_is_kept_of_it() {
        let attempts = Arc::new(Attempts::default());
        for _ in 0..10 {
            attempts.begin(address(1), b"ada", 3).unwrap().failed();
            attempts.begin(address(1), b"ada", 3).unwrap().failed();
            attempts.begin(address(1), b"ada", 3).unwrap().succeeded();
        }
        assert!(attempts.state.lock().addresses.is_empty());
    }

    #[test]
    fn a_user_has_a_limit_from_everywhere_but_from_where_it_got_in() {
        let attempts = Arc::new(Attempts::default());
        let now = Instant::now();
        attempts.begin_at(now, address(200), b"ada", 3).unwrap().succeeded();
        for last in 0..15 {
            assert_eq!(fail(&attempts, now, address(last), "ada"), None);
            assert_eq!(fail(&attempts, now, address(last), "ada"), None);
        }
        assert_eq!(fail(&attempts, now, address(100), "ada"), Some(1));
        // It is the same for one that is not there: names are not looked up.
        assert_eq!(fail(&attempts, now, address(100), "bob"), None);
        assert!(attempts.begin_at(now, address(200), b"ada", 3).unwrap().is_early());
    }

    #[test]
    fn others_cannot_drive_out_who_has_failed_more() {
        let attempts = Arc::new(Attempts::default());
        let now = Instant::now();
        for _ in 0..3 {
            fail(&attempts, now, address(1), "ada");
        }
        for number in 0..KNOWN_MAX as u32 + 100 {
            let from = IpAddr::from(std::net::Ipv4Addr::from_bits(0x0b00_0000 + number));
            fail(&attempts, now + Duration::from_millis(1), from, &number.to_string());
        }
        let state = attempts.state.lock();
        assert_eq!((state.addresses.len(), state.users.len()), (KNOWN_MAX, KNOWN_MAX));
        assert!(state.addresses[&address(1)].until.is_some());
    }
}
