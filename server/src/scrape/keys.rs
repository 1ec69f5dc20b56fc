//! Figures of the data keys and of their rotation.

use veddb_storage::KeyStatus;
use veddb_storage::seal::Phase;

use super::{Family, Kind, Sight, gauge, many};

const STATES: [Phase; 4] = [Phase::Idle, Phase::ReEncrypting, Phase::Completed, Phase::Failed];

pub(super) const FAMILIES: &[Family] = &[
    gauge("veddb_data_keys", "Data keys in the keyring", |s| status(s, |status| Some(status.keys.len() as f64))),
    many(
        Kind::Gauge,
        "veddb_key_records",
        "Records under a data key, as counted last: by a rotation, or by KEY.LIST",
        &["key"],
        |s, out| {
            let Some(data) = &s.data else { return };
            for (id, count) in data.store.data_keys().last_count() {
                out.put(&[&id.to_string()], count as f64);
            }
        },
    ),
    many(
        Kind::Gauge,
        "veddb_rotation_state",
        "1 of the state that the rotation is in, or the last one ended in",
        &["state"],
        |s, out| {
            let Some(data) = &s.data else { return };
            let phase = data.keys.rotation.phase;
            for state in STATES {
                out.put(&[state.as_str()], f64::from(u8::from(state == phase)));
            }
        },
    ),
    gauge("veddb_rotation_paused", "1 while it waits for KEY.RESUME", |s| {
        status(s, |status| Some(f64::from(u8::from(status.rotation.paused))))
    }),
    gauge("veddb_rotation_records", "Records that it has to pass, as counted when it began", |s| {
        status(s, |status| Some(status.figures.total as f64))
    }),
    gauge("veddb_rotation_records_done", "Those that it has passed", |s| {
        status(s, |status| Some(status.figures.done as f64))
    }),
    gauge("veddb_rotation_records_per_second", "How fast it is; 0 while none goes on", |s| {
        status(s, |status| Some(if status.rotation.phase == Phase::ReEncrypting { status.figures.rate } else { 0.0 }))
    }),
    gauge("veddb_rotation_limit_per_second", "How fast it may be; 0 is as fast as it can", |s| {
        status(s, |status| Some(status.rotation.rate as f64))
    }),
    gauge("veddb_rotation_started_timestamp_seconds", "When it began, since 1970", |s| {
        status(s, |status| moment(status.rotation.started_ms))
    }),
    gauge("veddb_rotation_ended_timestamp_seconds", "When it was completed, since 1970", |s| {
        status(s, |status| moment(status.rotation.ended_ms))
    }),
];

fn status(s: &Sight<'_>, figure: fn(&KeyStatus) -> Option<f64>) -> Option<f64> {
    figure(&s.data.as_ref()?.keys)
}

fn moment(ms: u64) -> Option<f64> {
    (ms > 0).then_some(ms as f64 / 1000.0)
}
