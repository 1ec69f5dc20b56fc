//! A check of some families: what it does, and which figures it has compared.
//!
//! Invariant: a check that did not compare a family that it is listed for fails, and so does one that compared another.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::TcpListener;
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

/// Runs these checks, each after the other.
pub(crate) fn run(checks: &[Check]) -> Result<()> {
    for check in checks {
        let seen = Seen::default();
        (check.run)(&seen).with_context(|| format!("{:?}", check.of))?;
        let expected: BTreeSet<String> = check.of.iter().map(|name| (*name).to_owned()).collect();
        let compared = seen.0.into_inner();
        ensure!(compared == expected, "it compared {compared:?} and is listed for {expected:?}");
    }
    Ok(())
}

/// The families that were compared.
#[derive(Debug, Default)]
pub(crate) struct Seen(RefCell<BTreeSet<String>>);

impl Seen {
    fn note(&self, scrape: &Scrape, name: &str) {
        self.0.borrow_mut().insert(scrape.family(name).unwrap_or(name).to_owned());
    }

    /// It grew by so much; what is not shown is 0.
    pub(crate) fn grew(&self, before: &Scrape, after: &Scrape, name: &str, labels: Labels<'_>, by: f64) -> Result<()> {
        self.note(after, name);
        let (was, is) = (before.get(name, labels).unwrap_or(0.0), after.get(name, labels).unwrap_or(0.0));
        ensure!(is - was == by, "{name}{labels:?} was {was} and is {is}: not {by} more");
        Ok(())
    }

    /// It is this.
    pub(crate) fn is(&self, scrape: &Scrape, name: &str, labels: Labels<'_>, value: f64) -> Result<()> {
        self.within(scrape, name, labels, value, value)
    }

    /// It is between these.
    pub(crate) fn within(&self, scrape: &Scrape, name: &str, labels: Labels<'_>, low: f64, high: f64) -> Result<()> {
        self.note(scrape, name);
        let is = scrape.get(name, labels).with_context(|| format!("{name}{labels:?} is not shown"))?;
        ensure!((low..=high).contains(&is), "{name}{labels:?} is {is}, not {low} to {high}");
        Ok(())
    }

    /// They cannot be caused where this runs, which was said.
    pub(crate) fn skip(&self, names: &[&str]) -> Result<()> {
        self.0.borrow_mut().extend(names.iter().map(|name| (*name).to_owned()));
        Ok(())
    }

    /// It comes to be between these.
    pub(crate) fn comes_to(&self, server: &Watched, name: &str, labels: Labels<'_>, low: f64, high: f64) -> Result<()> {
        until(&format!("{name}{labels:?} from {low} to {high}"), || {
            let scrape = server.scrape()?;
            self.note(&scrape, name);
            Ok(scrape.get(name, labels).is_some_and(|is| (low..=high).contains(&is)))
        })
    }
}

/// A server with an HTTP port.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) server: Server,
    pub(crate) http: u16,
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Watched {
    /// Starts one.
    pub(crate) fn start(options: Options) -> Result<Watched> {
        let http = free_port()?;
        Ok(Watched { server: options.set("http-port", http.to_string()).start()?, http })
    }

    /// What it shows now.
    pub(crate) fn scrape(&self) -> Result<Scrape> {
        Scrape::of(self.http)
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
