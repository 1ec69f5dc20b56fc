//! Roles: rules under a name, which users are given by `+role:name`.
//!
//! A role has rules about commands, patterns of keys and of channels, and no roles of its own. Those that are ready made have only rules
//! about commands: which keys and channels is each user's own affair.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use super::rule::{RuleError, has_spaces};
use super::selector::Selector;

/// How a rule that gives a role begins, behind its sign.
pub(super) const ROLE: &[u8] = b"role:";

/// The longest name, bytes.
pub const NAME_BYTES_MAX: usize = 120;

/// The ready made roles. A word that names no command of this server says nothing.
const READY_MADE: &[(&str, &str)] = &[
    ("admin", "+@all"),
    ("monitor", MONITOR),
    ("reader", READER),
    ("replica", "+replica.follow +ping"),
    ("sentinel", SENTINEL),
    ("writer", WRITER),
];

const READER: &str = "+@read +@connection +@transaction +subscribe +psubscribe +ssubscribe +unsubscribe +punsubscribe \
    +sunsubscribe -@dangerous +acl|whoami";

const WRITER: &str = "+@read +@write +@connection +@transaction +@pubsub -@dangerous +acl|whoami";

/// What watches a server and changes nothing. Not CONFIG GET, which shows the password of the setting `requirepass`.
const MONITOR: &str = "+ping +echo +hello +info +time +role +dbsize +lastsave +command +latency|latest +latency|history \
    +latency|histogram +slowlog|get +slowlog|len +memory|stats +memory|doctor +client|list +client|info +client|id \
    +client|setname +client|getname +client|setinfo +pubsub|numpat +doc.stats +idx.list +key.status +acl|whoami";

/// What redis-sentinel sends to the servers that it watches.
const SENTINEL: &str = "+multi +slaveof +replicaof +ping +exec +subscribe +config|rewrite +role +publish +info \
    +client|setname +client|kill +script|kill +acl|whoami";

/// Rules under a name.
#[derive(Debug, Clone)]
pub struct Role {
    selector: Selector,
    ready_made: bool,
}

impl Role {
    /// A role of these rules.
    ///
    /// # Errors
    /// The rule that cannot be, and why.
    pub fn new<'r>(rules: impl Iterator<Item = &'r [u8]>) -> Result<Role, (Vec<u8>, RuleError)> {
        Role::default().with(rules)
    }

    /// The same with more rules.
    ///
    /// # Errors
    /// The rule that cannot be, and why.
    pub fn with<'r>(&self, rules: impl Iterator<Item = &'r [u8]>) -> Result<Role, (Vec<u8>, RuleError)> {
        let mut selector = self.selector.clone();
        for rule in rules.filter(|rule| !rule.is_empty()) {
            if rule.eq_ignore_ascii_case(b"reset") {
                selector = Selector::new(false);
                continue;
            }
            selector.apply(rule, None).map_err(|error| (rule.to_vec(), error))?;
        }
        selector.compile(&Roles::NONE);
        Ok(Role { selector, ready_made: false })
    }

    /// Its rules.
    #[must_use]
    pub fn selector(&self) -> &Selector {
        &self.selector
    }

    /// Whether it cannot be changed.
    #[must_use]
    pub fn is_ready_made(&self) -> bool {
        self.ready_made
    }

    /// Its rules, as they can be given.
    #[must_use]
    pub fn show(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.selector.show(&mut out);
        out
    }
}

impl Default for Role {
    fn default() -> Role {
        Role { selector: Selector::new(false), ready_made: false }
    }
}

/// All roles, by name.
#[derive(Debug, Clone, Default)]
pub struct Roles(BTreeMap<Vec<u8>, Arc<Role>>);

static BUILT_IN: LazyLock<Roles> = LazyLock::new(|| {
    let made = READY_MADE.iter().map(|(name, rules)| {
        let known = rules.split_ascii_whitespace().filter(|rule| names_something(rule)).map(str::as_bytes);
        let role = Role::new(known).unwrap_or_default();
        (name.as_bytes().to_vec(), Arc::new(Role { ready_made: true, ..role }))
    });
    Roles(made.collect())
});

/// Commands of replication come and go with the build that has them.
fn names_something(rule: &str) -> bool {
    rule.get(1..).is_some_and(|name| name.starts_with('@') || crate::lookup::by_name(name.as_bytes()).is_some())
}

impl Roles {
    pub(super) const NONE: Roles = Roles(BTreeMap::new());

    /// The ready made ones.
    #[must_use]
    pub fn ready_made() -> Roles {
        BUILT_IN.clone()
    }

    /// The role of this name.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&Arc<Role>> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Arc<Role>)> {
        self.0.iter().map(|(name, role)| (name.as_slice(), role))
    }

    pub(super) fn insert(&mut self, name: &[u8], role: Role) {
        self.0.insert(name.to_vec(), Arc::new(role));
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> bool {
        self.0.remove(name).is_some()
    }
}

/// Whether a role may be called this.
#[must_use]
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !has_spaces(name)
        && !name.iter().any(|byte| b"|()".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_made_roles_are_what_their_rules_say() {
        for (name, rules) in READY_MADE {
            let role = BUILT_IN.get(name.as_bytes()).unwrap();
            assert!(role.is_ready_made());
            let known = rules.split_ascii_whitespace().filter(|rule| names_something(rule));
            // The shown form is another spelling of the same.
            let again = Role::new(role.show().split(|byte| *byte == b' ')).unwrap();
            assert_eq!(again.show(), role.show(), "{name}");
            assert!(known.count() > 0, "{name}");
        }
    }
}
