//! The role of a server: how it begins to follow another one, and how it ceases to.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use veddb_commands::CommandError;
use veddb_commands::replication::{FollowRequest, ReplicaInfo, Role};
use veddb_storage::promotions;

use super::follow;
use super::handover::HandOver;
use super::link::Link;
use crate::config::Primary;
use crate::server::Server;

impl Server {
    /// What it is.
    pub(crate) fn role(&self) -> Role {
        let lsn = self.position().lsn;
        match self.replication.link() {
            None => Role::Primary { lsn, replicas: self.replication.feeds.infos() },
            Some(link) => {
                let state = link.state();
                let Primary { host, port } = link.primary.clone();
                let lsn = state.heard.is_some().then_some(lsn);
                Role::Replica { host, port, state: state.phase.as_str(), lsn }
            }
        }
    }

    /// Who follows it.
    pub(crate) fn replicas(&self) -> Vec<ReplicaInfo> {
        self.replication.feeds.infos()
    }

    /// Its run id and those of the servers that it follows, the nearest first.
    pub(crate) fn chain(&self) -> Vec<String> {
        let mut chain = vec![self.run_id.clone()];
        if let Some(link) = self.replication.link() {
            chain.extend(link.state().chain);
        }
        chain
    }

    /// Follows the server there from now on; false where it does already. Blocks.
    ///
    /// # Errors
    /// Where it is this server itself, or it is about to hand over. Once it has asked another one to take over it is a replica already, and
    /// may follow whom it is told to: that other one may be gone, and somebody else the primary.
    pub(crate) fn follow(self: &Arc<Self>, primary: Primary, force: bool) -> Result<bool, CommandError> {
        let _changing = self.replication.changing.lock();
        if self.replication.failover.is_on() && !self.replication.failover.is_in_progress() {
            return Err(failing_over());
        }
        if self.is_at(&primary) {
            return Err(CommandError::err("a server cannot follow itself"));
        }
        let follows = self.replication.link().filter(|link| !link.is_cancelled() && link.primary == primary);
        if let Some(link) = follows
            && (link.force.load(SeqCst) || !force)
        {
            return Ok(false);
        }
        self.begin_to_follow(Link::new(primary, force, self.is_own_promotion(), None));
        Ok(true)
    }

    /// The same while `changing` is held.
    pub(super) fn begin_to_follow(self: &Arc<Self>, link: Link) -> Arc<Link> {
        let link = Arc::new(link);
        tracing::info!(host = link.primary.host, port = link.primary.port, "this server follows another one");
        let before = self.replication.link.lock().replace(Arc::clone(&link));
        if let Some(before) = before {
            before.cancel();
        }
        self.replication.is_replica.store(true, SeqCst);
        if link.handover.is_none() {
            self.replication.later_term.store(0, SeqCst);
        }
        self.store().set_replica(true);
        self.config.set_replicaof(Some(link.primary.clone()));
        // Who waits for replicas waits no longer.
        self.replication.feeds.progress();
        tokio::spawn(follow::run(Arc::clone(self), Arc::clone(&link)));
        link
    }

    /// Follows nobody from now on, under a term of its own. Blocks.
    ///
    /// # Errors
    /// While it is handing over and that was not given up. When the term cannot be written; then it is still a replica.
    pub(crate) fn follow_nobody(self: &Arc<Self>) -> Result<(), CommandError> {
        let _changing = self.replication.changing.lock();
        if self.replication.failover.is_on() && !self.replication.failover.is_given_up() {
            return Err(failing_over());
        }
        if !self.replication.is_replica() && self.replication.later_term() == 0 {
            return Ok(());
        }
        let in_doubt = |link: Arc<Link>| link.handover.as_ref().is_some_and(HandOver::may_have_happened);
        let mut past = self.replication.later_term();
        if self.replication.link().is_some_and(in_doubt) {
            // Somebody decides that this one is the primary, whatever became of handing over: should the other one have taken over,
            // by one promotion, this one is the later.
            let other = u64::from(promotions(self.store().position().term).saturating_add(1)) << 32;
            past = past.max(other);
        }
        self.become_primary(past)
    }

    /// The same where this is still the link that it follows by.
    pub(super) fn leave(self: &Arc<Self>, link: &Arc<Link>) -> Result<(), CommandError> {
        let _changing = self.replication.changing.lock();
        let is_current = self.replication.link().is_some_and(|current| Arc::ptr_eq(&current, link));
        if !is_current || link.is_cancelled() || self.replication.failover.is_on() {
            return Ok(());
        }
        self.become_primary(self.replication.later_term())
    }

    /// Becomes a primary, under a term of more promotions than `past`, while `changing` is held.
    pub(super) fn become_primary(self: &Arc<Self>, past: u64) -> Result<(), CommandError> {
        let before = self.replication.link.lock().clone();
        if let Some(before) = &before {
            before.cancel();
        }
        let term = self.promote_past(past);
        if let Err(error) = term {
            // It goes on as what it was.
            if let Some(before) = before {
                let (force, yields) = (before.force.load(SeqCst), before.yields.load(SeqCst));
                self.begin_to_follow(Link::new(before.primary.clone(), force, yields, None));
            }
            return Err(error);
        }
        self.replication.link.lock().take();
        self.replication.later_term.store(0, SeqCst);
        self.replication.is_replica.store(false, SeqCst);
        self.config.set_replicaof(None);
        tracing::info!(term = term.unwrap_or(0), "this server is a primary");
        Ok(())
    }

    /// Begins a term of more promotions than this one has. Until that is on the disk it is a replica: nothing else may begin the term,
    /// nor cut off what was received.
    fn promote_past(&self, other: u64) -> Result<u64, CommandError> {
        let term = self.store().promote_past(other)?;
        self.replication.own_promotion.store(term, SeqCst);
        Ok(term)
    }

    /// Whether a server may follow this one, as far as is known before its data are looked at. One that was its primary and hands
    /// over finds it a primary. Blocks.
    pub(crate) fn admit_replica(self: &Arc<Self>, request: &FollowRequest) -> Result<(), CommandError> {
        if request.run_id == self.run_id {
            return Err(CommandError::err("a server cannot follow itself"));
        }
        if let Some(id) = request.handover {
            return self.take_over(id, request);
        }
        if self.chain().contains(&request.run_id) {
            return Err(CommandError::err("this server follows that one: that would be a cycle"));
        }
        Ok(())
    }

    /// Begins a term of more promotions than a replica's that gives up its own. Blocks.
    pub(super) fn outdo(self: &Arc<Self>, other: u64) -> Result<(), String> {
        let _changing = self.replication.changing.lock();
        if self.replication.is_replica() {
            return Err("this server follows another one by now".to_owned());
        }
        if promotions(self.store().position().term) < promotions(other) {
            self.promote_past(other).map_err(|error| error.to_string())?;
        }
        // Where another later one was met, which has given nothing up, that is still the primary.
        let is_given_up = |later: u64| later == other || promotions(later) < promotions(other);
        let _ = self.replication.later_term.fetch_update(SeqCst, SeqCst, |later| is_given_up(later).then_some(0));
        Ok(())
    }

    /// Takes the role that the settings name, at the start.
    pub fn begin_role(self: &Arc<Self>) {
        if let Some(primary) = self.config.load().replicaof.clone() {
            let _changing = self.replication.changing.lock();
            self.begin_to_follow(Link::new(primary, false, false, None));
        }
    }

    /// Closes the store, at the end. Blocks.
    pub fn close(&self) {
        let _changing = self.replication.changing.lock();
        if let Some(link) = self.replication.link() {
            link.cancel();
        }
        self.store().close();
    }

    /// Whether nobody but this server can be a primary of its term: it was promoted to that since its start.
    fn is_own_promotion(&self) -> bool {
        let own = self.replication.own_promotion.load(SeqCst);
        // All of it is compared: another server may have been promoted as often.
        own > 0 && own == self.store().position().term
    }

    /// Whether that is where this server itself listens.
    fn is_at(&self, primary: &Primary) -> bool {
        let tls_port = self.config.load().tls.port;
        if primary.port != self.port && (tls_port == 0 || primary.port != tls_port) {
            return false;
        }
        let Ok(address) = primary.host.parse::<std::net::IpAddr>() else { return primary.host == "localhost" };
        address.is_loopback() || self.config.load().bind.contains(&address)
    }
}

/// What is said to who would change the role meanwhile, in Redis's words.
fn failing_over() -> CommandError {
    CommandError::err("REPLICAOF not allowed while failing over.")
}
