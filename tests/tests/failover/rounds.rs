//! One failover after the other: harm, another primary, what comes back and follows, and what of the writes is there.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use veddb_tests::{Random, Value, seed};

use super::check::{lost, not_linearizable};
use super::report::Report;
use super::world::{Harm, World, now, until};
use super::writers::{Outcome, Write, Writer};

/// Documents that writers share where their histories are looked at: so many that histories stay short.
const DOCUMENTS: u64 = 200;
/// Milliseconds that a replica is waited for, less than what the clients take for a dead connection.
const WAIT_MS: u64 = 500;
/// The same of a client that stays with a primary that is cut off, where nothing comes of it.
const WAIT_BESIDE_MS: u64 = 50;
/// What a replica may lag behind, as far as writes may be lost that only the primary has acknowledged.
const LAG: Duration = Duration::from_secs(1);
/// Acknowledged writes of each client before the harm.
const BEFORE: usize = 20;
/// How long after those the harm may come.
const HARM_MS_MAX: usize = 300;

/// What an acknowledged write is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The primary has it.
    Alone,
    /// A replica has it on disk as well.
    ByTwo,
}

impl Mode {
    fn settings(self) -> &'static str {
        match self {
            Mode::Alone => "",
            Mode::ByTwo => "min-replicas-to-write 1\nmin-replicas-max-lag 2\n",
        }
    }
}

/// So many failovers.
pub(crate) fn run(mode: Mode, failovers: u64) -> Result<Report> {
    let seed = seed();
    let mut random = Random::new(seed);
    let mut world = World::start(mode.settings())?;
    let (documents, wait_ms) = match mode {
        Mode::Alone => (0, 0),
        Mode::ByTwo => (DOCUMENTS, WAIT_MS),
    };
    let mut writers = Writer::start(&world, documents, wait_ms)?;
    let mut report = Report {
        mode: match mode {
            Mode::Alone => "without WAIT",
            Mode::ByTwo => "with WAIT 1 and min-replicas-to-write 1",
        },
        cut: if world.network.is_some() { "pulling its cable" } else { "stopping its process" },
        ..Report::default()
    };
    for round in 0..failovers {
        let harm = if round % 2 == 0 { Harm::Kill } else { Harm::Cut };
        let mut one =
            Round { mode, harm, number: round, world: &mut world, writers: &mut writers, report: &mut report };
        let done = one.run(&mut random).with_context(|| format!("round {round} of seed {seed}, {harm:?}"));
        done.with_context(|| world.told())?;
    }
    ensure!(report.twice < failovers, "no round had one failover only: the machine is too busy for that\n{report}");
    Ok(report)
}

struct Round<'a> {
    mode: Mode,
    harm: Harm,
    number: u64,
    world: &'a mut World,
    writers: &'a mut Vec<Writer>,
    report: &'a mut Report,
}

impl Round<'_> {
    fn run(&mut self, random: &mut Random) -> Result<()> {
        let collection = format!("round{}", self.number);
        let began = now();
        for writer in self.writers.iter_mut() {
            writer.go_on_with(&collection)?;
        }
        let harmed = self.world.primary()?;
        let beside = self.start_beside(harmed, &collection)?;
        for writer in self.writers.iter().chain(&beside) {
            until(&format!("writes by {}", writer.name), || Ok(writer.done_since(began).0 > BEFORE))
                .with_context(|| format!("{:?}", writer.trouble()))?;
        }
        std::thread::sleep(Duration::from_millis(random.below(HARM_MS_MAX) as u64));

        // Counted since the start of each.
        let rolled_back_before = match self.harm {
            Harm::Kill => 0,
            Harm::Cut => rolled_back(self.world, harmed)?,
        };
        let switches = self.world.switches();
        let moment = now();
        self.world.harm(harmed, self.harm)?;
        // What is called from here on cannot be done by the one that was harmed.
        let over = now();
        let name = match self.harm {
            Harm::Kill => "kill",
            Harm::Cut => "cut",
        };
        let mut told = Vec::new();
        for writer in self.writers.iter() {
            until(&format!("another primary that takes writes by {}", writer.name), || {
                Ok(writer.done_since(over).1.is_some())
            })
            .with_context(|| format!("{:?}", writer.trouble()))?;
            let first = writer.done_since(over).1.unwrap_or_default();
            self.report.resumed.entry((writer.name, name)).or_default().add(moment, first);
            told.push(format!("{} {} ms", writer.name, first.saturating_sub(moment) / 1_000_000));
        }
        if let Some(writer) = &beside {
            until("the primary that is cut off refusing writes", || Ok(writer.refused_since(over).is_some()))
                .with_context(|| format!("{:?}", writer.trouble()))?;
            let refused = writer.refused_since(over).unwrap_or_default();
            self.report.fenced.add(moment, refused);
            told.push(format!("refused beside it {} ms", refused.saturating_sub(moment) / 1_000_000));
        }
        // Whoever comes back finds one that all agree on.
        self.world.until_taken_over(harmed)?;
        self.world.heal(harmed, self.harm)?;
        self.world.until_settled()?;
        // On a machine that is busy with other things servers are taken for down that are not.
        let once = self.world.switches() == switches + 1;
        ensure!(!once || self.world.primary()? != harmed, "the primary is the one that was harmed");
        match self.harm {
            Harm::Kill => self.report.kills += 1,
            Harm::Cut => self.report.cuts += 1,
        }
        self.look_at(&collection, (moment, over), once, beside)?;
        self.until_equal()?;
        let rolled_back = rolled_back(self.world, harmed)?.saturating_sub(rolled_back_before);
        self.report.rolled_back += rolled_back;
        let (mode, number, done, lost) = (self.report.mode, self.number, self.report.done, self.report.lost);
        let told = told.join(", ");
        eprintln!(
            "{mode}: round {number} ({name}): {told}; {rolled_back} units rolled back; {done} acknowledged, {lost} lost"
        );
        self.world.servers[self.world.primary()?].client()?.ask(&["DOC.DROP", &collection])?;
        Ok(())
    }

    /// A client that stays with a primary that is cut off, where refusals are looked for.
    fn start_beside(&self, at: usize, collection: &str) -> Result<Option<Writer>> {
        if self.mode != Mode::ByTwo || self.harm != Harm::Cut {
            return Ok(None);
        }
        let from = (self.number + 1) << 24;
        let Some(mut writer) = Writer::beside(self.world, at, DOCUMENTS, WAIT_BESIDE_MS, from)? else {
            return Ok(None);
        };
        writer.go_on_with(collection)?;
        Ok(Some(writer))
    }

    /// Has the clients rest, and looks at what they wrote before and after the harm, which was done between these moments.
    fn look_at(&mut self, collection: &str, harm: (u64, u64), once: bool, beside: Option<Writer>) -> Result<()> {
        for writer in self.writers.iter_mut() {
            writer.go_on_with("")?;
        }
        let mut writes: Vec<Write> = self.writers.iter().flat_map(Writer::take).collect();
        writes.extend(beside.iter().flat_map(Writer::take));
        drop(beside);
        for write in &writes {
            match write.outcome {
                Outcome::Done => self.report.done += 1,
                Outcome::Refused => self.report.refused += 1,
                Outcome::Unknown => self.report.unknown += 1,
            }
        }
        let mut client = self.world.servers[self.world.primary()?].client()?;
        let lost = match self.mode {
            Mode::ByTwo => {
                let lost = not_linearizable(&mut client, collection, &writes)?;
                ensure!(!once || lost.is_empty(), "acknowledged writes are lost: {lost:?}");
                lost.len()
            }
            Mode::Alone => {
                let lost = lost(&mut client, collection, &writes)?;
                for write in lost.iter().filter(|_| once) {
                    let before_ms = harm.0.saturating_sub(write.returned) as f64 / 1e6;
                    ensure!(write.called < harm.1, "the new primary has lost a write: {write:?}, harm {harm:?}");
                    ensure!(
                        before_ms < LAG.as_secs_f64() * 1e3,
                        "a write of {before_ms} ms before the harm is lost: {write:?}"
                    );
                    self.report.lost_ms_most = self.report.lost_ms_most.max(before_ms);
                }
                lost.len()
            }
        };
        if once {
            self.report.lost += lost as u64;
        } else {
            eprintln!("Sentinel replaced a second primary:\n{}", self.world.told());
            self.report.twice += 1;
            self.report.lost_twice += lost as u64;
        }
        Ok(())
    }

    /// Returns once all servers have the same.
    fn until_equal(&self) -> Result<()> {
        until("equal digests", || {
            let digest = |server: &veddb_tests::Server| server.client()?.ask(&["DEBUG", "DIGEST"]);
            let digests: Vec<Value> = self.world.servers.iter().map(digest).collect::<Result<_>>()?;
            Ok(digests.iter().all(|digest| *digest == digests[0]))
        })
    }
}

fn rolled_back(world: &World, at: usize) -> Result<u64> {
    Ok(world.servers[at].client()?.figure("replication", "rollback_units")?.parse()?)
}
