//! What has to do with the user that a connection is: what is refused to it, getting in, and changes of users.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use veddb_commands::access::Reason;
use veddb_commands::connection::client::info;
use veddb_commands::lookup::Entry;
use veddb_commands::session::{DenialEntry, Later};
use veddb_commands::{Args, CommandError, ErrorCode, Reply};

use super::request::Request;
use super::{Closed, Connection};
use crate::acl::Claim;
use crate::execute::{Outcome, now_ms};
use crate::multi::{Watched, aborted};
use crate::tls;
use crate::token::{Refused, is_token};

impl Connection {
    /// Answers a request that a gate has turned away. None of its transaction will be carried out.
    pub(super) async fn refuse(
        &mut self,
        entry: Option<&'static Entry>,
        args: &Args,
        request: &Request,
        mut error: CommandError,
    ) {
        // What comes before it is not its own.
        let took = request.took();
        self.finish_runs().await;
        if entry.is_some_and(|entry| entry.name == "exec") && self.state.multi.take().is_some() {
            self.state.watched = Watched::default();
            self.state.note_transaction(&self.client);
            error = aborted(&format!(": {error}"));
        } else if let Some(multi) = &mut self.state.multi {
            multi.refused = true;
        }
        self.server.metrics.rejected(entry, error.code);
        // A stranger may send many, at no cost.
        if let Some(entry) = entry.filter(|_| self.state.is_authenticated()) {
            self.trace((entry, args), request, took, Some(error.code));
        }
        let noted = self.was_noted();
        if let Some(entry) = entry.filter(|_| !noted) {
            self.audit(entry, args, Some(error.code));
        }
        self.reply(&Reply::Error(error));
    }

    /// Whether this is a stranger of whom the audit log has an attempt. The first is enough: the log must not be filled by who has
    /// no right to anything.
    pub(super) fn was_noted(&mut self) -> bool {
        !self.state.is_authenticated() && std::mem::replace(&mut self.state.stranger_noted, true)
    }

    /// Counts what was refused for want of rights, and keeps it for ACL LOG.
    pub(super) fn note_denial(&self, reason: Reason, object: Bytes, user: Bytes) {
        let metrics = &self.server.metrics;
        let counter = match reason {
            Reason::Auth => &metrics.authentications_failed,
            Reason::Certificate => &metrics.certificates_denied,
            Reason::Command => &metrics.commands_denied,
            Reason::Key => &metrics.keys_denied,
            Reason::Channel => &metrics.channels_denied,
        };
        counter.fetch_add(1, Relaxed);
        let mut client = String::new();
        info::line(&self.client.info(), &mut client);
        let entry = DenialEntry {
            count: 1,
            reason: reason.as_str(),
            context: if self.state.multi.is_some() || self.state.in_exec { "multi" } else { "toplevel" },
            // Slices of a request would hold all of the request.
            object: Bytes::copy_from_slice(&object),
            user: Bytes::copy_from_slice(&user),
            client: client.trim_end().to_owned(),
            id: 0,
            created_ms: 0,
            updated_ms: now_ms(),
        };
        self.server.acl.denials.add(entry, self.settings.acllog_max_len);
    }

    /// Waits for what does not take long. It is answered also where the client has said that it sends no more.
    async fn wait_out<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Closed> {
        self.server.metrics.ran(&mut self.ran, self.settings.latency_tracking);
        self.flush().await?;
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.client.killed() => Err(Closed::Server),
        }
    }

    /// Answers a command whose work takes too long for this task.
    pub(super) async fn finish(&mut self, later: Later, args: &Args) -> Result<Outcome, Closed> {
        match later {
            Later::Authenticate { user, password, then } => {
                let is_in = match self.authenticate(&user, &password).await? {
                    Ok(is_in) => is_in,
                    Err(refused) => return Ok(Err(refused)),
                };
                if is_in {
                    self.held.forget_user();
                    return Ok(self.run_then(then, args));
                }
                self.note_denial(Reason::Auth, args.bytes(0).clone(), user);
                let message = "invalid username-password pair or user is disabled.";
                Ok(Err(CommandError::new(ErrorCode::WrongPass, message)))
            }
            Later::Change(change) => {
                let (server, client) = (Arc::clone(&self.server), self.client.id);
                let changed = async move { server.acl.change(client, change).await };
                let outcome = self.wait_out(changed).await?;
                if self.state.has_lost_rights(&self.server.acl) {
                    self.state.closing = true;
                }
                Ok(outcome)
            }
        }
    }

    /// Whether the password, or the token that stands in its place, is right; then the connection is that user. The inner error says
    /// that neither was looked at. A token that is not right is in the connection's state, for it cost nothing: whoever answers asks
    /// whether it is to be said.
    async fn authenticate(&mut self, user: &Bytes, password: &Bytes) -> Result<Result<bool, CommandError>, Closed> {
        let (address, failures_max) = (self.client.addr.ip(), self.settings.rates.auth_failures);
        if is_token(password) {
            // Quick to verify, so it is done here and waits for no slot that passwords are hashed in.
            let (acl, client) = (&self.server.acl, &self.client);
            let claim = Claim { address, name: user, password, failures_max };
            let (mut why, mut let_in) = (Refused::NoUser, Ok(()));
            let verified = acl.passwords.counted(claim, || {
                match acl.tokens.verify(&self.settings.tokens, user, password, now_ms()) {
                    Ok(token) => {
                        let_in = self.server.limits.enter(user);
                        let_in.is_err() || self.state.become_user(user, Some(token), acl, client)
                    }
                    Err(refused) => {
                        why = refused;
                        false
                    }
                }
            });
            if matches!(verified, Ok(false)) {
                self.state.refused_token = Some(why);
            }
            return Ok(verified.and_then(|is_in| let_in.map(|()| is_in)));
        }
        let server = Arc::clone(&self.server);
        let (name, password) = (user.clone(), password.clone());
        let checked = async move {
            let claim = Claim { address, name: &name, password: &password, failures_max };
            server.acl.passwords.authenticate(&server.acl, claim).await
        };
        let found = match self.wait_out(checked).await? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        if let Some(found) = &found
            && let Err(refused) = self.server.limits.enter(found.name())
        {
            return Ok(Err(refused));
        }
        let (acl, client) = (&self.server.acl, &self.client);
        if found.is_some_and(|found| self.state.become_user(found.name(), None, acl, client)) {
            return Ok(Ok(true));
        }
        tracing::info!(client = self.client.id, addr = %self.client.addr, "authentication failed");
        Ok(Ok(false))
    }

    /// Answers a request that came after the token expired that the connection is in by, and ends it.
    pub(super) async fn refuse_expired(&mut self) -> Result<(), Closed> {
        self.finish_runs().await;
        self.server.metrics.rejected(None, ErrorCode::NoAuth);
        self.reply(&Reply::Error(CommandError::new(ErrorCode::NoAuth, "the token has expired")));
        self.state.closing = true;
        Ok(())
    }

    /// Has the connection be the user that the certificate names which it showed, where the setting `tls-auth-clients-user` says
    /// so. Where there is no such user it is as without a certificate, as in Redis.
    pub(crate) fn recognise(&mut self) {
        let which = self.settings.tls.auth_clients_user;
        let Some(certificate) = self.stream.certificate() else { return };
        let names: Vec<Bytes> = tls::users(certificate, which).into_iter().map(Bytes::from).collect();
        let Some(first) = names.first().cloned() else { return };
        let accounts = self.server.acl.load();
        let is_there = |name: &&Bytes| accounts.get(name).is_some_and(|user| user.is_enabled());
        let found = names.iter().find(is_there).cloned();
        let found = found.filter(|name| self.state.become_user(name, None, &self.server.acl, &self.client));
        if found.is_none() {
            tracing::info!(client = self.client.id, addr = %self.client.addr, "the user of a certificate is not there or disabled");
            self.note_denial(Reason::Certificate, first.clone(), first.clone());
        }
        let (name, is_in) = (found.as_ref().unwrap_or(&first), found.is_some());
        self.noted.note_certificate(&self.settings.audit, &self.client, name, is_in);
    }
}
