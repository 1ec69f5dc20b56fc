//! Expiries: how times and conditions are read, and refused, as Redis does. What DOC.SET, SET and the commands on expiries share.

use crate::args::Args;
use crate::context::WriteContext;
use crate::error::CommandError;
use crate::spec::Arg;

/// How a time is given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    unit_ms: i64,
    /// It counts from now, not from 1970.
    from_now: bool,
}

/// Seconds from now.
pub(crate) const EX: Clock = Clock { unit_ms: 1000, from_now: true };
/// Milliseconds from now.
pub(crate) const PX: Clock = Clock { unit_ms: 1, from_now: true };
/// Seconds since 1970.
pub(crate) const EXAT: Clock = Clock { unit_ms: 1000, from_now: false };
/// Milliseconds since 1970.
pub(crate) const PXAT: Clock = Clock { unit_ms: 1, from_now: false };

/// The words that introduce a time.
pub(crate) const CLOCKS: [(&str, Clock); 4] = [("EX", EX), ("PX", PX), ("EXAT", EXAT), ("PXAT", PXAT)];

/// When a document expires. What counts from now does so from the unit that it is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    ms: i64,
    from_now: bool,
}

impl Clock {
    /// Reads argument `at`; `command` is named where the time cannot be.
    pub(crate) fn read(
        self,
        args: &Args,
        at: usize,
        context: &WriteContext<'_>,
        command: &str,
    ) -> Result<Moment, CommandError> {
        let ms = args.integer(at)?.checked_mul(self.unit_ms);
        let now_ms = if self.from_now { i64::try_from(context.now_ms).unwrap_or(i64::MAX) } else { 0 };
        let Some(ms) = ms.filter(|ms| ms.checked_add(now_ms).is_some()) else { return Err(invalid_time(command)) };
        Ok(Moment { ms, from_now: self.from_now })
    }
}

/// Redis's answer to a time that cannot be.
fn invalid_time(command: &str) -> CommandError {
    CommandError::err(format!("invalid expire time in '{command}' command"))
}

impl Moment {
    /// The same, which must not be 0 or less as it was given.
    pub(crate) fn positive(self, command: &str) -> Result<Moment, CommandError> {
        if self.ms > 0 { Ok(self) } else { Err(invalid_time(command)) }
    }

    /// As documents have it. What lies before 1970 is as past as its first millisecond.
    pub(crate) fn expires_ms(self, now_ms: u64) -> u64 {
        let from_ms = if self.from_now { i64::try_from(now_ms).unwrap_or(i64::MAX) } else { 0 };
        u64::try_from(from_ms.saturating_add(self.ms)).unwrap_or(0).max(1)
    }
}

/// Which expiry a document must have to get another one.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Condition {
    /// None.
    none: bool,
    /// Any.
    some: bool,
    /// An earlier one.
    earlier: bool,
    /// A later one, or none.
    later: bool,
}

/// Its arguments.
pub(crate) const CONDITION: Arg = Arg::one_of(
    "condition",
    &[Arg::word("NX").required(), Arg::word("XX").required(), Arg::word("GT").required(), Arg::word("LT").required()],
)
.optional();

impl Condition {
    /// Reads the arguments from `from` on.
    pub(crate) fn read(args: &Args, from: usize) -> Result<Condition, CommandError> {
        let mut condition = Condition::default();
        for at in from..args.len() {
            let wanted = [
                ("NX", &mut condition.none),
                ("XX", &mut condition.some),
                ("GT", &mut condition.earlier),
                ("LT", &mut condition.later),
            ];
            let Some((_, found)) = wanted.into_iter().find(|(word, _)| args.is(at, word)) else {
                let option = String::from_utf8_lossy(args.bytes(at)).into_owned();
                return Err(CommandError::err(format!("Unsupported option {option}")));
            };
            *found = true;
        }
        let Condition { none, some, earlier, later } = condition;
        if none && (some || earlier || later) {
            return Err(CommandError::err("NX and XX, GT or LT options at the same time are not compatible"));
        }
        if earlier && later {
            return Err(CommandError::err("GT and LT options at the same time are not compatible"));
        }
        Ok(condition)
    }

    /// No expiry is later than any.
    pub(crate) fn holds(self, now_ms: u64, then_ms: u64) -> bool {
        let Condition { none, some, earlier, later } = self;
        let has = now_ms != 0;
        !(none && has || some && !has || earlier && (!has || then_ms <= now_ms) || later && has && then_ms >= now_ms)
    }
}

/// Milliseconds as seconds, rounded as Redis rounds.
pub(crate) fn seconds(ms: u64) -> u64 {
    ms.saturating_add(500) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Limits;
    use bytes::Bytes;

    fn args(words: &[&str]) -> Args {
        Args::new(words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect())
    }

    #[track_caller]
    fn check_time(clock: Clock, text: &str, expected: Result<u64, &str>) {
        let limits = Limits::default();
        let context = WriteContext { db: 0, now_ms: 5000, limits: &limits, resp3: false };
        let read = clock.read(&args(&[text]), 0, &context, "c").map(|moment| moment.expires_ms(5000));
        assert_eq!(read.map_err(|error| error.to_string()), expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn times_are_read_as_redis_reads_them() {
        check_time(EX, "7", Ok(12_000));
        check_time(PX, "7", Ok(5007));
        check_time(EXAT, "7", Ok(7000));
        check_time(PXAT, "7", Ok(7));
        check_time(EX, "-7", Ok(1));
        check_time(PX, "-7", Ok(4993));
        check_time(PXAT, "0", Ok(1));
        check_time(PXAT, "9223372036854775807", Ok(i64::MAX as u64));
        let invalid = Err("ERR invalid expire time in 'c' command");
        check_time(PX, "9223372036854775807", invalid);
        check_time(PX, "9223372036854770808", invalid);
        check_time(PX, "9223372036854770807", Ok(i64::MAX as u64));
        check_time(EX, "9223372036854775807", invalid);
        check_time(EXAT, "-9223372036854775807", invalid);
        check_time(EX, "1.5", Err("ERR value is not an integer or out of range"));
    }

    #[test]
    fn conditions_hold_as_in_redis() {
        let holds = |words: &[&str], now_ms, then_ms| Condition::read(&args(words), 0).unwrap().holds(now_ms, then_ms);
        assert!(holds(&[], 0, 5) && holds(&[], 5, 5));
        assert!(holds(&["nx"], 0, 5) && !holds(&["NX"], 9, 5));
        assert!(!holds(&["XX"], 0, 5) && holds(&["xx"], 9, 5));
        assert!(!holds(&["GT"], 0, 5) && !holds(&["GT"], 5, 5) && holds(&["GT"], 4, 5));
        assert!(holds(&["LT"], 0, 5) && !holds(&["LT"], 5, 5) && holds(&["LT"], 6, 5));
        assert!(!holds(&["XX", "LT"], 0, 5) && holds(&["XX", "LT"], 6, 5));
        for words in [&["NX", "XX"][..], &["NX", "GT"], &["LT", "NX"], &["GT", "LT"], &["EX"]] {
            assert!(Condition::read(&args(words), 0).is_err(), "{words:?}");
        }
    }

    #[test]
    fn seconds_are_rounded() {
        assert_eq!([0, 499, 500, 1499, 1500, u64::MAX].map(seconds), [0, 0, 1, 1, 2, u64::MAX / 1000]);
    }
}
