//! Who a connection is: its user, as of the last look, and the token that it got in with.
//!
//! Invariant: whoever takes a user away, or has a token be good no more, either finds the connection in the list with that name or token, or
//! is seen by the connection before it is that user.

use std::sync::Arc;

use bytes::Bytes;
use veddb_commands::access::User;
use veddb_commands::session::Subscription;

use crate::acl::{Acl, is_open};
use crate::client::Client;
use crate::execute::now_ms;
use crate::session::State;
use crate::token::Token;

impl State {
    /// Looks whether its user has other rights since the last look.
    pub(crate) fn look_at_user(&mut self, acl: &Acl) {
        let generation = acl.generation();
        if generation == self.generation {
            return;
        }
        let accounts = acl.load();
        // A connection whose user is gone is being closed.
        if let Some(user) = accounts.get(self.user.name()) {
            self.user = narrowed(user, self.token.as_deref());
        }
        (self.generation, self.open) = (generation, is_open(&accounts));
    }

    /// Whether it may run commands.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.authenticated || self.open
    }

    /// It is another user from now on; false where that user is gone meanwhile, or the token not good any more.
    pub(crate) fn become_user(&mut self, name: &Bytes, token: Option<Arc<Token>>, acl: &Acl, client: &Client) -> bool {
        let before = std::mem::replace(&mut *client.user.lock(), name.clone());
        let token_before = std::mem::replace(&mut *client.token.lock(), token.clone());
        // Whoever removes the user from now on finds this connection.
        self.generation = acl.generation();
        let accounts = acl.load();
        self.open = is_open(&accounts);
        let stands = token.as_ref().is_none_or(|token| acl.tokens.stands(token));
        match accounts.get(name).filter(|user| user.is_enabled() && stands) {
            Some(user) => {
                (self.user, self.authenticated) = (narrowed(user, token.as_deref()), true);
                self.token = token;
            }
            None => {
                *client.user.lock() = before;
                *client.token.lock() = token_before;
                // What was read is not its user: that is looked at anew.
                self.generation = 0;
                // Whoever revoked the token that it has had, or removed its user, meanwhile did not find it.
                if self.is_authenticated() && self.has_lost_rights(acl) {
                    client.kill();
                }
                return false;
            }
        }
        true
    }

    /// Whether the token that it got in with has expired.
    pub(crate) fn has_expired(&self) -> bool {
        self.token.as_ref().is_some_and(|token| token.expires_ms <= now_ms())
    }

    /// Whether its user is gone, its token is not good any more, or it listens to what its user may not hear.
    pub(crate) fn has_lost_rights(&self, acl: &Acl) -> bool {
        let accounts = acl.load();
        let Some(user) = accounts.get(self.user.name()) else { return true };
        if self.token.as_ref().is_some_and(|token| !user.is_enabled() || !acl.tokens.stands(token)) {
            return true;
        }
        let Some(subscriptions) = &self.subscriptions else { return false };
        [Subscription::Channel, Subscription::Shard, Subscription::Pattern].into_iter().any(|kind| {
            subscriptions.names(kind).iter().any(|name| !user.may_hear(name, kind == Subscription::Pattern))
        })
    }
}

/// A user as a token has it be.
pub(crate) fn narrowed(user: &Arc<User>, token: Option<&Token>) -> Arc<User> {
    let bounds = token.and_then(|token| token.bounds.as_ref());
    bounds.map_or_else(|| Arc::clone(user), |bounds| Arc::new(user.narrowed(bounds)))
}
