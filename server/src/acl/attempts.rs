//! Passwords that were wrong: how many each address and each user has had of late, and for how long no more are looked at.
//!
//! Owns the counts. An address has `limit-auth-failures` wrong passwords; each one after that doubles the time in which none of
//! its passwords is looked at, right or wrong. A user has [`USER_FACTOR`] times as many from all addresses together, and shorter
//! delays, which hold only for addresses that have had wrong ones themselves and from which it has not got in: whoever guesses must
//! not lock out who knows. Tokens are counted of their address alone: they cannot be guessed, and cost so little that counts of
//! users would be made faster than they are forgotten.
//!
//! Invariant: of one address no more passwords are looked at before it is known how they end than it may have wrong ones; the
//! others are when their turn comes, and once it has had as many wrong ones as it may, one at a time. A count goes when nothing has
//! failed for [`FORGET`], or the user gets in whose all the address's failures are: another one's success says nothing of them, nor
//! a token's of passwords.
//! Before that some go only where there are [`KNOWN_MAX`], and those are the ones with the fewest failures.

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
/// How many go at once where there are more. All of them are looked through for that.
const ROOM: usize = KNOWN_MAX / 16;
/// Pairs of user and address that are known to belong together.
const TRUSTED_MAX: usize = 16_384;

/// Users by a hash under a key of this process: names come from strangers, and are of any length.
type UserTag = u64;

/// What somebody wants to get in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    Password,
    Token,
}

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
    /// The user that all failures are of; none where they are several's.
    whose: Option<UserTag>,
    /// Whether any of them was a password.
    of_passwords: bool,
    /// One that is over an address's limit is being looked at.
    is_over: bool,
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
    proof: Proof,
    most: u32,
    /// It, and all that are pending, could be wrong without the limit being passed.
    early: bool,
    /// It is the one over the limit of its address that is being looked at.
    is_over: bool,
}

impl Counted {
    /// The user, where it has a count of this too.
    fn counted_user(&self) -> Option<UserTag> {
        counted_user(self.proof, self.user)
    }
}

fn counted_user(proof: Proof, user: UserTag) -> Option<UserTag> {
    (proof == Proof::Password).then_some(user)
}

impl Count {
    fn new(now: Instant) -> Count {
        Count { failures: 0, pending: 0, last: now, until: None, whose: None, of_passwords: false, is_over: false }
    }

    /// How long nothing is looked at any more.
    fn wait(&self, now: Instant) -> Option<Duration> {
        self.until?.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }

    /// Whether there are failures that still count.
    fn has_failed(&self, now: Instant) -> bool {
        self.failures > 0 && now.saturating_duration_since(self.last) <= FORGET
    }

    fn is_forgotten(&self, now: Instant) -> bool {
        self.pending == 0 && !self.has_failed(now)
    }

    /// Counts an attempt that is pending; whether it and all others could fail without the limit being passed.
    fn begin(&mut self, most: u32) -> bool {
        let fits = self.failures.saturating_add(self.pending) < most;
        self.pending += 1;
        fits
    }

    /// Counts one more that has failed.
    fn failed(&mut self, (proof, user): (Proof, UserTag), now: Instant, most: u32, longest: Duration) {
        if !self.has_failed(now) {
            (self.failures, self.whose, self.of_passwords) = (0, Some(user), false);
        } else if self.whose != Some(user) {
            self.whose = None;
        }
        self.of_passwords |= proof == Proof::Password;
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
    pub(super) fn begin(
        self: &Arc<Self>,
        proof: Proof,
        address: IpAddr,
        name: &[u8],
        most: u32,
    ) -> Result<Attempt, Duration> {
        self.begin_at(Instant::now(), proof, address, name, most)
    }

    fn begin_at(
        self: &Arc<Self>,
        now: Instant,
        proof: Proof,
        address: IpAddr,
        name: &[u8],
        most: u32,
    ) -> Result<Attempt, Duration> {
        if most == 0 {
            return Ok(Attempt { counted: None });
        }
        let user = self.tags.hash_one(name);
        let mut state = self.state.lock();
        state.look(now, address, counted_user(proof, user))?;
        let is_exempt = state.is_exempt(now, address, user);
        let fits = state.addresses.entry(address).or_insert_with(|| Count::new(now)).begin(most);
        let of_user = most.saturating_mul(USER_FACTOR);
        let fits_user = match counted_user(proof, user) {
            Some(user) => state.users.entry(user).or_insert_with(|| Count::new(now)).begin(of_user),
            None => true,
        };
        let early = fits && (fits_user || is_exempt);
        drop(state);
        let attempts = Arc::clone(self);
        Ok(Attempt { counted: Some(Counted { attempts, address, user, proof, most, early, is_over: false }) })
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
    /// Whether a user's delays do not hold for this address: it has got in from there, or nothing that counts has failed there.
    fn is_exempt(&self, now: Instant, address: IpAddr, user: UserTag) -> bool {
        let has_failed = self.addresses.get(&address).is_some_and(|count| count.has_failed(now));
        !has_failed || self.trusted.peek(&(user, address)).is_some()
    }

    /// Whether an attempt is looked at now.
    fn look(&self, now: Instant, address: IpAddr, user: Option<UserTag>) -> Result<(), Duration> {
        let of_address = self.addresses.get(&address).and_then(|count| count.wait(now));
        let user = user.filter(|user| !self.is_exempt(now, address, *user));
        let of_user = user.and_then(|user| self.users.get(&user)).and_then(|count| count.wait(now));
        match of_address.max(of_user) {
            Some(wait) => Err(wait),
            None => Ok(()),
        }
    }
}

/// Keeps a map within its bound: those with the fewest failures go, so that none with more can be driven out.
fn make_room<K: Hash + Eq + Copy>(counts: &mut HashMap<K, Count>, kept: &K, now: Instant) {
    if counts.len() <= KNOWN_MAX {
        return;
    }
    counts.retain(|key, count| key == kept || !count.is_forgotten(now));
    if counts.len() <= KNOWN_MAX {
        return;
    }
    let may_go = |key: &K, count: &Count| key != kept && count.pending == 0;
    let idle = counts.iter().filter(|(key, count)| may_go(key, count));
    let mut idle: Vec<_> = idle.map(|(_, count)| (count.failures, count.last)).collect();
    let mut left = ROOM.min(idle.len());
    let Some(last) = left.checked_sub(1) else { return };
    let (_, mildest, _) = idle.select_nth_unstable(last);
    let mildest = *mildest;
    counts.retain(|key, count| {
        let goes = left > 0 && may_go(key, count) && (count.failures, count.last) <= mildest;
        left -= usize::from(goes);
        !goes
    });
}

impl Attempt {
    /// Whether it may be looked at at once, before those that came earlier are done.
    pub(super) fn is_early(&self) -> bool {
        self.counted.as_ref().is_none_or(|counted| counted.early)
    }

    /// Whether it may be looked at now that those that came earlier are done. Over the limit of its address it may not while
    /// another one is: the delay lets one guess pass, and not as many as are computed at once.
    ///
    /// # Errors
    /// As [`Attempts::begin`].
    pub(super) fn look_again(&mut self) -> Result<(), Duration> {
        self.look_again_at(Instant::now())
    }

    fn look_again_at(&mut self, now: Instant) -> Result<(), Duration> {
        let Some(counted) = &mut self.counted else { return Ok(()) };
        let user = counted.counted_user();
        let mut state = counted.attempts.state.lock();
        state.look(now, counted.address, user)?;
        let Some(count) = state.addresses.get_mut(&counted.address) else { return Ok(()) };
        if !counted.is_over && count.has_failed(now) && count.failures >= counted.most {
            if count.is_over {
                return Err(FIRST);
            }
            (count.is_over, counted.is_over) = (true, true);
        }
        Ok(())
    }

    /// It was right: its address has no failures any more, if all of them were this user's. A token may be worth less than the
    /// password, so it clears those of tokens alone.
    pub(super) fn succeeded(self) {
        let Some(Counted { attempts, address, user, proof, .. }) = &self.counted else { return };
        let mut state = attempts.state.lock();
        if let Some(count) = state.addresses.get_mut(address)
            && count.whose == Some(*user)
            && (*proof == Proof::Password || !count.of_passwords)
        {
            (count.failures, count.until, count.whose) = (0, None, None);
        }
        if *proof == Proof::Password {
            state.trusted.insert((*user, *address), ());
        }
    }

    /// It was wrong.
    pub(super) fn failed(self) {
        self.failed_at(Instant::now());
    }

    fn failed_at(self, now: Instant) {
        let Some(counted) = &self.counted else { return };
        let Counted { attempts, address, user, proof, most, .. } = counted;
        let mut state = attempts.state.lock();
        let State { addresses, users, .. } = &mut *state;
        let count = addresses.entry(*address).or_insert_with(|| Count::new(now));
        count.failed((*proof, *user), now, *most, ADDRESS_DELAY_MAX);
        make_room(addresses, address, now);
        if let Some(user) = counted.counted_user() {
            let count = users.entry(user).or_insert_with(|| Count::new(now));
            count.failed((*proof, user), now, most.saturating_mul(USER_FACTOR), USER_DELAY_MAX);
            make_room(users, &user, now);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Some(counted) = &self.counted else { return };
        let mut state = counted.attempts.state.lock();
        let State { addresses, users, .. } = &mut *state;
        if counted.is_over
            && let Some(count) = addresses.get_mut(&counted.address)
        {
            count.is_over = false;
        }
        settle(addresses, &counted.address);
        if let Some(user) = counted.counted_user() {
            settle(users, &user);
        }
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
        match attempts.begin_at(now, Proof::Password, from, user.as_bytes(), 3) {
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
        let begin = || attempts.begin(Proof::Password, address(1), b"ada", 3).unwrap();
        let pending: Vec<_> = (0..5).map(|_| begin()).collect();
        assert_eq!(pending.iter().map(Attempt::is_early).collect::<Vec<_>>(), [true, true, true, false, false]);
        drop(pending);
        begin().failed();
        assert_eq!([begin().is_early(), begin().is_early()], [true, true]);
        let (one, other, mut third) = (begin(), begin(), begin());
        assert_eq!([&one, &other, &third].map(Attempt::is_early), [true, true, false]);
        one.failed();
        other.failed();
        assert!(third.look_again().is_err() && attempts.begin(Proof::Password, address(1), b"ada", 3).is_err());
        // Without a limit nothing is kept.
        assert!(attempts.begin(Proof::Password, address(1), b"ada", 0).unwrap().is_early());
    }

    #[test]
    fn a_token_does_not_make_room_for_passwords() {
        let attempts = Arc::new(Attempts::default());
        let begin = |proof| attempts.begin(proof, address(1), b"ada", 2);
        for _ in 0..2 {
            begin(Proof::Password).unwrap().failed();
            let _ = begin(Proof::Token).map(Attempt::succeeded);
        }
        assert!(begin(Proof::Password).is_err());
    }

    #[test]
    fn who_gets_in_has_no_failures_and_nothing_is_kept_of_it() {
        let attempts = Arc::new(Attempts::default());
        for _ in 0..10 {
            attempts.begin(Proof::Password, address(1), b"ada", 3).unwrap().failed();
            attempts.begin(Proof::Token, address(1), b"ada", 3).unwrap().failed();
            attempts.begin(Proof::Password, address(1), b"ada", 3).unwrap().succeeded();
            attempts.begin(Proof::Token, address(1), b"ada", 3).unwrap().failed();
            attempts.begin(Proof::Token, address(1), b"ada", 3).unwrap().succeeded();
        }
        assert!(attempts.state.lock().addresses.is_empty());
    }

    #[test]
    fn who_gets_in_clears_nothing_of_others() {
        let attempts = Arc::new(Attempts::default());
        let now = Instant::now();
        let gets_in = |user: &str| {
            attempts.begin_at(now, Proof::Password, address(1), user.as_bytes(), 3).unwrap().succeeded();
        };
        let failures = || attempts.state.lock().addresses.get(&address(1)).map_or(0, |count| count.failures);
        fail(&attempts, now, address(1), "ada");
        gets_in("eve");
        assert_eq!(failures(), 1, "another user's");
        gets_in("ada");
        assert_eq!(failures(), 0, "its own");
        for user in ["ada", "eve"] {
            fail(&attempts, now, address(1), user);
        }
        for user in ["ada", "eve"] {
            gets_in(user);
            assert_eq!(failures(), 2, "those of several");
        }
        // What is long ago is nobody's any more.
        let now = now + FORGET + Duration::from_secs(1);
        fail(&attempts, now, address(1), "eve");
        assert_eq!(failures(), 1);
        attempts.begin_at(now, Proof::Password, address(1), b"eve", 3).unwrap().succeeded();
        assert_eq!(failures(), 0);
    }

    #[test]
    fn over_the_limit_one_is_looked_at_at_a_time() {
        let attempts = Arc::new(Attempts::default());
        let mut now = Instant::now();
        for _ in 0..3 {
            fail(&attempts, now, address(1), "ada");
        }
        now += Duration::from_secs(1);
        let begin = |from, user: &str| attempts.begin_at(now, Proof::Password, from, user.as_bytes(), 3).unwrap();
        let (mut one, mut other) = (begin(address(1), "ada"), begin(address(1), "bob"));
        assert!(!one.is_early() && !other.is_early());
        assert_eq!(one.look_again_at(now), Ok(()));
        assert_eq!(one.look_again_at(now), Ok(()), "it is the one itself");
        assert_eq!(other.look_again_at(now), Err(FIRST));
        assert_eq!(begin(address(2), "ada").look_again_at(now), Ok(()), "another address");
        // One that nobody waits for any more leaves the place to the next.
        drop(one);
        assert_eq!(other.look_again_at(now), Ok(()));
        let mut third = begin(address(1), "ada");
        other.failed_at(now);
        assert_eq!(third.look_again_at(now), Err(Duration::from_secs(2)));
        assert_eq!(third.look_again_at(now + Duration::from_secs(2)), Ok(()));
    }

    #[test]
    fn tokens_are_counted_of_their_address_alone() {
        let attempts = Arc::new(Attempts::default());
        let now = Instant::now();
        let begin = |from| attempts.begin_at(now, Proof::Token, from, b"ada", 3);
        for _ in 0..3 {
            begin(address(1)).unwrap().failed_at(now);
        }
        assert_eq!(begin(address(1)).err(), Some(Duration::from_secs(1)));
        assert!(attempts.state.lock().users.is_empty());
        // Nor do they wait for passwords of the same user.
        for last in 2..32 {
            assert_eq!(fail(&attempts, now, address(last), "ada"), None);
        }
        assert_eq!(fail(&attempts, now, address(2), "ada"), Some(1));
        assert!(begin(address(2)).is_ok());
    }

    #[test]
    fn a_user_has_a_limit_from_everywhere_but_from_where_it_got_in() {
        let attempts = Arc::new(Attempts::default());
        let now = Instant::now();
        let begin = |last: u8| attempts.begin_at(now, Proof::Password, address(last), b"ada", 3);
        begin(200).unwrap().succeeded();
        for last in 0..15 {
            assert_eq!(fail(&attempts, now, address(last), "ada"), None);
            assert_eq!(fail(&attempts, now, address(last), "ada"), None);
        }
        // Where nothing has failed nobody waits for what others did, also after a start, when it is not known who has got in from where.
        assert!(begin(100).unwrap().is_early());
        assert_eq!(fail(&attempts, now, address(100), "bob"), None);
        assert_eq!(fail(&attempts, now, address(100), "ada"), Some(1));
        // It is the same for one that is not there: names are not looked up.
        assert_eq!(fail(&attempts, now, address(100), "bob"), None);
        assert_eq!(fail(&attempts, now, address(200), "bob"), None);
        assert!(begin(200).unwrap().is_early());
        // Long after they do not count any more.
        assert!(attempts.state.lock().is_exempt(now + FORGET + Duration::from_secs(1), address(100), 0));
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
        for known in [state.addresses.len(), state.users.len()] {
            assert!((KNOWN_MAX - ROOM..=KNOWN_MAX).contains(&known), "{known}");
        }
        assert!(state.addresses[&address(1)].until.is_some());
    }
}
