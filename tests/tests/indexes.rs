//! What indexes do over time and under writes, which no transcript can show: building, expiring, staying, being counted.

mod indexing;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::{Value as Json, json};
use veddb_tests::{Client, Options, Server, Value};

/// The section and field of INFO that count what TTL indexes deleted.
const TTL_FIELD: (&str, &str) = ("stats", "expired_ttl_documents");

/// So many that a build takes a while.
const MANY: usize = 40_000;

fn server() -> Result<Server> {
    Options::new().set("appendfsync", "everysec").start()
}

fn many(client: &mut Client, collection: &str, count: usize) -> Result<()> {
    let document = |n: usize| {
        json!({"_id": format!("d{n}"), "n": n, "g": n % 10, "text": format!("{:064}", n * 7919)}).to_string()
    };
    indexing::load(client, collection, &(0..count).map(document).collect::<Vec<_>>())
}

fn milliseconds() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}

fn date(ms: i64) -> Json {
    json!({"$date": {"$numberLong": ms.to_string()}})
}

fn expect_no_index(client: &mut Client, collection: &str, name: &str) -> Result<()> {
    let reply = client.run(&["DOC.FIND", collection, "{}", "HINT", name])?;
    assert!(reply.is_error("NOINDEX"), "{reply}");
    Ok(())
}

#[test]
fn a_ttl_index_deletes_what_is_due_and_nothing_else() -> Result<()> {
    const SWEEP_S: u64 = 1;
    const MARGIN: Duration = Duration::from_secs(8);
    let mut server = Options::new().set("ttl-sweep-seconds", SWEEP_S.to_string()).start()?;
    let mut client = server.client()?;
    let (now, hour) = (milliseconds()?, 3_600_000);
    let stays = [
        ("no-date", json!({})),
        ("text", json!({"at": "2001-01-01T00:00:00Z"})),
        ("number", json!({"at": 5})),
        ("null", json!({"at": null})),
        ("empty", json!({"at": []})),
        ("future", json!({"at": date(now + hour)})),
        ("futures", json!({"at": [date(now + hour), date(now + 2 * hour), 1]})),
        ("elsewhere", json!({"other": date(now - hour)})),
    ];
    let goes = [
        ("past", json!({"at": date(now - hour)})),
        ("long-past", json!({"at": date(-hour)})),
        ("earliest", json!({"at": [date(now + hour), date(now - hour), "x"]})),
    ];
    client.ask(&["DOC.CREATE", "t"])?;
    for (id, body) in stays.iter().chain(&goes[..2]) {
        client.ask(&["DOC.SET", "t", id, &body.to_string()])?;
    }
    // Before there is the index, nothing expires.
    assert_eq!(client.ask(&["DOC.COUNT", "t"])?.expect_integer(), stays.len() as i64 + 2);
    client.ask(&["IDX.CREATE", "t", "by_at", r#"{"at":1}"#, "EXPIREAFTER", "1", "SYNC"])?;
    // One comes when the index is there, and two become due, of which one is saved before it does.
    client.ask(&["DOC.SET", "t", goes[2].0, &goes[2].1.to_string()])?;
    let due = milliseconds()? + 1500;
    client.ask(&["DOC.SET", "t", "soon", &json!({"at": date(due)}).to_string()])?;
    client.ask(&["DOC.SET", "t", "saved", &json!({"at": date(due)}).to_string()])?;
    let later = json!({"$set": {"at": date(due + hour)}}).to_string();
    client.ask(&["DOC.UPDATE", "t", r#"{"_id":"saved"}"#, &later])?;
    assert_eq!(client.ask(&["DOC.EXISTS", "t", "soon"])?.expect_integer(), 1);
    let deleted = goes.len() as i64 + 1;
    let all_gone = |client: &mut Client| -> Result<bool> {
        let mut request = vec!["DOC.EXISTS", "t", "soon"];
        request.extend(goes.iter().map(|(id, _)| *id));
        let there = client.ask(&request)?.expect_integer();
        if milliseconds()? < due + 1000 {
            let soon = client.ask(&["DOC.EXISTS", "t", "soon"])?.expect_integer();
            assert!(soon == 1 || milliseconds()? >= due + 1000, "deleted before it was due");
        }
        Ok(there == 0)
    };
    indexing::wait_for("what is due is deleted", Duration::from_secs(SWEEP_S) + MARGIN, || all_gone(&mut client))?;
    let left = |client: &mut Client| indexing::ids(&client.ask(&["DOC.FIND", "t", "{}"])?);
    let expected: Vec<&str> = stays.iter().map(|(id, _)| *id).chain(["saved"]).collect();
    assert_eq!(left(&mut client)?, expected);
    let (section, field) = TTL_FIELD;
    indexing::wait_for("the deletions are counted", MARGIN, || {
        Ok(client.figure(section, field)?.parse::<i64>()? == deleted)
    })?;
    indexing::verify(&mut client, "t", None)?;
    // A restart neither brings back what was deleted nor forgets that the index deletes.
    server.kill()?;
    server.restart()?;
    let mut client = server.client()?;
    assert_eq!(left(&mut client)?, expected);
    client.ask(&["DOC.SET", "t", "again", &goes[0].1.to_string()])?;
    indexing::wait_for("a TTL index works after a restart", Duration::from_secs(SWEEP_S) + MARGIN, || {
        Ok(client.ask(&["DOC.EXISTS", "t", "again"])?.expect_integer() == 0)
    })?;
    assert_eq!(left(&mut client)?, expected);
    // Without the index nothing expires any more.
    client.ask(&["IDX.DROP", "t", "by_at"])?;
    client.ask(&["DOC.SET", "t", "again", &goes[0].1.to_string()])?;
    thread::sleep(Duration::from_millis(SWEEP_S * 1000 + 1500));
    assert_eq!(client.ask(&["DOC.EXISTS", "t", "again"])?.expect_integer(), 1);
    Ok(())
}

#[test]
fn a_build_under_writes_misses_none_of_them() -> Result<()> {
    const WRITERS: usize = 4;
    let server = server()?;
    let mut client = server.client()?;
    many(&mut client, "c", MANY / 2)?;
    let over = AtomicBool::new(false);
    let written: usize = thread::scope(|scope| -> Result<usize> {
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let mut client = server.client()?;
            let over = &over;
            writers.push(scope.spawn(move || -> Result<usize> {
                let mut count = 0;
                while !over.load(Ordering::Relaxed) {
                    // Over the whole range, so before and behind where the build is; each writer has its own ids.
                    let at = (count * 7919 % (MANY / 2)) / WRITERS * WRITERS + writer;
                    let id = format!("d{at}");
                    match count % 4 {
                        0 => client.ask(&["DOC.DEL", "c", &id])?,
                        1 => {
                            client.ask(&["DOC.SET", "c", &id, &json!({"n": count, "g": [1, count % 9]}).to_string()])?
                        }
                        2 => {
                            client.ask(&["DOC.UPDATE", "c", &json!({"_id": id}).to_string(), r#"{"$inc":{"n":1}}"#])?
                        }
                        _ => client.ask(&["DOC.INSERT", "c", &json!({"n": count, "g": writer}).to_string()])?,
                    };
                    count += 1;
                }
                Ok(count)
            }));
        }
        let outcome = (0..3).try_for_each(|round| -> Result<()> {
            let name = format!("by_n{round}");
            client.ask(&["IDX.CREATE", "c", &name, r#"{"n":1}"#, "SYNC"])?;
            client.ask(&["IDX.CREATE", "c", "by_g", r#"{"g":-1,"n":1}"#, "SYNC"])?;
            client.ask(&["IDX.DROP", "c", &name])?;
            client.ask(&["IDX.DROP", "c", "by_g"])?;
            Ok(())
        });
        let last = client.ask(&["IDX.CREATE", "c", "by_n", r#"{"n":1}"#, "SYNC"]);
        let more = client.ask(&["IDX.CREATE", "c", "by_g", r#"{"g":-1,"n":1}"#, "SYNC"]);
        over.store(true, Ordering::Relaxed);
        let counts = writers.into_iter().map(|writer| writer.join().expect("a writer does not panic"));
        let written = counts.sum::<Result<usize>>()?;
        outcome.and(last).and(more)?;
        Ok(written)
    })?;
    println!("{written} writes during the builds");
    assert!(written > 100, "hardly any writes came during the builds");
    let count = client.ask(&["DOC.COUNT", "c"])?.expect_integer();
    indexing::verify_entries(&mut client, "c", "by_n", count as usize)?;
    indexing::verify(&mut client, "c", None)?;
    for filter in [r#"{"n":{"$gte":100,"$lt":400}}"#, r#"{"g":3}"#, r#"{"g":{"$gt":7}}"#] {
        let index = if filter.contains('n') { "by_n" } else { "by_g" };
        let hinted = client.ask(&["DOC.FIND", "c", filter, "HINT", index])?;
        // $nor is answered from the documents alone.
        let negated = format!(r#"{{"$nor":[{{"$nor":[{filter}]}}]}}"#);
        let scanned = client.ask(&["DOC.FIND", "c", &negated])?;
        assert!(
            hinted == scanned,
            "{filter}: {} by index, not {}",
            hinted.expect_array().len(),
            scanned.expect_array().len()
        );
    }
    Ok(())
}

#[test]
fn writers_go_on_while_an_index_is_built() -> Result<()> {
    const ANSWER_MAX: Duration = Duration::from_secs(2);
    let server = server()?;
    let mut client = server.client()?;
    many(&mut client, "c", MANY)?;
    let asked = Instant::now();
    client.ask(&["IDX.CREATE", "c", "by_text", r#"{"text":1,"n":-1}"#])?;
    assert!(asked.elapsed() < ANSWER_MAX, "IDX.CREATE without SYNC waited {:?}", asked.elapsed());
    let mut progress = Vec::new();
    let (mut written, mut written_before) = (0, 0);
    let until = Instant::now() + indexing::BUILD_MAX;
    loop {
        let index = indexing::listed(&mut client, "c", "by_text")?.context("not listed")?;
        match indexing::text(&index, "state") {
            // Writes up to here were acknowledged while it was building.
            "building" => written_before = written,
            state => {
                assert_eq!(state, "ready", "{index}");
                break;
            }
        }
        progress.push(indexing::number(&index, "progress"));
        expect_no_index_unless_ready(&mut client)?;
        let asked = Instant::now();
        let text = json!({"_id": format!("new-{written}"), "n": written, "text": format!("new-{written}")}).to_string();
        client.ask(&["DOC.INSERT", "c", &text])?;
        client.ask(&["DOC.DEL", "c", &format!("d{}", written * 3)])?;
        assert!(asked.elapsed() < ANSWER_MAX, "writes waited {:?} for the build", asked.elapsed());
        written += 1;
        assert!(Instant::now() < until, "the build does not end: {index}");
    }
    println!("{written_before} writes while building; progress {progress:?}");
    assert!(written_before > 0, "no write was acknowledged during the build");
    assert!(progress.is_sorted(), "progress went back: {progress:?}");
    assert!(progress.len() < 4 || progress.last() > progress.first(), "progress does not rise: {progress:?}");
    let count = client.ask(&["DOC.COUNT", "c"])?.expect_integer();
    indexing::verify_entries(&mut client, "c", "by_text", count as usize)?;
    let found = client.ask(&["DOC.FIND", "c", r#"{"text":"new-0"}"#, "HINT", "by_text"])?;
    assert_eq!(indexing::ids(&found)?, ["new-0"]);
    Ok(())
}

/// An index that is being built is not used; it may become ready at any moment, and is asked afterwards.
fn expect_no_index_unless_ready(client: &mut Client) -> Result<()> {
    let reply = client.run(&["DOC.FIND", "c", r#"{"text":"none"}"#, "HINT", "by_text"])?;
    if !reply.is_error("NOINDEX") {
        let index = indexing::listed(client, "c", "by_text")?.context("not listed")?;
        assert_eq!(indexing::text(&index, "state"), "ready", "an index was used while it was built: {reply}");
    }
    Ok(())
}

#[test]
fn an_index_can_be_dropped_while_it_is_built() -> Result<()> {
    let server = server()?;
    let mut client = server.client()?;
    many(&mut client, "c", MANY / 2)?;
    for round in 0..8 {
        client.ask(&["IDX.CREATE", "c", "by_n", r#"{"n":1}"#])?;
        thread::sleep(Duration::from_millis(round * 7));
        assert_eq!(client.ask(&["IDX.DROP", "c", "by_n"])?.expect_integer(), 1);
        assert_eq!(client.ask(&["IDX.DROP", "c", "by_n"])?.expect_integer(), 0);
        assert_eq!(indexing::list(&mut client, "c")?.len(), 0);
        expect_no_index(&mut client, "c", "by_n")?;
        // Other keys under the same name: nothing of the former may be found in it.
        client.ask(&["IDX.CREATE", "c", "by_n", r#"{"g":1}"#])?;
        client.ask(&["DOC.UPDATE", "c", r#"{"_id":"d7"}"#, r#"{"$inc":{"n":1,"g":1}}"#])?;
        assert_eq!(client.ask(&["IDX.DROP", "c", "by_n"])?.expect_integer(), 1);
    }
    client.ask(&["IDX.CREATE", "c", "by_n", r#"{"n":1}"#, "SYNC"])?;
    indexing::verify_entries(&mut client, "c", "by_n", MANY / 2)?;
    // A collection can go while an index of it is built, and so can a server.
    client.ask(&["IDX.CREATE", "c", "by_g", r#"{"g":1}"#])?;
    assert_eq!(client.ask(&["DOC.DROP", "c"])?.expect_integer(), 1);
    client.ask(&["DOC.INSERT", "c", r#"{"_id":"one","n":1}"#])?;
    assert_eq!(indexing::list(&mut client, "c")?.len(), 0);
    let mut server = server;
    many(&mut client, "d", MANY / 2)?;
    client.ask(&["IDX.CREATE", "d", "by_n", r#"{"n":1}"#])?;
    server.stop()?;
    server.restart()?;
    let mut client = server.client()?;
    indexing::wait_until_ready(&mut client, "d")?;
    indexing::verify_entries(&mut client, "d", "by_n", MANY / 2)
}

#[test]
fn a_collection_has_no_more_than_64_indexes() -> Result<()> {
    let server = server()?;
    let mut client = server.client()?;
    client.ask(&["DOC.INSERT", "c", r#"{"_id":"x","k":1}"#])?;
    let create = |client: &mut Client, at: usize| {
        client.run(&["IDX.CREATE", "c", &format!("i{at}"), &json!({format!("f{at}"): 1}).to_string(), "SYNC"])
    };
    for at in 0..64 {
        assert_eq!(create(&mut client, at)?, Value::Simple("OK".into()), "index {at}");
    }
    let reply = create(&mut client, 64)?;
    assert!(reply.is_error("TOOBIG"), "{reply}");
    assert_eq!(indexing::list(&mut client, "c")?.len(), 64);
    // All of them are kept up, and room that was made can be used.
    client.ask(&["DOC.INSERT", "c", r#"{"_id":"y","f63":5,"f0":[1,2]}"#])?;
    let found = client.ask(&["DOC.FIND", "c", r#"{"f63":5}"#, "HINT", "i63"])?;
    assert_eq!(indexing::ids(&found)?, ["y"]);
    assert_eq!(client.ask(&["IDX.DROP", "c", "i5"])?.expect_integer(), 1);
    assert_eq!(create(&mut client, 64)?, Value::Simple("OK".into()));
    indexing::verify(&mut client, "c", None)?;
    Ok(())
}

#[test]
fn keys_longer_than_a_page_are_told_apart() -> Result<()> {
    let mut server = server()?;
    let mut client = server.client()?;
    let beginning = "p".repeat(8192);
    // Alike as far as an index may keep a key, different behind; some end just there.
    let endings = ["", "a", "b", "ba", "z"].map(str::to_owned).into_iter();
    let far = ["m", "n"].map(|last| format!("{}{last}", "q".repeat(90_000))).into_iter();
    let mut texts: Vec<String> = endings.chain(far).map(|ending| format!("{beginning}{ending}")).collect();
    texts.extend([beginning[1..].to_owned(), "p".to_owned(), format!("{}b", &beginning[1..])]);
    client.ask(&["DOC.CREATE", "c"])?;
    client.ask(&["IDX.CREATE", "c", "by_t", r#"{"t":1}"#, "SYNC"])?;
    client.ask(&["IDX.CREATE", "c", "by_gt", r#"{"g":1,"t":-1}"#, "SYNC"])?;
    client.ask(&["DOC.CREATE", "u"])?;
    client.ask(&["IDX.CREATE", "u", "by_t", r#"{"t":1}"#, "UNIQUE", "SYNC"])?;
    // Shuffled by a step that has no divisor in common with their number.
    let shuffled: Vec<&String> = (0..texts.len()).map(|at| &texts[at * 7 % texts.len()]).collect();
    for (at, text) in shuffled.iter().enumerate() {
        for copy in 0..2 {
            let document = json!({"_id": format!("d{at}-{copy}"), "g": 1, "t": text}).to_string();
            client.ask(&["DOC.INSERT", "c", &document])?;
            let reply = client.run(&["DOC.INSERT", "u", &document])?;
            assert_eq!(
                reply.is_error("DUPKEY"),
                copy == 1,
                "a text of {} bytes: {:.200}",
                text.len(),
                reply.to_string()
            );
        }
    }
    client.ask(&["IDX.CREATE", "c", "later", r#"{"t":-1}"#, "SYNC"])?;
    let passing = |passes: &dyn Fn(&str) -> bool| -> Vec<String> {
        let of = |(at, _): (usize, _)| [format!("d{at}-0"), format!("d{at}-1")];
        shuffled.iter().enumerate().filter(|(_, text)| passes(text)).flat_map(of).collect()
    };
    for start in 0..2 {
        if start == 1 {
            server.stop()?;
            server.restart()?;
            client = server.client()?;
        }
        for index in ["by_t", "later", "by_gt"] {
            let find = |client: &mut Client, condition: Json, more: &[&str]| -> Result<Vec<String>> {
                let filter = if condition.is_null() { json!({"g": 1}) } else { json!({"g": 1, "t": condition}) };
                let filter = filter.to_string();
                let mut request = vec!["DOC.FIND", "c", &filter, "HINT", index];
                request.extend_from_slice(more);
                indexing::ids(&client.ask(&request)?)
            };
            for text in &texts {
                let what = format!("{index}, a text of {} bytes", text.len());
                assert_eq!(find(&mut client, json!(text), &[])?, passing(&|other| other == text), "{what}");
                assert_eq!(find(&mut client, json!({"$gt": text}), &[])?, passing(&|other| other > text), "{what}");
                assert_eq!(find(&mut client, json!({"$lte": text}), &[])?, passing(&|other| other <= text), "{what}");
            }
            let mut sorted: Vec<(&String, Vec<String>)> =
                shuffled.iter().map(|text| (*text, passing(&|other| other == *text))).collect();
            sorted.sort();
            let up: Vec<String> = sorted.iter().flat_map(|(_, ids)| ids.clone()).collect();
            let down: Vec<String> = sorted.iter().rev().flat_map(|(_, ids)| ids.clone()).collect();
            assert_eq!(find(&mut client, Json::Null, &["SORT", r#"{"t":1}"#])?, up, "{index}");
            assert_eq!(find(&mut client, Json::Null, &["SORT", r#"{"t":-1}"#])?, down, "{index}");
            assert_eq!(find(&mut client, Json::Null, &["SORT", r#"{"t":-1}"#, "SKIP", "3", "LIMIT", "6"])?, down[3..9]);
            indexing::verify_entries(&mut client, "c", index, texts.len() * 2)?;
        }
        indexing::verify_entries(&mut client, "u", "by_t", texts.len())?;
    }
    // What has gone from an index is gone, also where only the end of the key tells which it is.
    client.ask(&["DOC.DEL", "c", "d0-0"])?;
    client.ask(&["DOC.UPDATE", "c", r#"{"_id":"d1-0"}"#, &json!({"$set": {"t": shuffled[2]}}).to_string()])?;
    for index in ["by_t", "later", "by_gt"] {
        indexing::verify_entries(&mut client, "c", index, texts.len() * 2 - 1)?;
        let found = client.ask(&["DOC.FIND", "c", &json!({"g": 1, "t": shuffled[2]}).to_string(), "HINT", index])?;
        assert_eq!(indexing::ids(&found)?, ["d1-0", "d2-0", "d2-1"], "{index}");
    }
    Ok(())
}

#[test]
fn a_start_finds_indexes_as_they_were() -> Result<()> {
    let mut server = server()?;
    let mut client = server.client()?;
    many(&mut client, "c", MANY)?;
    let creations: [&[&str]; 3] = [
        &["by_n", r#"{"n":1}"#, "UNIQUE"],
        &["by_text", r#"{"text":-1,"g":1}"#],
        &["some", r#"{"g":1}"#, "PARTIAL", r#"{"n":{"$gte":100}}"#],
    ];
    for creation in creations {
        let mut request = vec!["IDX.CREATE", "c"];
        request.extend_from_slice(creation);
        request.push("SYNC");
        client.ask(&request)?;
    }
    let fixed = ["name", "keys", "unique", "sparse", "partial", "expireAfter", "state", "entries"];
    let picture = |client: &mut Client| -> Result<Vec<Vec<Option<Value>>>> {
        let indexes = indexing::list(client, "c")?;
        Ok(indexes.iter().map(|index| fixed.iter().map(|name| index.get(name).cloned()).collect()).collect())
    };
    let before = picture(&mut client)?;
    for round in 0..4 {
        if round % 2 == 0 {
            server.stop()?;
        } else {
            server.kill()?;
        }
        server.restart()?;
        client = server.client()?;
        // Asked at once: an index that was built anew would still be building, or would have kept the server from
        // answering.
        assert_eq!(picture(&mut client)?, before, "after start {round}");
        let found = client.ask(&["DOC.FIND", "c", r#"{"n":777}"#, "HINT", "by_n"])?;
        assert_eq!(indexing::ids(&found)?, ["d777"]);
        let reply = client.run(&["DOC.INSERT", "c", r#"{"_id":"again","n":777}"#])?;
        assert!(reply.is_error("DUPKEY"), "{reply}");
    }
    let explained = indexing::explain(&mut client, &["FIND", "c", r#"{"n":777}"#])?;
    assert_eq!(explained["plan"]["stage"], "IXSCAN", "{explained}");
    assert_eq!(explained["plan"]["index"], "by_n", "{explained}");
    indexing::verify(&mut client, "c", None)?;
    Ok(())
}

#[test]
fn the_use_of_an_index_is_counted() -> Result<()> {
    let server = server()?;
    let mut client = server.client()?;
    many(&mut client, "c", 2000)?;
    client.ask(&["IDX.CREATE", "c", "by_n", r#"{"n":1}"#, "SYNC"])?;
    client.ask(&["IDX.CREATE", "c", "idle", r#"{"text":1}"#, "SYNC"])?;
    let listed = |client: &mut Client, name: &str| -> Result<(f64, Option<Value>)> {
        let index = indexing::listed(client, "c", name)?.context("not listed")?;
        assert!(indexing::number(&index, "size") > 0.0 && indexing::number(&index, "entries") == 2000.0, "{index}");
        Ok((indexing::number(&index, "hits"), index.get("lastUsed").cloned()))
    };
    let (before, idle) = (listed(&mut client, "by_n")?, listed(&mut client, "idle")?);
    for n in 0..10 {
        client.ask(&["DOC.FIND", "c", &json!({"n": n}).to_string()])?;
    }
    let after = listed(&mut client, "by_n")?;
    assert_eq!(after.0, before.0 + 10.0, "{before:?} {after:?}");
    assert!(after.1 != before.1 && after.1 != Some(Value::Null), "{before:?} {after:?}");
    assert_eq!(listed(&mut client, "idle")?, idle);
    Ok(())
}
