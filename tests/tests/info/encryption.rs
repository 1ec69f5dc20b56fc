//! The section encryption: rotations of the data key over a known number of records, as they go on, stand still and turn round.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use veddb_tests::{Client, Options, Server};

use crate::Check;
use crate::seen::Seen;

pub(crate) const CHECKS: &[Check] = &[("rotation", rotation), ("paused rotation", paused), ("failed rotation", failed)];

const DOCUMENTS: usize = 2000;

fn now_ms() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as f64)
}

fn stored() -> Result<(Server, Client)> {
    let mut server = Options::new().set("changes-log-size", "0").start()?;
    let mut client = server.client()?;
    for part in 0..DOCUMENTS / 500 {
        let mut request = vec!["DOC.INSERT".to_owned(), "c".to_owned()];
        request.extend((0..500).map(|at| format!(r#"{{"_id":"{}","n":1}}"#, part * 500 + at)));
        client.ask(&request)?;
    }
    // What was only in memory would be written under the next key by itself.
    server.stop()?;
    server.restart()?;
    let client = server.client()?;
    Ok((server, client))
}

fn rotation(seen: &mut Seen) -> Result<()> {
    let (server, mut client) = stored()?;
    let info = seen.look(&mut client)?;
    seen.is(&info, "cipher", "XChaCha20-Poly1305")?;
    seen.is(&info, "master_key_origin", format!("file {}", server.key_file().display()))?;
    seen.is(&info, "data_keys", 1)?;
    seen.is(&info, "active_key", 1)?;
    seen.is(&info, "rotation_state", "idle")?;
    let before = now_ms()?;
    client.ask(&["KEY.ROTATE", "SYNC"])?;
    let after = now_ms()?;
    let info = seen.look(&mut client)?;
    seen.is(&info, "rotation_state", "completed")?;
    seen.is(&info, "data_keys", 1)?;
    seen.is(&info, "active_key", 2)?;
    seen.is(&info, "rotation_from", 1)?;
    seen.is(&info, "rotation_to", 2)?;
    seen.is(&info, "rotation_percent", "100.0")?;
    seen.within(&info, "rotation_started_ms", before..=after)?;
    seen.within(&info, "rotation_ended_ms", info.number("rotation_started_ms")?..=after)?;
    // The documents, and what else is sealed: pages of trees, collections, the log.
    let count = DOCUMENTS as f64;
    seen.within(&info, "rotation_records_total", count..=count * 1.1)?;
    seen.is(&info, "rotation_records_done", info.text("rotation_records_total")?)?;
    client.ask(&["KEY.LIST"])?;
    let info = seen.look(&mut client)?;
    seen.within(&info, "records_under_key_2", count..=count * 1.1)
}

fn paused(seen: &mut Seen) -> Result<()> {
    let (_server, mut client) = stored()?;
    let begun = Instant::now();
    client.ask(&["KEY.ROTATE", "RATE", "200"])?;
    let info = seen.comes(&mut client, "rotation_state", "re-encrypting")?;
    seen.is(&info, "data_keys", 2)?;
    seen.is(&info, "rotation_limit_per_sec", 200)?;
    seen.comes_within(&mut client, "rotation_records_done", 300.0..=DOCUMENTS as f64)?;
    let info = seen.look(&mut client)?;
    let done = info.number("rotation_records_done")?;
    seen.within(&info, "rotation_records_done", 300.0..=200.0 * (begun.elapsed().as_secs_f64() + 2.0))?;
    seen.within(&info, "rotation_records_per_sec", 100.0..=300.0)?;
    let percent = format!("{:.1}", done * 100.0 / info.number("rotation_records_total")?);
    seen.is(&info, "rotation_percent", percent)?;
    seen.holds(&info, "rotation_checkpoint", |step| !step.is_empty())?;
    seen.is(&info, "rotation_error", "")?;
    client.ask(&["KEY.PAUSE"])?;
    let stands = seen.comes(&mut client, "rotation_paused", 1)?;
    thread::sleep(Duration::from_millis(500));
    let still = seen.look(&mut client)?;
    seen.grew(&stands, &still, "rotation_records_done", 0.0..=200.0)?;
    client.ask(&["KEY.RESUME"])?;
    seen.comes(&mut client, "rotation_paused", 0)?;
    client.ask(&["KEY.CANCEL"])?;
    let info = seen.look(&mut client)?;
    seen.is(&info, "rotation_cancelled", 1)?;
    // Back to where it came from.
    seen.is(&info, "rotation_from", 2)?;
    seen.is(&info, "rotation_to", 1)?;
    Ok(())
}

/// On a disk of which all that is free is reserved.
fn failed(seen: &mut Seen) -> Result<()> {
    let (mut server, _) = stored()?;
    server.stop()?;
    let again = Options::new().home(server.home()).set("disk-reserve", (1_u64 << 62).to_string()).start()?;
    let mut client = again.client()?;
    client.ask(&["KEY.ROTATE"])?;
    let info = seen.comes(&mut client, "rotation_state", "failed")?;
    seen.holds(&info, "rotation_error", |text| text.contains("no space"))?;
    // Both keys are kept.
    seen.is(&info, "data_keys", 2)
}
