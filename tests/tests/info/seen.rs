//! What the checks have compared: a field counts as checked once it was what it had to be, and not merely 0.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;

use anyhow::{Context, Result, ensure};
use veddb_tests::{Client, until};

/// INFO at one moment.
pub(crate) struct Info {
    fields: BTreeMap<String, String>,
    /// Bytes of the whole reply, as RESP2 has it.
    pub(crate) reply_bytes: u64,
}

impl Info {
    /// The value of a field.
    pub(crate) fn text(&self, name: &str) -> Result<&str> {
        self.fields.get(name).map(String::as_str).with_context(|| format!("INFO has no {name}"))
    }

    /// The same as a number.
    pub(crate) fn number(&self, name: &str) -> Result<f64> {
        let text = self.text(name)?;
        text.parse().with_context(|| format!("{name}:{text}"))
    }

    /// One figure of a field like `keys=1,expires=0`.
    pub(crate) fn part(&self, name: &str, part: &str) -> Result<f64> {
        let text = self.text(name)?;
        let value = text.split(',').find_map(|pair| pair.strip_prefix(part)?.strip_prefix('='));
        let value = value.with_context(|| format!("{name}:{text} has no {part}"))?;
        value.parse().with_context(|| format!("{name}:{text}"))
    }
}

/// The fields that servers have shown, and those that were compared.
#[derive(Default)]
pub(crate) struct Seen {
    shown: BTreeSet<String>,
    /// With whether it was compared with anything but nothing.
    compared: BTreeMap<String, bool>,
}

impl Seen {
    /// All that a server says of itself.
    pub(crate) fn look(&mut self, client: &mut Client) -> Result<Info> {
        let text = client.info("everything")?;
        let pairs = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        let fields: BTreeMap<_, _> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        self.shown.extend(fields.keys().map(|name| kind(name)));
        let length = text.len();
        let reply_bytes = format!("${length}\r\n\r\n").len() + length;
        Ok(Info { fields, reply_bytes: reply_bytes as u64 })
    }

    /// The field is exactly this.
    pub(crate) fn is(&mut self, info: &Info, name: &str, expected: impl Display) -> Result<()> {
        let (found, expected) = (info.text(name)?, expected.to_string());
        ensure!(found == expected, "{name} is {found:?}, not {expected:?}");
        self.note(name, !is_nothing(&expected));
        Ok(())
    }

    /// The field is a number of these.
    pub(crate) fn within(&mut self, info: &Info, name: &str, range: RangeInclusive<f64>) -> Result<()> {
        let found = info.number(name)?;
        ensure!(range.contains(&found), "{name} is {found}, which is not in {range:?}");
        self.note(name, *range.start() > 0.0 || *range.end() < 0.0);
        Ok(())
    }

    /// The field has grown by a number of these.
    pub(crate) fn grew(&mut self, from: &Info, to: &Info, name: &str, by: RangeInclusive<f64>) -> Result<()> {
        let (before, after) = (from.number(name)?, to.number(name)?);
        ensure!(by.contains(&(after - before)), "{name} went from {before} to {after}, not by {by:?}");
        self.note(name, *by.start() > 0.0);
        Ok(())
    }

    /// The field has grown by this.
    pub(crate) fn grew_by(&mut self, from: &Info, to: &Info, name: &str, by: u64) -> Result<()> {
        self.grew(from, to, name, by as f64..=by as f64)
    }

    /// A figure of a field of several is this.
    pub(crate) fn part_is(&mut self, info: &Info, name: &str, part: &str, expected: u64) -> Result<()> {
        self.part_within(info, name, part, expected as f64..=expected as f64)
    }

    /// A figure of a field of several is a number of these.
    pub(crate) fn part_within(
        &mut self,
        info: &Info,
        name: &str,
        part: &str,
        range: RangeInclusive<f64>,
    ) -> Result<()> {
        let found = info.part(name, part)?;
        ensure!(range.contains(&found), "{part} of {name} is {found}, which is not in {range:?}");
        self.note(name, *range.start() > 0.0);
        Ok(())
    }

    /// What was said of the field holds: for what is neither a number nor known beforehand.
    pub(crate) fn holds(&mut self, info: &Info, name: &str, holds: impl Fn(&str) -> bool) -> Result<()> {
        let found = info.text(name)?;
        ensure!(holds(found), "{name} is {found:?}");
        self.note(name, !is_nothing(found));
        Ok(())
    }

    /// The field comes to be exactly this; all fields at that moment.
    pub(crate) fn comes(&mut self, client: &mut Client, name: &str, expected: impl Display) -> Result<Info> {
        let (mut found, expected) = (None, expected.to_string());
        until(&format!("{name}:{expected}"), || {
            let info = self.look(client)?;
            let text = info.text(name)?.to_owned();
            ensure!(text == expected, "{name} is {text:?}, not {expected:?}");
            found = Some(info);
            Ok(true)
        })?;
        self.note(name, !is_nothing(&expected));
        found.context("it was just found")
    }

    /// The field comes to be a number of these; all fields at that moment.
    pub(crate) fn comes_within(&mut self, client: &mut Client, name: &str, range: RangeInclusive<f64>) -> Result<Info> {
        let mut found = None;
        until(&format!("{name} in {range:?}"), || {
            let info = self.look(client)?;
            let number = info.number(name)?;
            ensure!(range.contains(&number), "{name} is {number}, which is not in {range:?}");
            found = Some(info);
            Ok(true)
        })?;
        self.note(name, *range.start() > 0.0);
        found.context("it was just found")
    }

    fn note(&mut self, name: &str, is_something: bool) {
        *self.compared.entry(kind(name)).or_default() |= is_something;
    }

    /// Takes over what another check has seen.
    pub(crate) fn add(&mut self, other: Seen) {
        self.shown.extend(other.shown);
        for (name, is_something) in other.compared {
            *self.compared.entry(name).or_default() |= is_something;
        }
    }

    /// How many fields were compared.
    pub(crate) fn count(&self) -> usize {
        self.compared.len()
    }

    /// Fields that were shown and that nobody compared, and those of which nobody ever caused anything.
    pub(crate) fn missing(&self) -> (Vec<&str>, Vec<&str>) {
        let unchecked = self.shown.iter().filter(|name| !self.compared.contains_key(*name));
        let nothing = self.compared.iter().filter(|(_, is_something)| !**is_something);
        (unchecked.map(String::as_str).collect(), nothing.map(|(name, _)| name.as_str()).collect())
    }
}

/// The name that all fields have which differ only by what they are of: `slave0` and `slave1` are one.
fn kind(name: &str) -> String {
    for family in ["cmdstat_", "errorstat_", "latency_percentiles_usec_", "records_under_key_", "slave", "db"] {
        let rest = name.strip_prefix(family).unwrap_or_default();
        let is_of = family.ends_with('_') || rest.bytes().all(|byte| byte.is_ascii_digit());
        if !rest.is_empty() && is_of {
            return format!("{family}*");
        }
    }
    name.to_owned()
}

fn is_nothing(text: &str) -> bool {
    text.is_empty() || text.parse::<f64>() == Ok(0.0)
}
