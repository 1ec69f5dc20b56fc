//! Refusals, limits, the audit log, tokens; data keys and their rotation.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use veddb_tests::http::{Scrape, get};
use veddb_tests::{Client, Options, SmallDisk, Value};

use super::watch::{Check, Seen, Watched, run, until};

pub(crate) const CHECKS: &[Check] = &[
    Check { of: &["veddb_denials_total"], run: denials },
    Check { of: &["veddb_rate_limited_total"], run: limits },
    Check { of: &["veddb_audit_records_total"], run: audit },
    Check { of: &["veddb_audit_failing", "veddb_audit_records_lost_total"], run: audit_on_a_full_disk },
    Check { of: &["veddb_tokens"], run: tokens },
    Check {
        of: &[
            "veddb_data_keys",
            "veddb_key_records",
            "veddb_rotation_state",
            "veddb_rotation_paused",
            "veddb_rotation_records",
            "veddb_rotation_records_done",
            "veddb_rotation_records_per_second",
            "veddb_rotation_limit_per_second",
            "veddb_rotation_started_timestamp_seconds",
            "veddb_rotation_ended_timestamp_seconds",
        ],
        run: rotation,
    },
];

#[test]
fn what_was_refused_and_sealed_is_read_back() -> Result<()> {
    run(CHECKS)
}

fn denials(seen: &Seen) -> Result<()> {
    let watched = Watched::start(Options::new())?;
    let mut client = watched.server.client()?;
    client.ask(&[
        "ACL",
        "SETUSER",
        "ada",
        "on",
        ">secret",
        "resetkeys",
        "~mine*",
        "resetchannels",
        "&mine*",
        "+@all",
        "-flushall",
    ])?;
    let mut ada = watched.server.client()?;
    ada.ask(&["AUTH", "ada", "secret"])?;
    let before = watched.scrape()?;
    let refused = |client: &mut Client, command: &[&str], code: &str| -> Result<()> {
        let answer = client.run(command)?;
        ensure!(answer.is_error(code), "{command:?}: {answer}");
        Ok(())
    };
    refused(&mut client, &["AUTH", "ada", "wrong"], "WRONGPASS")?;
    refused(&mut client, &["AUTH", "nobody", "wrong"], "WRONGPASS")?;
    refused(&mut ada, &["FLUSHALL"], "NOPERM")?;
    for _ in 0..3 {
        refused(&mut ada, &["GET", "yours"], "NOPERM")?;
    }
    refused(&mut ada, &["PUBLISH", "yours", "hello"], "NOPERM")?;
    let after = watched.scrape()?;
    for (reason, by) in [("auth", 2.0), ("command", 1.0), ("key", 3.0), ("channel", 1.0), ("certificate", 0.0)] {
        seen.grew(&before, &after, "veddb_denials_total", &[("reason", reason)], by)?;
    }
    Ok(())
}

fn limits(seen: &Seen) -> Result<()> {
    let options = Options::new().set("limit-auth-failures", "2").set("limit-user-commands", "1000");
    let watched = Watched::start(options)?;
    let mut client = watched.server.client()?;
    client.ask(&["ACL", "SETUSER", "ada", "on", ">secret"])?;
    let before = watched.scrape()?;
    let mut held_up = 0.0;
    for _ in 0..10 {
        held_up += f64::from(u8::from(client.run(&["AUTH", "ada", "wrong"])?.is_error("RATELIMIT")));
    }
    ensure!(held_up > 0.0, "no password was held up");
    let pings: Vec<Vec<&str>> = (0..3000).map(|_| vec!["PING"]).collect();
    let refused = client.pipeline(&pings)?.iter().filter(|answer| answer.is_error("RATELIMIT")).count();
    ensure!(refused > 0, "no request was refused");
    let after = watched.scrape()?;
    let grew = |what: &str, by: f64| seen.grew(&before, &after, "veddb_rate_limited_total", &[("what", what)], by);
    grew("passwords", held_up)?;
    grew("requests", refused as f64)?;
    // Asked for after the second is over.
    let set = ["CONFIG", "SET", "limit-address-connections", "1"];
    until("the limit is set", || Ok(!client.run(&set)?.is_error("RATELIMIT")))?;
    let before = watched.scrape()?;
    let mut turned_away = 0.0;
    for _ in 0..5 {
        let mut other = Client::connect(watched.server.port())?;
        // Whoever was turned away is told so before it says anything.
        let answer = other.run(&["PING"]).or_else(|_| other.read());
        turned_away += f64::from(u8::from(!matches!(answer, Ok(Value::Simple(_)))));
    }
    ensure!(turned_away > 0.0, "no connection was turned away");
    seen.grew(&before, &watched.scrape()?, "veddb_rate_limited_total", &[("what", "connections")], turned_away)
}

fn audit(seen: &Seen) -> Result<()> {
    const NAME: &str = "veddb_audit_records_total";
    let watched = Watched::start(Options::new())?;
    let mut client = watched.server.client()?;
    let was = watched.scrape()?.get(NAME, &[]).context("records")?;
    for _ in 0..5 {
        client.ask(&["CONFIG", "SET", "timeout", "0"])?;
    }
    client.run(&["AUTH", "nobody", "wrong"])?;
    client.ask(&["PING"])?;
    seen.comes_to(&watched, NAME, &[], was + 6.0, was + 6.0)
}

fn audit_on_a_full_disk(seen: &Seen) -> Result<()> {
    let options = Options::new().set("disk-reserve", "0").http();
    let Some((disk, server)) = SmallDisk::start("64m", options)? else {
        // Said by it; what cannot be caused here is caused where it can.
        return seen.skip(&["veddb_audit_failing", "veddb_audit_records_lost_total"], "tmpfs");
    };
    let watched = Watched { server };
    let mut client = watched.server.client()?;
    seen.is(&watched.scrape()?, "veddb_audit_failing", &[], 0.0)?;
    let fill = watched.server.dir().join("tmp").join("fill");
    // Whether or not the last page finds room.
    let _ = fs::write(&fill, vec![0; usize::try_from(disk.free()?)?]);
    let mut asked = 0.0;
    until("the audit log cannot be written", || {
        client.ask(&["CONFIG", "SET", "timeout", "0"])?;
        asked += 1.0;
        Ok(watched.scrape()?.get("veddb_audit_failing", &[]) == Some(1.0))
    })?;
    seen.is(&watched.scrape()?, "veddb_audit_failing", &[], 1.0)?;
    let readiness = || get(watched.http(), "/readyz");
    ensure!(readiness()?.status == 200, "nothing is refused");
    client.ask(&["CONFIG", "SET", "audit-on-failure", "refuse"])?;
    let told = readiness()?;
    ensure!(told.status == 503 && told.body.starts_with("audit: "), "{}: {}", told.status, told.body);
    client.ask(&["CONFIG", "SET", "audit-on-failure", "continue"])?;
    asked += 2.0;
    let before = watched.scrape()?;
    for _ in 0..4 {
        client.ask(&["CONFIG", "SET", "timeout", "0"])?;
    }
    let lost = before.get("veddb_audit_records_lost_total", &[]).context("records")?;
    ensure!(lost <= asked, "{lost} records are lost of {asked}");
    seen.comes_to(&watched, "veddb_audit_records_lost_total", &[], lost + 1.0, asked + 4.0)?;
    fs::remove_file(&fill)?;
    client.ask(&["CONFIG", "SET", "timeout", "0"])?;
    seen.comes_to(&watched, "veddb_audit_failing", &[], 0.0, 0.0)
}

fn tokens(seen: &Seen) -> Result<()> {
    let watched = Watched::start(Options::new())?;
    let mut client = watched.server.client()?;
    for user in ["ada", "eve"] {
        client.ask(&["ACL", "SETUSER", user, "on", ">secret"])?;
    }
    for user in ["ada", "ada", "ada", "eve"] {
        client.ask(&["TOKEN.ISSUE", "USER", user])?;
    }
    let scrape = watched.scrape()?;
    seen.is(&scrape, "veddb_tokens", &[("state", "good")], 4.0)?;
    seen.is(&scrape, "veddb_tokens", &[("state", "revoked")], 0.0)?;
    client.ask(&["TOKEN.REVOKE", "USER", "ada"])?;
    let scrape = watched.scrape()?;
    seen.is(&scrape, "veddb_tokens", &[("state", "good")], 1.0)?;
    seen.is(&scrape, "veddb_tokens", &[("state", "revoked")], 3.0)
}

fn rotation(seen: &Seen) -> Result<()> {
    let watched = Watched::start(Options::new())?;
    let mut client = watched.server.client()?;
    for at in 0..2000 {
        client.ask(&["SET", &at.to_string(), "v"])?;
    }
    client.ask(&["DOC.SET", "c", "1", r#"{"n":1}"#])?;
    client.ask(&["IDX.CREATE", "c", "by_n", r#"{"n":1}"#, "SYNC"])?;
    let state = |scrape: &Scrape, now: &str| {
        ["idle", "re-encrypting", "completed", "failed"].iter().try_for_each(|state| {
            seen.is(scrape, "veddb_rotation_state", &[("state", state)], f64::from(u8::from(*state == now)))
        })
    };
    let scrape = watched.scrape()?;
    state(&scrape, "idle")?;
    seen.is(&scrape, "veddb_data_keys", &[], 1.0)?;
    ensure!(scrape.get("veddb_rotation_started_timestamp_seconds", &[]).is_none(), "one began");
    let began = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    client.ask(&["KEY.ROTATE", "RATE", "200"])?;
    seen.comes_to(&watched, "veddb_rotation_records_done", &[], 100.0, 1900.0)?;
    seen.comes_to(&watched, "veddb_rotation_records_per_second", &[], 50.0, 400.0)?;
    client.ask(&["KEY.PAUSE"])?;
    seen.comes_to(&watched, "veddb_rotation_records_per_second", &[], 0.0, 0.0)?;
    let scrape = watched.scrape()?;
    state(&scrape, "re-encrypting")?;
    seen.is(&scrape, "veddb_data_keys", &[], 2.0)?;
    seen.is(&scrape, "veddb_rotation_paused", &[], 1.0)?;
    seen.is(&scrape, "veddb_rotation_limit_per_second", &[], 200.0)?;
    // 2000 keys and a document, and some pages of indexes.
    seen.within(&scrape, "veddb_rotation_records", &[], 2001.0, 2200.0)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    seen.within(&scrape, "veddb_rotation_started_timestamp_seconds", &[], began - 0.001, now)?;
    client.ask(&["KEY.RESUME"])?;
    until("it is completed", || Ok(client.figure("encryption", "rotation_state")? == "completed"))?;
    let scrape = watched.scrape()?;
    state(&scrape, "completed")?;
    seen.is(&scrape, "veddb_data_keys", &[], 1.0)?;
    seen.is(&scrape, "veddb_rotation_paused", &[], 0.0)?;
    let total = scrape.get("veddb_rotation_records", &[]).context("records")?;
    seen.is(&scrape, "veddb_rotation_records_done", &[], total)?;
    let ended = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    seen.within(&scrape, "veddb_rotation_ended_timestamp_seconds", &[], began, ended)?;
    // KEY.LIST counts anew; what it says is what is shown from then on.
    let keys = client.ask(&["KEY.LIST"])?;
    let key = keys.expect_array().first().context("a key")?;
    let of = |name: &str| key.get(name).map(Value::expect_integer).with_context(|| name.to_owned());
    let (id, records) = (of("id")?.to_string(), of("records")?);
    ensure!(records >= 2001, "{records} records");
    seen.is(&watched.scrape()?, "veddb_key_records", &[("key", &id)], records as f64)
}
