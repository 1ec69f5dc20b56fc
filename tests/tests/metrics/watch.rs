//! A check of some families: what it does, and which figures it has compared.
//!
//! Invariant: a check that did not compare a family that it is listed for fails, and so does one that compared another, or one that never saw
//! more of a family than 0: what is always 0 may be read from nowhere.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use veddb_tests::http::Scrape;
use veddb_tests::{Options, Server};

/// How long what has to happen may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Labels with their values.
pub(crate) type Labels<'l> = &'l [(&'l str, &'l str)];

/// What is done for some families.
pub(crate) struct Check {
    /// The families whose figures it compares.
    pub(crate) of: &'static [&'static str],
    /// What it does.
    pub(crate) run: fn(&Seen) -> Result<()>,
}

/// Families of which a check sees nothing but 0, and why.
const ONLY_ZERO: [(&str, &str); 1] =
    [("veddb_engine_compactor_running", "a run is over in a millisecond, and nothing holds it up")];

/// Runs these checks, each after the other.
pub(crate) fn run(checks: &[Check]) -> Result<()> {
    for check in checks {
        let seen = Seen::default();
        (check.run)(&seen).with_context(|| format!("{:?}", check.of))?;
        let expected: BTreeSet<String> = check.of.iter().map(|name| (*name).to_owned()).collect();
        let (compared, mut more) = (seen.compared.into_inner(), seen.more_than_zero.into_inner());
        ensure!(compared == expected, "it compared {compared:?} and is listed for {expected:?}");
        more.extend(ONLY_ZERO.map(|(name, _)| name.to_owned()));
        let idle: Vec<_> = expected.difference(&more).collect();
        ensure!(idle.is_empty(), "of these it saw nothing but 0: {idle:?}");
    }
    Ok(())
}

/// The families that were compared, and those of them of which there was more than 0.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    compared: RefCell<BTreeSet<String>>,
    more_than_zero: RefCell<BTreeSet<String>>,
}

impl Seen {
    fn note(&self, scrape: &Scrape, name: &str, value: f64) {
        let family = scrape.family(name).unwrap_or(name).to_owned();
        if value != 0.0 {
            self.more_than_zero.borrow_mut().insert(family.clone());
        }
        self.compared.borrow_mut().insert(family);
    }

    /// It grew by so much; what was not shown before was 0.
    pub(crate) fn grew(&self, before: &Scrape, after: &Scrape, name: &str, labels: Labels<'_>, by: f64) -> Result<()> {
        self.note(after, name, by);
        let is = after.get(name, labels).with_context(|| format!("{name}{labels:?} is not shown"))?;
        let was = before.get(name, labels).unwrap_or(0.0);
        ensure!(is - was == by, "{name}{labels:?} was {was} and is {is}: not {by} more");
        Ok(())
    }

    /// It is this.
    pub(crate) fn is(&self, scrape: &Scrape, name: &str, labels: Labels<'_>, value: f64) -> Result<()> {
        self.within(scrape, name, labels, value, value)
    }

    /// It is between these.
    pub(crate) fn within(&self, scrape: &Scrape, name: &str, labels: Labels<'_>, low: f64, high: f64) -> Result<()> {
        let is = scrape.get(name, labels).with_context(|| format!("{name}{labels:?} is not shown"))?;
        self.note(scrape, name, is);
        ensure!((low..=high).contains(&is), "{name}{labels:?} is {is}, not {low} to {high}");
        Ok(())
    }

    /// They cannot be caused where this runs.
    pub(crate) fn skip(&self, names: &[&str], reason: &str) -> Result<()> {
        may_skip(reason)?;
        for set in [&self.compared, &self.more_than_zero] {
            set.borrow_mut().extend(names.iter().map(|name| (*name).to_owned()));
        }
        Ok(())
    }

    /// It comes to be between these.
    pub(crate) fn comes_to(&self, server: &Watched, name: &str, labels: Labels<'_>, low: f64, high: f64) -> Result<()> {
        until(&format!("{name}{labels:?} from {low} to {high}"), || {
            let scrape = server.scrape()?;
            let Some(is) = scrape.get(name, labels).filter(|is| (low..=high).contains(is)) else { return Ok(false) };
            self.note(&scrape, name, is);
            Ok(true)
        })
    }
}

/// Something cannot be caused where this runs, which was said. Where `CI` is set that has to be permitted by name in `VEDDB_MAY_SKIP`: what
/// nobody looks at must not pass there.
pub(crate) fn may_skip(reason: &str) -> Result<()> {
    let is_set = |value: String| !matches!(value.as_str(), "" | "0" | "false");
    let permitted = std::env::var("VEDDB_MAY_SKIP").unwrap_or_default();
    let may = !std::env::var("CI").is_ok_and(is_set) || permitted.split_whitespace().any(|word| word == reason);
    ensure!(may, "it cannot be caused here: {reason}; VEDDB_MAY_SKIP={reason} permits that");
    Ok(())
}

/// A server with an HTTP port.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) server: Server,
}

impl Watched {
    /// Starts one.
    pub(crate) fn start(options: Options) -> Result<Watched> {
        Ok(Watched { server: options.http().start()? })
    }

    /// Its `http-port`.
    pub(crate) fn http(&self) -> u16 {
        self.server.http_port()
    }

    /// What it shows now.
    pub(crate) fn scrape(&self) -> Result<Scrape> {
        Scrape::of(self.http())
    }
}

/// Returns once this holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !holds()? {
        if Instant::now() > end {
            bail!("{what}: not within {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
