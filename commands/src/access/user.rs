//! A user: its name, its passwords, and its rules.

use std::cell::OnceCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use super::denial::{Denial, Reason};
use super::password::{Password, Salt, new_salt};
use super::role::Roles;
use super::rule::{RuleError, has_spaces};
use super::selector::{Asked, Selector};
use crate::args::Args;
use crate::context::Limits;
use crate::lookup::Entry;

/// The user that a connection is from the start.
pub const DEFAULT: &[u8] = b"default";

/// The longest name, bytes.
pub const NAME_BYTES_MAX: usize = 512;

/// A user.
#[derive(Debug, Clone)]
pub struct User {
    name: Bytes,
    enabled: bool,
    no_password: bool,
    skips_sanitizing: bool,
    passwords: Vec<Password>,
    root: Selector,
    selectors: Vec<Selector>,
    /// What it is held to beside its own rules, where it came with a token that says so.
    bounds: Option<Arc<Selector>>,
    version: u64,
}

static VERSIONS: AtomicU64 = AtomicU64::new(1);

/// Everything is allowed to it.
static UNRESTRICTED: LazyLock<Arc<User>> = LazyLock::new(|| Arc::new(User::default_user()));

impl User {
    /// One that is made: disabled, with no rights, but for channels if that is the default.
    #[must_use]
    pub fn new(name: &[u8], all_channels: bool) -> User {
        User {
            name: Bytes::copy_from_slice(name),
            enabled: false,
            no_password: false,
            skips_sanitizing: false,
            passwords: Vec::new(),
            root: Selector::new(all_channels),
            selectors: Vec::new(),
            bounds: None,
            version: 0,
        }
    }

    /// `default`, as it is where nobody says otherwise.
    #[must_use]
    pub fn default_user() -> User {
        let mut user = User::new(DEFAULT, true);
        for rule in ["+@all", "~*", "on", "nopass"] {
            user.apply(rule.as_bytes(), &Roles::NONE, true).expect("the rules of the default user are right");
        }
        user.compile(&Roles::NONE);
        user
    }

    /// One that may do everything, for what is not done for a user.
    #[must_use]
    pub fn unrestricted() -> &'static Arc<User> {
        &UNRESTRICTED
    }

    /// Adds a rule. Hashing a password takes its time. What the rules come to is known after [`User::compile`].
    ///
    /// # Errors
    /// What is wrong with the rule; then the user is as it was.
    pub fn apply(&mut self, rule: &[u8], roles: &Roles, all_channels: bool) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        match rule {
            [] => {}
            _ if is("on") => self.enabled = true,
            _ if is("off") => self.enabled = false,
            _ if is("skip-sanitize-payload") => self.skips_sanitizing = true,
            _ if is("sanitize-payload") => self.skips_sanitizing = false,
            _ if is("nopass") => (self.no_password, self.passwords) = (true, Vec::new()),
            _ if is("resetpass") => (self.no_password, self.passwords) = (false, Vec::new()),
            [b'>', password @ ..] => {
                let salt = self.salt().unwrap_or_else(new_salt);
                self.add_password(Password::argon2id(&salt, password))?;
            }
            [b'#', hash @ ..] => self.add_password(Password::parse(hash)?)?,
            [b'<', password @ ..] => {
                let mut known = vec![Password::sha256(password)];
                known.extend(self.salt().map(|salt| Password::argon2id(&salt, password)));
                self.remove_password(&known)?;
            }
            [b'!', hash @ ..] => self.remove_password(&[Password::parse(hash)?])?,
            [b'(', rules @ .., b')'] => {
                let mut selector = Selector::new(all_channels);
                for rule in words(rules) {
                    selector.apply(rule, Some(roles))?;
                }
                self.selectors.push(selector);
            }
            _ if is("clearselectors") => self.selectors.clear(),
            _ if is("reset") => {
                *self = User::new(&self.name, all_channels);
            }
            _ => self.root.apply(rule, Some(roles))?,
        }
        Ok(())
    }

    fn add_password(&mut self, password: Password) -> Result<(), RuleError> {
        if let (Password::Argon2id { salt, .. }, Some(known)) = (&password, self.salt())
            && *salt != known
        {
            return Err(RuleError::OtherSalt);
        }
        if !self.passwords.iter().any(|known| known.is(&password)) {
            self.passwords.push(password);
        }
        self.no_password = false;
        Ok(())
    }

    fn remove_password(&mut self, which: &[Password]) -> Result<(), RuleError> {
        let before = self.passwords.len();
        self.passwords.retain(|known| !which.iter().any(|gone| gone.is(known)));
        if self.passwords.len() == before { Err(RuleError::NoSuchPassword) } else { Ok(()) }
    }

    /// Replaces the passwords by this one, or by none being needed.
    pub fn set_password(&mut self, password: Option<Password>) {
        self.no_password = password.is_none();
        self.passwords = password.into_iter().collect();
    }

    /// Works out what the rules come to.
    pub fn compile(&mut self, roles: &Roles) {
        self.root.compile(roles);
        self.selectors.iter_mut().for_each(|selector| selector.compile(roles));
        self.version = VERSIONS.fetch_add(1, Relaxed);
    }

    /// The same user, who may only do what these rules allow as well: they narrow and never widen.
    #[must_use]
    pub fn narrowed(&self, bounds: &Arc<Selector>) -> User {
        let mut rules = Vec::new();
        bounds.show(&mut rules);
        let mut hasher = DefaultHasher::new();
        (self.version, rules).hash(&mut hasher);
        // The same for the same rules of the same user, so that what hangs on it is found by all who are narrowed in that way; the
        // highest bit keeps it from those that are counted.
        let version = hasher.finish() | 1 << 63;
        User { bounds: Some(Arc::clone(bounds)), version, ..self.clone() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Bytes {
        &self.name
    }

    /// Whether one may get in as this user.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether any password is right.
    #[must_use]
    pub fn needs_no_password(&self) -> bool {
        self.no_password
    }

    /// Another one each time its rules, or those of a role of it, are changed.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The passwords, as they are kept.
    #[must_use]
    pub fn passwords(&self) -> &[Password] {
        &self.passwords
    }

    /// The salt of its argon2id hashes.
    #[must_use]
    pub fn salt(&self) -> Option<Salt> {
        self.passwords.iter().find_map(|password| match password {
            Password::Argon2id { salt, .. } => Some(*salt),
            Password::Sha256(_) => None,
        })
    }

    /// Whether this hash is one of its passwords'. Looks at all of them.
    #[must_use]
    pub fn has_password(&self, password: &Password) -> bool {
        self.passwords.iter().fold(false, |found, known| found | known.is(password))
    }

    /// The rules outside of parentheses.
    #[must_use]
    pub fn root(&self) -> &Selector {
        &self.root
    }

    /// Those in parentheses.
    #[must_use]
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    /// Whether it has a role.
    #[must_use]
    pub fn has_role(&self, name: &[u8]) -> bool {
        self.all_selectors().any(|selector| selector.roles().any(|role| role == name))
    }

    /// How many rules it has.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.passwords.len() + self.all_selectors().map(|selector| selector.rules() + 1).sum::<usize>()
    }

    /// Whether a request may run.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(&self, entry: &Entry, args: &Args, limits: &Limits) -> Result<(), Denial> {
        let asked = Asked { entry, args, limits, keys: OnceCell::new() };
        self.check_rules(&asked)?;
        self.bounds.as_ref().map_or(Ok(()), |bounds| bounds.check(&asked))
    }

    fn check_rules(&self, asked: &Asked<'_>) -> Result<(), Denial> {
        let entry = asked.entry;
        let mut worst: Option<Denial> = None;
        for selector in self.all_selectors() {
            let Err(denial) = selector.check(asked) else { return Ok(()) };
            let is_worse = |known: &Denial| (denial.reason, denial.at) > (known.reason, known.at);
            if worst.as_ref().is_none_or(is_worse) {
                worst = Some(denial);
            }
        }
        let nothing =
            || Denial { reason: Reason::Command, object: Bytes::copy_from_slice(entry.name.as_bytes()), at: 0 };
        Err(worst.unwrap_or_else(nothing))
    }

    /// Whether a key or collection is there for this user: whether it may do anything at all to it.
    #[must_use]
    pub fn sees(&self, name: &[u8]) -> bool {
        let may = |selector: &Selector| selector.may_touch(name, false, false);
        self.all_selectors().any(may) && self.bounds.as_deref().is_none_or(may)
    }

    /// Whether a request of this command may read a key or collection that it does not name.
    #[must_use]
    pub fn may_read(&self, entry: &Entry, args: &Args, name: &[u8]) -> bool {
        let may = |selector: &Selector| selector.may_read(entry, args, name);
        self.all_selectors().any(may) && self.bounds.as_deref().is_none_or(may)
    }

    /// Whether it may publish on a channel or listen to it, or listen to a pattern.
    #[must_use]
    pub fn may_hear(&self, channel: &[u8], is_pattern: bool) -> bool {
        let may = |selector: &Selector| selector.may_hear(channel, is_pattern);
        self.all_selectors().any(may) && self.bounds.as_deref().is_none_or(may)
    }

    /// The words of ACL GETUSER's flags.
    #[must_use]
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.enabled { "on" } else { "off" }];
        if self.no_password {
            flags.push("nopass");
        }
        flags.push(if self.skips_sanitizing { "skip-sanitize-payload" } else { "sanitize-payload" });
        flags
    }

    /// All its rules, as ACL LIST shows them behind the name, and as they can be given.
    #[must_use]
    pub fn show(&self) -> Vec<u8> {
        let mut out = self.flags().join(" ").into_bytes();
        out.push(b' ');
        for password in &self.passwords {
            out.extend(format!("#{password} ").bytes());
        }
        self.root.show(&mut out);
        for selector in &self.selectors {
            out.extend(b" (");
            selector.show(&mut out);
            out.push(b')');
        }
        out
    }
}

/// The words of a rule in parentheses.
fn words(rules: &[u8]) -> impl Iterator<Item = &[u8]> {
    rules.split(|byte| has_spaces(&[*byte])).filter(|word| !word.is_empty())
}

/// Rules in parentheses that stand in several arguments become one; the first that is not closed is an error.
///
/// # Errors
/// The argument with the parenthesis that is not closed.
pub fn merge_selectors(rules: &[Bytes]) -> Result<Vec<Bytes>, Bytes> {
    let mut merged = Vec::new();
    let mut open: Option<(Bytes, Vec<u8>)> = None;
    for rule in rules {
        match &mut open {
            None if rule.starts_with(b"(") && !rule.ends_with(b")") => open = Some((rule.clone(), rule.to_vec())),
            None => merged.push(rule.clone()),
            Some((_, text)) => {
                text.push(b' ');
                text.extend(rule);
                if rule.ends_with(b")") {
                    merged.extend(open.take().map(|(_, text)| Bytes::from(text)));
                }
            }
        }
    }
    match open {
        Some((start, _)) => Err(start),
        None => Ok(merged),
    }
}
