//! How much one address and one user may ask for in a second: token buckets. How many wrong passwords they may have is `acl`'s.
//!
//! Owns what each of them has used lately, and forgets whoever has a whole bucket again. What is over a limit is refused
//! with the time after which it may be tried again; nothing waits.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use veddb_commands::{CommandError, ErrorCode};

/// What may be used in a second; 0 is no limit. A whole second's worth may be used at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table of settings documents each by its name")]
pub struct Settings {
    pub address_bytes: u32,
    pub address_commands: u32,
    pub address_connections: u32,
    pub user_commands: u32,
    pub user_bytes: u32,
    pub user_connections: u32,
    /// Wrong passwords of one address, not in a second: what comes after them is held up ever longer.
    pub auth_failures: u32,
}

/// Addresses that are known at once, beside those that are connected. Others wait for a sweep, so that strangers take no more memory
/// than that.
const KNOWN_MAX: usize = 100_000;

/// How often those are forgotten who have a whole bucket again.
const SWEEP: Duration = Duration::from_secs(1);

type Limiter<K> = RateLimiter<K, DashMapStateStore<K>, DefaultClock>;

/// What a connection has taken out of the buckets beyond what it has used: so that not every request of a pipeline goes to them. Of
/// each no more than what fills it in a millisecond.
#[derive(Debug, Default)]
pub(crate) struct Held {
    address_commands: u32,
    address_bytes: u32,
    user_commands: u32,
    user_bytes: u32,
}

impl Held {
    /// What was taken of a user's buckets is nobody else's.
    pub(crate) fn forget_user(&mut self) {
        (self.user_commands, self.user_bytes) = (0, 0);
    }
}

/// One limit of many buckets. There is no limiter where there is no limit.
struct Bucket<K: Hash + Eq + Clone> {
    limiter: ArcSwapOption<Limiter<K>>,
    /// What a connection may take ahead.
    ahead: AtomicU32,
    refused: AtomicU64,
}

impl<K: Hash + Eq + Clone> Default for Bucket<K> {
    fn default() -> Bucket<K> {
        Bucket { limiter: ArcSwapOption::empty(), ahead: AtomicU32::new(0), refused: AtomicU64::new(0) }
    }
}

impl<K: Hash + Eq + Clone> Bucket<K> {
    fn set(&self, a_second: u32) {
        self.ahead.store(a_second / 1000, Relaxed);
        let quota = NonZeroU32::new(a_second).map(Quota::per_second);
        self.limiter.store(quota.map(|quota| Arc::new(RateLimiter::dashmap(quota))));
    }

    /// Takes so many of what is held, and where that is not enough out of the bucket of `key`.
    fn take_of(&self, held: &mut u32, key: impl FnOnce() -> K, count: u32) -> Result<(), Duration> {
        if let Some(left) = held.checked_sub(count) {
            *held = left;
            return Ok(());
        }
        let limiter = self.limiter.load();
        let Some(limiter) = &*limiter else { return Ok(()) };
        let (key, ahead) = (key(), self.ahead.load(Relaxed));
        if let Some(both) = NonZeroU32::new(count.saturating_add(ahead)).filter(|_| ahead > 0)
            && let Ok(Ok(())) = limiter.check_key_n(&key, both)
        {
            *held = held.saturating_add(ahead).min(ahead);
            return Ok(());
        }
        self.take(&key, count)
    }

    /// Takes so many out of the bucket of `key`; after how long they are there, where they are not.
    fn take(&self, key: &K, count: u32) -> Result<(), Duration> {
        let limiter = self.limiter.load();
        let (Some(limiter), Some(count)) = (&*limiter, NonZeroU32::new(count)) else { return Ok(()) };
        let taken = match limiter.check_key_n(key, count) {
            Ok(taken) => taken,
            // More than a whole bucket: it takes what there is, so that it passes once in a while.
            Err(whole) => match NonZeroU32::new(whole.0).map(|whole| limiter.check_key_n(key, whole)) {
                Some(Ok(taken)) => taken,
                _ => Ok(()),
            },
        };
        taken.map_err(|not_until| {
            self.refused.fetch_add(1, Relaxed);
            not_until.wait_time_from(DefaultClock::default().now())
        })
    }

    /// Whether it knows as many as it may.
    fn is_full(&self) -> bool {
        self.limiter.load().as_ref().is_some_and(|limiter| limiter.len() >= KNOWN_MAX)
    }

    fn forget(&self) {
        if let Some(limiter) = &*self.limiter.load() {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// The limits of a running server.
#[derive(Default)]
pub(crate) struct Limits {
    address_bytes: Bucket<IpAddr>,
    address_commands: Bucket<IpAddr>,
    address_connections: Bucket<IpAddr>,
    user_commands: Bucket<Bytes>,
    user_bytes: Bucket<Bytes>,
    user_connections: Bucket<Bytes>,
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Limits")
    }
}

impl Limits {
    /// Holds to these from now on; everybody's buckets are whole where one changed.
    pub(crate) fn set(&self, before: &Settings, after: &Settings) {
        let changed = |of: fn(&Settings) -> u32| Some(of(after)).filter(|now| *now != of(before));
        changed(|s| s.address_bytes).into_iter().for_each(|now| self.address_bytes.set(now));
        changed(|s| s.address_commands).into_iter().for_each(|now| self.address_commands.set(now));
        changed(|s| s.address_connections).into_iter().for_each(|now| self.address_connections.set(now));
        changed(|s| s.user_commands).into_iter().for_each(|now| self.user_commands.set(now));
        changed(|s| s.user_bytes).into_iter().for_each(|now| self.user_bytes.set(now));
        changed(|s| s.user_connections).into_iter().for_each(|now| self.user_connections.set(now));
    }

    /// Counts a connection that an address makes.
    ///
    /// # Errors
    /// `RATELIMIT` where it has made too many.
    pub(crate) fn connect(&self, address: IpAddr) -> Result<(), CommandError> {
        // Only connections bring addresses that are not known; of users there are no more than the accounts.
        let is_full = [&self.address_connections, &self.address_commands, &self.address_bytes]
            .iter()
            .any(|bucket| bucket.is_full());
        let taken = if is_full {
            self.address_connections.refused.fetch_add(1, Relaxed);
            Err(SWEEP)
        } else {
            self.address_connections.take(&network(address), 1)
        };
        taken.map_err(|wait| refused("limit-address-connections", wait))
    }

    /// Counts a connection that becomes a user, whose password or token was right.
    ///
    /// # Errors
    /// `RATELIMIT` where too many have become that one.
    pub(crate) fn enter(&self, user: &Bytes) -> Result<(), CommandError> {
        self.user_connections.take(user, 1).map_err(|wait| refused("limit-user-connections", wait))
    }

    /// Counts a request of so many bytes. Who has not got in is no user yet, so that strangers use nothing up of anybody's.
    ///
    /// # Errors
    /// `RATELIMIT` where the address or the user has asked for too much.
    pub(crate) fn request(
        &self,
        held: &mut Held,
        address: IpAddr,
        user: Option<&Bytes>,
        bytes: usize,
    ) -> Result<(), CommandError> {
        let (network, bytes) = (|| network(address), u32::try_from(bytes).unwrap_or(u32::MAX));
        let over = |limit| move |wait| refused(limit, wait);
        self.address_commands
            .take_of(&mut held.address_commands, network, 1)
            .map_err(over("limit-address-commands"))?;
        self.address_bytes.take_of(&mut held.address_bytes, network, bytes).map_err(over("limit-address-bytes"))?;
        let Some(user) = user else { return Ok(()) };
        self.user_commands.take_of(&mut held.user_commands, || user.clone(), 1).map_err(over("limit-user-commands"))?;
        self.user_bytes.take_of(&mut held.user_bytes, || user.clone(), bytes).map_err(over("limit-user-bytes"))
    }

    /// Forgets those who have not asked for anything lately. To be called every [`SWEEP`].
    pub(crate) fn sweep(&self) {
        self.address_bytes.forget();
        self.address_commands.forget();
        self.address_connections.forget();
        self.user_commands.forget();
        self.user_bytes.forget();
        self.user_connections.forget();
    }

    /// What was refused since the start: connections, and requests.
    pub(crate) fn refused(&self) -> (u64, u64) {
        let connections = [&self.address_connections.refused, &self.user_connections.refused];
        let by_address = [&self.address_commands.refused, &self.address_bytes.refused];
        let by_user = [&self.user_commands.refused, &self.user_bytes.refused];
        let sum = |counts: [&AtomicU64; 2]| counts.iter().map(|count| count.load(Relaxed)).sum::<u64>();
        (sum(connections), sum(by_address) + sum(by_user))
    }
}

/// Whose bucket an address takes from. Whoever has one IPv6 address has 2^64 of them.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

/// What is said to who is over a limit.
pub(crate) fn refused(limit: &str, wait: Duration) -> CommandError {
    let wait_ms = wait.as_millis().max(1);
    CommandError::new(ErrorCode::RateLimit, format!("{limit} is reached, try again in {wait_ms} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(settings: Settings) -> Limits {
        let limits = Limits::default();
        limits.set(&Settings::default(), &settings);
        limits
    }

    #[test]
    fn a_bucket_holds_a_second_and_each_has_its_own() {
        let limits = limits(Settings { address_commands: 3, user_bytes: 100, ..Settings::default() });
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let user = Bytes::from_static(b"ada");
        for _ in 0..3 {
            limits.request(&mut Held::default(), one, Some(&user), 1).unwrap();
        }
        let error = limits.request(&mut Held::default(), one, Some(&user), 1).unwrap_err().to_string();
        assert!(error.starts_with("RATELIMIT limit-address-commands is reached, try again in "), "{error}");
        limits.request(&mut Held::default(), other, Some(&user), 97).unwrap();
        assert!(
            limits
                .request(&mut Held::default(), other, Some(&user), 1)
                .unwrap_err()
                .to_string()
                .contains("limit-user-bytes")
        );
        // More than a bucket takes all of it.
        limits.request(&mut Held::default(), other, Some(&Bytes::from_static(b"eve")), 1_000_000).unwrap();
        assert!(
            limits
                .request(&mut Held::default(), IpAddr::from([10, 0, 0, 3]), Some(&Bytes::from_static(b"eve")), 1)
                .is_err()
        );
        assert_eq!(limits.refused(), (0, 3));
    }

    #[test]
    fn a_network_of_ipv6_is_one_and_who_is_done_is_forgotten() {
        let limits = limits(Settings { address_connections: 1, ..Settings::default() });
        limits.connect("2001:db8::1".parse().unwrap()).unwrap();
        assert!(limits.connect("2001:db8::2".parse().unwrap()).is_err());
        limits.connect("2001:db8:0:1::1".parse().unwrap()).unwrap();
        limits.connect("::ffff:10.0.0.1".parse().unwrap()).unwrap();
        assert!(limits.connect("10.0.0.1".parse().unwrap()).is_err());
        let known = || limits.address_connections.limiter.load().as_ref().map_or(0, |limiter| limiter.len());
        assert_eq!(known(), 3);
        while known() > 0 {
            std::thread::sleep(Duration::from_millis(20));
            limits.sweep();
        }
    }

    #[test]
    fn without_limits_nothing_is_kept() {
        let limits = limits(Settings::default());
        for _ in 0..1000 {
            limits
                .request(&mut Held::default(), IpAddr::from([10, 0, 0, 1]), Some(&Bytes::from_static(b"ada")), 1 << 30)
                .unwrap();
        }
        assert!(limits.user_bytes.limiter.load().is_none());
    }

    #[test]
    fn what_is_taken_ahead_is_used_and_no_more_is_let_through() {
        let limits = limits(Settings { address_commands: 10_000, ..Settings::default() });
        let address = IpAddr::from([10, 0, 0, 1]);
        let begun = std::time::Instant::now();
        let (mut one, mut other, mut through) = (Held::default(), Held::default(), 0_u64);
        for _ in 0..100_000 {
            through += u64::from(limits.request(&mut one, address, None, 1).is_ok());
            through += u64::from(limits.request(&mut other, address, None, 1).is_ok());
        }
        let most = 10_000 + begun.elapsed().as_millis() as u64 * 10 + 20;
        assert!((10_000..=most).contains(&through), "{through} came through, at most {most} may");
        assert!(one.address_commands <= 10 && other.address_commands <= 10);
    }
}
