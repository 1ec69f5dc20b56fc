//! The sections server, cpu, modules and cluster: what the server is, compared with what the system says of its process.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use veddb_tests::server::binary;
use veddb_tests::{Options, Value};

use crate::Check;
use crate::seen::Seen;

pub(crate) const CHECKS: &[Check] = &[("server", server), ("cpu", cpu)];

fn server(seen: &mut Seen) -> Result<()> {
    let home = tempfile::tempdir()?;
    let file = home.path().join("veddb.conf");
    fs::write(&file, "# mine\n")?;
    let begun = Instant::now();
    let mut server = Options::new().file(&file).set("io-threads", "3").start()?;
    let (ready, pid) = (Instant::now(), server.pid().context("it runs")?);
    let mut client = server.client()?;
    thread::sleep(Duration::from_millis(2100));

    let (least, before_us) = (ready.elapsed(), now_us()?);
    let info = seen.look(&mut client)?;
    let (most, after_us) = (begun.elapsed(), now_us()?);
    seen.within(&info, "uptime_in_seconds", least.as_secs() as f64..=most.as_secs_f64())?;
    seen.is(&info, "uptime_in_days", 0)?;
    seen.within(&info, "server_time_usec", before_us..=after_us)?;

    let hello = client.ask(&["HELLO"])?;
    let said = |name: &str| hello.get(name).map(Value::expect_text).unwrap_or_default().to_owned();
    seen.is(&info, "redis_version", said("version"))?;
    seen.is(&info, "redis_mode", said("mode"))?;
    seen.is(&info, "veddb_version", env!("CARGO_PKG_VERSION"))?;
    let system = Command::new("uname").arg("-srm").output()?;
    seen.is(&info, "os", String::from_utf8(system.stdout)?.trim())?;
    seen.is(&info, "arch_bits", usize::BITS)?;
    let open = fs::read_dir(format!("/proc/{pid}/fd"))?.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    ensure!(open.into_iter().any(|link| link.to_string_lossy().contains("eventpoll")), "it has no epoll open");
    seen.is(&info, "multiplexing_api", "epoll")?;
    seen.is(&info, "process_id", pid)?;
    seen.is(&info, "tcp_port", server.port())?;
    seen.is(&info, "executable", fs::canonicalize(binary()?)?.display())?;
    seen.is(&info, "config_file", file.display())?;
    seen.is(&info, "io_threads", 3)?;
    seen.is(&info, "cluster_enabled", 0)?;
    let module = client.ask(&["MODULE", "LIST"])?.to_string();
    seen.holds(&info, "module", |text| text.starts_with("name=ReJSON,ver=2") && module.contains("ReJSON"))?;

    // It names one run: the same until the end, another one after the next start.
    let is_id = |text: &str| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    seen.holds(&info, "run_id", is_id)?;
    let again = seen.look(&mut client)?;
    seen.is(&again, "run_id", info.text("run_id")?)?;
    server.stop()?;
    server.restart()?;
    let again = seen.look(&mut server.client()?)?;
    seen.holds(&again, "run_id", |id| is_id(id) && Ok(id) != info.text("run_id").map_err(|_| ()))
}

fn now_us() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as f64)
}

/// Seconds that the process has taken so far: of its own, and of the system for it.
fn taken(pid: u32) -> Result<(f64, f64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, after) = stat.rsplit_once(')').context("no name")?;
    let ticks: Vec<f64> = after.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    let a_second = Command::new("getconf").arg("CLK_TCK").output()?;
    let a_second: f64 = String::from_utf8(a_second.stdout)?.trim().parse()?;
    Ok((ticks[0] / a_second, ticks[1] / a_second))
}

fn cpu(seen: &mut Seen) -> Result<()> {
    let server = Options::new().start()?;
    let (mut client, pid) = (server.client()?, server.pid().context("it runs")?);
    let pings: Vec<_> = (0..2000).map(|_| vec!["PING"]).collect();
    // Until both are something: single requests are the system's work, pipelines the server's.
    let begun = Instant::now();
    while taken(pid)?.0 < 0.2 || taken(pid)?.1 < 0.05 {
        ensure!(begun.elapsed() < Duration::from_secs(60), "it takes no time: {:?}", taken(pid)?);
        client.pipeline(&pings)?;
        (0..200).try_for_each(|_| client.ask(&["PING"]).map(drop))?;
    }
    let before = taken(pid)?;
    let info = seen.look(&mut client)?;
    let after = taken(pid)?;
    seen.within(&info, "used_cpu_user", before.0..=after.0)?;
    seen.within(&info, "used_cpu_sys", before.1..=after.1)?;
    seen.is(&info, "used_cpu_user_children", "0.000000")?;
    seen.is(&info, "used_cpu_sys_children", "0.000000")
}
