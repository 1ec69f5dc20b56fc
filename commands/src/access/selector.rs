//! A set of rules: which commands, on which keys and collections, on which channels.
//!
//! Owns the rules as they were given, in their order, and what they come to. Redis's rules, and `+role:name`, which stands for the role's
//! rules at its place among those of commands and brings the role's patterns.
//!
//! Invariant: what is allowed is what the rules come to when they are gone through in their order, with the roles of that moment.

use std::cell::OnceCell;
use std::collections::HashMap;

use bytes::Bytes;

use super::category::{self, categories};
use super::denial::{Denial, Reason};
use super::keys::{KeyUse, has_keys, keys};
use super::role::{ROLE, Roles};
use super::rule::{RuleError, has_spaces};
use crate::args::Args;
use crate::context::Limits;
use crate::glob;
use crate::lookup::{Entry, by_name, entries};
use crate::spec::{Channels, Run};

/// A pattern of keys and collections, and what may be done to those that match.
#[derive(Debug, Clone, PartialEq, Eq)]
struct KeyPattern {
    pattern: Bytes,
    reads: bool,
    writes: bool,
}

impl KeyPattern {
    fn allows(&self, reads: bool, writes: bool) -> bool {
        (self.reads || !reads) && (self.writes || !writes)
    }

    fn show(&self, out: &mut Vec<u8>) {
        let sign: &[u8] = match (self.reads, self.writes) {
            (true, true) => b"~",
            (true, false) => b"%R~",
            _ => b"%W~",
        };
        out.extend(sign);
        out.extend(&self.pattern);
    }
}

/// A rule about commands: `+get`, `-@dangerous`, `+role:reader`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CommandRule {
    allows: bool,
    /// Without the sign; in lower case but for a role's name.
    text: Vec<u8>,
}

/// Patterns of keys or channels; all is more than any pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Patterns<T> {
    all: bool,
    list: Vec<T>,
}

impl<T> Default for Patterns<T> {
    fn default() -> Patterns<T> {
        Patterns { all: false, list: Vec::new() }
    }
}

impl<T: Clone + PartialEq> Patterns<T> {
    fn join(&mut self, other: &Patterns<T>) {
        self.all |= other.all;
        let new: Vec<T> = other.list.iter().filter(|pattern| !self.list.contains(pattern)).cloned().collect();
        self.list.extend(new);
    }
}

/// What the rules come to.
#[derive(Debug, Clone, Default)]
struct Allowed {
    /// Each command by its place in the table, and nothing else is looked at.
    all: bool,
    commands: Vec<u64>,
    /// First arguments, in lower case, of commands that are not allowed otherwise.
    first_arguments: HashMap<usize, Vec<Vec<u8>>>,
    keys: Patterns<KeyPattern>,
    channels: Patterns<Bytes>,
}

impl Allowed {
    fn has(&self, index: usize) -> bool {
        self.commands.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    fn set(&mut self, index: usize, on: bool) {
        if self.commands.is_empty() {
            self.commands = vec![0; entries().len().div_ceil(64)];
        }
        if let Some(word) = self.commands.get_mut(index / 64) {
            if on {
                *word |= 1 << (index % 64);
            } else {
                *word &= !(1 << (index % 64));
            }
        }
        self.all &= on;
    }

    fn set_all(&mut self, on: bool) {
        self.commands = vec![if on { u64::MAX } else { 0 }; entries().len().div_ceil(64)];
        self.first_arguments.clear();
        self.all = on;
    }

    /// A command with its subcommands.
    fn set_command(&mut self, entry: &Entry, on: bool) {
        self.set(entry.index, on);
        self.first_arguments.remove(&entry.index);
        // They stand right behind their container.
        for sub in 1..=entry.command.subcommands.len() {
            self.set(entry.index + sub, on);
        }
    }

    fn join(&mut self, role: &Allowed) {
        if role.all {
            self.set_all(true);
        }
        for entry in entries().iter().filter(|entry| role.has(entry.index)) {
            self.set(entry.index, true);
        }
        for (command, arguments) in &role.first_arguments {
            self.first_arguments.entry(*command).or_default().extend(arguments.iter().cloned());
        }
        self.keys.join(&role.keys);
        self.channels.join(&role.channels);
    }
}

/// A set of rules.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    keys: Patterns<KeyPattern>,
    channels: Patterns<Bytes>,
    /// The rules about commands begin with `+@all`, and not with `-@all`.
    begins_with_all: bool,
    commands: Vec<CommandRule>,
    allowed: Allowed,
}

/// A request on its way to selectors, each of which may ask which keys it has.
pub(super) struct Asked<'a> {
    pub(super) entry: &'a Entry,
    pub(super) args: &'a Args,
    pub(super) limits: &'a Limits,
    pub(super) keys: OnceCell<Vec<KeyUse>>,
}

impl Selector {
    /// One of a user that is made: nothing is allowed, but channels if that is the default.
    pub(super) fn new(all_channels: bool) -> Selector {
        let channels = Patterns { all: all_channels, list: Vec::new() };
        Selector { channels, ..Selector::default() }
    }

    /// What these rules come to where nothing is allowed before. Roles are not among them: their rules change.
    ///
    /// # Errors
    /// The first rule that cannot be, with what is wrong with it.
    pub fn of<'a>(rules: impl IntoIterator<Item = &'a [u8]>) -> Result<Selector, (&'a [u8], RuleError)> {
        let mut selector = Selector::new(false);
        for rule in rules {
            selector.apply(rule, None).map_err(|error| (rule, error))?;
        }
        selector.compile(&Roles::NONE);
        Ok(selector)
    }

    /// Adds a rule; what the rules come to is known only after [`Selector::compile`].
    pub(super) fn apply(&mut self, rule: &[u8], roles: Option<&Roles>) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        match rule {
            _ if is("allkeys") || rule == b"~*" => self.keys = Patterns { all: true, list: Vec::new() },
            _ if is("resetkeys") => self.keys = Patterns::default(),
            _ if is("allchannels") || rule == b"&*" => self.channels = Patterns { all: true, list: Vec::new() },
            _ if is("resetchannels") => self.channels = Patterns::default(),
            _ if is("allcommands") || is("+@all") => (self.begins_with_all, self.commands) = (true, Vec::new()),
            _ if is("nocommands") || is("-@all") => (self.begins_with_all, self.commands) = (false, Vec::new()),
            [b'~', pattern @ ..] => self.add_keys(pattern, true, true)?,
            [b'%', rest @ ..] => self.add_keys_of(rest)?,
            [b'&', pattern @ ..] => self.add_channels(pattern)?,
            [sign @ (b'+' | b'-'), rest @ ..] => self.add_command(*sign == b'+', rest, roles)?,
            _ => return Err(RuleError::Syntax),
        }
        Ok(())
    }

    fn add_keys_of(&mut self, rest: &[u8]) -> Result<(), RuleError> {
        if self.keys.all {
            return Err(RuleError::AfterAllKeys);
        }
        let at = rest.iter().position(|byte| *byte == b'~').ok_or(RuleError::Syntax)?;
        let (letters, pattern) = rest.split_at(at);
        let (reads, writes) = match letters.to_ascii_uppercase().as_slice() {
            b"R" => (true, false),
            b"W" => (false, true),
            b"RW" | b"WR" => (true, true),
            _ => return Err(RuleError::Syntax),
        };
        self.add_keys(pattern.get(1..).unwrap_or_default(), reads, writes)
    }

    fn add_keys(&mut self, pattern: &[u8], reads: bool, writes: bool) -> Result<(), RuleError> {
        if self.keys.all {
            return Err(RuleError::AfterAllKeys);
        }
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        match self.keys.list.iter_mut().find(|known| known.pattern == pattern) {
            Some(known) => (known.reads, known.writes) = (known.reads || reads, known.writes || writes),
            None => self.keys.list.push(KeyPattern { pattern: Bytes::copy_from_slice(pattern), reads, writes }),
        }
        Ok(())
    }

    fn add_channels(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.channels.all {
            return Err(RuleError::AfterAllChannels);
        }
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.list.iter().any(|known| known == pattern) {
            self.channels.list.push(Bytes::copy_from_slice(pattern));
        }
        Ok(())
    }

    fn add_command(&mut self, allows: bool, text: &[u8], roles: Option<&Roles>) -> Result<(), RuleError> {
        if let Some(name) = role_of(text) {
            // A role has none itself: so there are no circles.
            let roles = roles.ok_or(RuleError::Syntax)?;
            roles.get(name).ok_or(RuleError::UnknownRole)?;
            self.commands.retain(|rule| role_of(&rule.text) != Some(name));
            if allows {
                self.commands.push(CommandRule { allows, text: [ROLE, name].concat() });
            }
            return Ok(());
        }
        let lower = text.to_ascii_lowercase();
        if let Some(name) = lower.strip_prefix(b"@") {
            category::find(name).ok_or(RuleError::UnknownCommand)?;
            self.put(allows, lower);
            return Ok(());
        }
        let first_argument = allows.then(|| lower.iter().rposition(|byte| *byte == b'|')).flatten();
        let Some(bar) = first_argument else {
            by_name(&lower).ok_or(RuleError::UnknownCommand)?;
            self.put(allows, lower);
            return Ok(());
        };
        let (name, argument) = lower.split_at(bar);
        let entry = by_name(name).ok_or(RuleError::UnknownCommand)?;
        if entry.name.contains('|') {
            return Err(RuleError::FirstArgOfSubcommand);
        }
        if argument.len() < 2 || has_spaces(argument) {
            return Err(RuleError::Syntax);
        }
        if !entry.command.subcommands.is_empty() {
            by_name(&lower).ok_or(RuleError::UnknownCommand)?;
        }
        self.put(allows, lower);
        Ok(())
    }

    /// The rule replaces those that it makes meaningless: itself, with either sign, and those on its subcommands.
    fn put(&mut self, allows: bool, text: Vec<u8>) {
        let outdone = |rule: &CommandRule| {
            rule.text.strip_prefix(text.as_slice()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"|"))
        };
        self.commands.retain(|rule| !outdone(rule));
        self.commands.push(CommandRule { allows, text });
    }

    /// The names of its roles.
    pub(super) fn roles(&self) -> impl Iterator<Item = &[u8]> {
        self.commands.iter().filter_map(|rule| role_of(&rule.text))
    }

    /// How many rules there are.
    pub(super) fn rules(&self) -> usize {
        self.commands.len() + self.keys.list.len() + self.channels.list.len()
    }

    /// Works out what the rules come to.
    pub(super) fn compile(&mut self, roles: &Roles) {
        let mut allowed = Allowed { keys: self.keys.clone(), channels: self.channels.clone(), ..Allowed::default() };
        allowed.set_all(self.begins_with_all);
        for CommandRule { allows, text } in &self.commands {
            if let Some(name) = role_of(text) {
                if let Some(role) = roles.get(name) {
                    allowed.join(&role.selector().allowed);
                }
            } else if let Some(category) = text.strip_prefix(b"@") {
                let within =
                    |entry: &&Entry| categories(entry.command).iter().any(|known| known.as_bytes() == category);
                entries().iter().filter(within).for_each(|entry| allowed.set_command(entry, *allows));
            } else if let Some(entry) = by_name(text) {
                allowed.set_command(entry, *allows);
            } else if let Some(bar) = text.iter().rposition(|byte| *byte == b'|') {
                let (name, argument) = text.split_at(bar);
                let argument = argument.get(1..).unwrap_or_default().to_vec();
                if let Some(entry) = by_name(name) {
                    allowed.first_arguments.entry(entry.index).or_default().push(argument);
                }
            }
        }
        self.allowed = allowed;
    }

    /// Why a request may not run by these rules.
    pub(super) fn check(&self, asked: &Asked<'_>) -> Result<(), Denial> {
        let Asked { entry, args, .. } = asked;
        let Allowed { all, keys: patterns, channels, .. } = &self.allowed;
        if !all && !entry.command.flags.contains(&"no_auth") && !self.may_run(entry, args) {
            let object = Bytes::copy_from_slice(entry.name.as_bytes());
            return Err(Denial { reason: Reason::Command, object, at: 0 });
        }
        if let Run::Mixed { writes, also, .. } = entry.command.run
            && !all
            && !by_name(also.as_bytes()).is_some_and(|other| self.allowed.has(other.index))
            && writes(args, asked.limits)
        {
            return Err(Denial { reason: Reason::Command, object: Bytes::from_static(also.as_bytes()), at: 0 });
        }
        if !patterns.all && has_keys(entry.command) {
            let keys = asked.keys.get_or_init(|| keys(entry, args, asked.limits));
            if let Some(refused) = keys.iter().find(|key| !self.may_touch(&key.key, key.reads(), key.writes())) {
                return Err(Denial { reason: Reason::Key, object: refused.key.clone(), at: refused.at });
            }
        }
        if channels.all || entry.command.channels == Channels::None {
            return Ok(());
        }
        let is_pattern = entry.command.channels == Channels::Patterns;
        let count = if entry.command.channels == Channels::First { 1 } else { args.len() };
        for (at, channel) in args.from(0).iter().enumerate().skip(1).take(count) {
            if !self.may_hear(channel, is_pattern) {
                return Err(Denial { reason: Reason::Channel, object: channel.clone(), at });
            }
        }
        Ok(())
    }

    fn may_run(&self, entry: &Entry, args: &Args) -> bool {
        if self.allowed.has(entry.index) {
            return true;
        }
        let at = if entry.name.contains('|') { 2 } else { 1 };
        let (Some(listed), Some(argument)) = (self.allowed.first_arguments.get(&entry.index), args.get(at)) else {
            return false;
        };
        listed.iter().any(|known| known.eq_ignore_ascii_case(argument))
    }

    /// Whether a request of this command may read a key or collection that it does not name.
    pub(super) fn may_read(&self, entry: &Entry, args: &Args, name: &[u8]) -> bool {
        (self.allowed.all || self.may_run(entry, args)) && self.may_touch(name, true, false)
    }

    /// Whether a key or collection may be touched in this way.
    pub(super) fn may_touch(&self, name: &[u8], reads: bool, writes: bool) -> bool {
        let keys = &self.allowed.keys;
        let fits = |known: &KeyPattern| known.allows(reads, writes) && glob::matches(&known.pattern, name, false);
        keys.all || keys.list.iter().any(fits)
    }

    /// Whether a channel may be published on and listened to; a pattern has to stand there as it is.
    pub(super) fn may_hear(&self, channel: &[u8], is_pattern: bool) -> bool {
        let channels = &self.allowed.channels;
        let fits = |known: &Bytes| if is_pattern { known == channel } else { glob::matches(known, channel, false) };
        channels.all || channels.list.iter().any(fits)
    }

    /// The rules about commands, as ACL GETUSER shows them.
    pub fn show_commands(&self) -> Vec<u8> {
        let mut out = if self.begins_with_all { b"+@all".to_vec() } else { b"-@all".to_vec() };
        for rule in &self.commands {
            out.extend(if rule.allows { b" +" } else { b" -" });
            out.extend(&rule.text);
        }
        out
    }

    /// The patterns of keys, as ACL GETUSER shows them.
    pub fn show_keys(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.keys.all {
            out.extend(b"~*");
        }
        for pattern in &self.keys.list {
            separate(&mut out);
            pattern.show(&mut out);
        }
        out
    }

    /// The patterns of channels, as ACL GETUSER shows them.
    pub fn show_channels(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.channels.all {
            out.extend(b"&*");
        }
        for pattern in &self.channels.list {
            separate(&mut out);
            out.push(b'&');
            out.extend(pattern);
        }
        out
    }

    /// All rules, as ACL LIST shows them.
    pub fn show(&self, out: &mut Vec<u8>) {
        let keys = self.show_keys();
        if !keys.is_empty() {
            out.extend(keys);
            out.push(b' ');
        }
        if !self.channels.all {
            out.extend(b"resetchannels ");
        }
        let channels = self.show_channels();
        if !channels.is_empty() {
            out.extend(channels);
            out.push(b' ');
        }
        out.extend(self.show_commands());
    }
}

fn separate(out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b' ');
    }
}

/// The name in `role:name`.
fn role_of(text: &[u8]) -> Option<&[u8]> {
    let (word, name) = text.split_at_checked(ROLE.len())?;
    word.eq_ignore_ascii_case(ROLE).then_some(name)
}
