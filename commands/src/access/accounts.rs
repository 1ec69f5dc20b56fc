//! All users and roles at one moment, and how they become others.
//!
//! A value: whoever changes it makes a new one, and those who hold the old one see the old one.
//!
//! Invariant: there is a user `default`; every role that a user has is there; every user's rules are worked out with these roles.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::password::PASSWORD_BYTES_MAX;
use super::role::{self, Role, Roles};
use super::rule::has_spaces;
use super::user::{DEFAULT, NAME_BYTES_MAX, User, merge_selectors};
use crate::error::CommandError;

/// All users and roles.
#[derive(Debug, Clone)]
pub struct Accounts {
    users: BTreeMap<Bytes, Arc<User>>,
    roles: Roles,
}

/// What bounds users, and what new ones may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountLimits {
    /// `acl-max-rules`, rules and passwords of one user or role.
    pub rules: usize,
    /// `acl-pubsub-default`: new users may listen to all channels.
    pub all_channels: bool,
}

impl Default for AccountLimits {
    fn default() -> AccountLimits {
        AccountLimits { rules: 1000, all_channels: false }
    }
}

impl Default for Accounts {
    fn default() -> Accounts {
        let user = Arc::new(User::default_user());
        Accounts { users: BTreeMap::from([(user.name().clone(), user)]), roles: Roles::ready_made() }
    }
}

impl Accounts {
    /// The user of this name.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.users.get(name)
    }

    /// The user that connections are from the start.
    #[must_use]
    pub fn default_user(&self) -> &Arc<User> {
        self.users.get(DEFAULT).expect("nothing removes the default user")
    }

    /// All users, by name.
    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// All roles.
    #[must_use]
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// What ACL SETUSER makes of a user, that is made where there is none. Hashing passwords takes its time.
    ///
    /// # Errors
    /// Redis's, for a name or a rule that cannot be.
    pub fn changed_user(&self, name: &[u8], rules: &[Bytes], limits: &AccountLimits) -> Result<User, CommandError> {
        if has_spaces(name) {
            return Err(CommandError::err("Usernames can't contain spaces or null characters"));
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(CommandError::err(format!("a user's name has at most {NAME_BYTES_MAX} bytes")));
        }
        let is_long =
            |rule: &Bytes| matches!(&**rule, [b'>' | b'<', password @ ..] if password.len() > PASSWORD_BYTES_MAX);
        if rules.iter().any(is_long) {
            return Err(CommandError::err(format!("a password has at most {PASSWORD_BYTES_MAX} bytes")));
        }
        let rules = merge_selectors(rules).map_err(|start| {
            let start = String::from_utf8_lossy(&start).into_owned();
            CommandError::err(format!("Unmatched parenthesis in acl selector starting at '{start}'."))
        })?;
        if rules.len() > limits.rules {
            return Err(too_many(limits));
        }
        let mut user = self.get(name).map_or_else(|| User::new(name, limits.all_channels), |user| User::clone(user));
        for rule in &rules {
            user.apply(rule, &self.roles, limits.all_channels).map_err(|error| {
                // A password may be what was mistyped.
                let shown = String::from_utf8_lossy(rule);
                CommandError::err(format!("Error in ACL SETUSER modifier '{shown}': {error}"))
            })?;
        }
        if user.rules() > limits.rules {
            return Err(too_many(limits));
        }
        user.compile(&self.roles);
        Ok(user)
    }

    /// The same with this user, in place of the one of its name.
    #[must_use]
    pub fn with_user(&self, user: User) -> Accounts {
        let mut after = self.clone();
        after.put_user(Arc::new(user));
        after
    }

    /// Adds a user, in place of the one of its name.
    pub fn put_user(&mut self, user: Arc<User>) {
        self.users.insert(user.name().clone(), user);
    }

    /// The same without these users, and how many of them there were. `default` stays.
    #[must_use]
    pub fn without_users(&self, names: &[Bytes]) -> (Accounts, usize) {
        let mut after = self.clone();
        let gone = names.iter().filter(|name| &name[..] != DEFAULT && after.users.remove(&name[..]).is_some()).count();
        (after, gone)
    }

    /// What ACL SETROLE makes of a role.
    ///
    /// # Errors
    /// For a ready made role, and for a name or a rule that cannot be.
    pub fn changed_role(&self, name: &[u8], rules: &[Bytes], limits: &AccountLimits) -> Result<Role, CommandError> {
        let shown = String::from_utf8_lossy(name);
        if !role::is_name(name) {
            let most = role::NAME_BYTES_MAX;
            let what =
                format!("a role's name has 1 to {most} bytes, and no spaces, null characters, '|' and parentheses");
            return Err(CommandError::err(what));
        }
        if rules.len() > limits.rules {
            return Err(too_many(limits));
        }
        let before = self.roles.get(name);
        if before.is_some_and(|role| role.is_ready_made()) {
            return Err(CommandError::err(format!("The role '{shown}' is ready made and cannot be changed")));
        }
        let role = before.map_or_else(|| Arc::new(Role::default()), Arc::clone);
        let role = role.with(rules.iter().map(|rule| &rule[..])).map_err(|(rule, error)| {
            let rule = String::from_utf8_lossy(&rule).into_owned();
            CommandError::err(format!("Error in ACL SETROLE modifier '{rule}': {error}"))
        })?;
        if role.selector().rules() > limits.rules {
            return Err(too_many(limits));
        }
        Ok(role)
    }

    /// The same with this role; those who have it have what it says now.
    #[must_use]
    pub fn with_role(&self, name: &[u8], role: Role) -> Accounts {
        let mut after = self.clone();
        after.roles.insert(name, role);
        after.compile_those_with(name);
        after
    }

    /// The same without these roles, and how many of them there were.
    ///
    /// # Errors
    /// For a ready made role, and one that somebody has.
    pub fn without_roles(&self, names: &[Bytes]) -> Result<(Accounts, usize), CommandError> {
        let mut after = self.clone();
        let mut gone = 0;
        for name in names {
            let shown = String::from_utf8_lossy(name);
            if after.roles.get(name).is_some_and(|role| role.is_ready_made()) {
                return Err(CommandError::err(format!("The role '{shown}' is ready made and cannot be removed")));
            }
            if let Some(user) = self.users().find(|user| user.has_role(name)) {
                let user = String::from_utf8_lossy(user.name());
                return Err(CommandError::err(format!("The user '{user}' has the role '{shown}'")));
            }
            gone += usize::from(after.roles.remove(name));
        }
        Ok((after, gone))
    }

    fn compile_those_with(&mut self, role: &[u8]) {
        for user in self.users.values_mut().filter(|user| user.has_role(role)) {
            Arc::make_mut(user).compile(&self.roles);
        }
    }
}

fn too_many(limits: &AccountLimits) -> CommandError {
    CommandError::err(format!("more than {} rules (acl-max-rules)", limits.rules))
}
