//! The settings of the console.

use super::kind::{boolean, integer};
use super::table::{I32, Setting, put, yes_no};

pub(super) const HTTP_CONSOLE: Setting = Setting::live(
    "http-console",
    "Whether http-port has the console, a page at /console/.",
    |s| yes_no(s.console.is_on),
    |s, v| put(&mut s.console.is_on, boolean(v)),
);
pub(super) const HTTP_SESSION_TIMEOUT: Setting = Setting::live(
    "http-session-timeout",
    "Seconds after which a session of the console ends that nobody uses.",
    |s| s.console.session_timeout_s.to_string(),
    |s, v| put(&mut s.console.session_timeout_s, integer(v, 1..=I32)),
);
pub(super) const HTTP_SESSIONS_MAX: Setting = Setting::live(
    "http-sessions-max",
    "Sessions of the console at once; each is a client's connection as well.",
    |s| s.console.sessions_max.to_string(),
    |s, v| put(&mut s.console.sessions_max, integer(v, 0..=10_000)),
);
