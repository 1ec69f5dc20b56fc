//! Figures of what protects the server: refusals, limits, the audit log, tokens.

use std::sync::atomic::Ordering::Relaxed;

use super::{Family, Kind, counter, gauge, many};
use crate::execute::now_ms;

pub(super) const FAMILIES: &[Family] = &[
    many(
        Kind::Counter,
        "veddb_denials_total",
        "What was refused for want of a right: auth (a password or token), certificate, command, key, channel",
        &["reason"],
        |s, out| {
            let metrics = &s.server.metrics;
            for (reason, count) in [
                ("auth", &metrics.authentications_failed),
                ("certificate", &metrics.certificates_denied),
                ("command", &metrics.commands_denied),
                ("key", &metrics.keys_denied),
                ("channel", &metrics.channels_denied),
            ] {
                out.put(&[reason], count.load(Relaxed) as f64);
            }
        },
    ),
    many(
        Kind::Counter,
        "veddb_rate_limited_total",
        "What was over a limit: connections, requests, passwords (held up, or too many of one address at once)",
        &["what"],
        |s, out| {
            let (connections, requests) = s.server.limits.refused();
            let passwords = s.server.acl.passwords.refused();
            for (what, count) in [("connections", connections), ("requests", requests), ("passwords", passwords)] {
                out.put(&[what], count as f64);
            }
        },
    ),
    counter("veddb_audit_records_total", "Records in the audit log that were written since the start", |s| {
        Some(s.server.audit.written.load(Relaxed) as f64)
    }),
    counter("veddb_audit_records_lost_total", "Records that could not be written", |s| {
        Some(s.server.audit.lost.load(Relaxed) as f64)
    }),
    gauge("veddb_audit_failing", "1 while the audit log cannot be written", |s| {
        Some(f64::from(u8::from(s.server.audit.is_failing())))
    }),
    many(
        Kind::Gauge,
        "veddb_tokens",
        "Tokens that were issued here and have not expired: good, revoked",
        &["state"],
        |s, out| {
            let (good, revoked) = s.server.acl.tokens.count(now_ms());
            out.put(&["good"], good as f64);
            out.put(&["revoked"], revoked as f64);
        },
    ),
];
