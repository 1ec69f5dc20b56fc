//! The settings of what protects the server from others: the audit log, limits, TLS.

use std::path::PathBuf;

use super::kind::{boolean, choice, integer, memory, word};
use super::table::{GIB, I32, Setting, path, put, yes_no};
use crate::audit::Events;
use crate::tls::{AuthClients, ClientUser, Protocols};
use crate::token::LIFETIME_S_MAX;

const AUDIT_FAILURE: &[(&str, bool)] = &[("continue", false), ("refuse", true)];
const AUTH_CLIENTS: &[(&str, AuthClients)] =
    &[("no", AuthClients::No), ("yes", AuthClients::Yes), ("optional", AuthClients::Optional)];

const CLIENT_USER: &[(&str, ClientUser)] =
    &[("off", ClientUser::Off), ("CN", ClientUser::CommonName), ("URI", ClientUser::Uri)];

pub(super) const AUDIT_EVENTS: Setting = Setting::live(
    "audit-events",
    "What is written to the audit log: any of auth denied acl key token config ddl replication read write; nothing is off.",
    |s| s.audit.events.to_string(),
    |s, v| put(&mut s.audit.events, Events::read(v)),
);
pub(super) const AUDIT_FILE_SIZE: Setting = Setting::live(
    "audit-file-size",
    "Bytes after which the audit log begins its next file.",
    |s| s.audit.file_bytes.to_string(),
    |s, v| put(&mut s.audit.file_bytes, memory(v, 64 << 10..=GIB).map(|bytes| bytes as u64)),
);
pub(super) const AUDIT_FILES_MAX: Setting = Setting::live(
    "audit-files-max",
    "Files of the audit log that are kept; 0 is all.",
    |s| s.audit.files_max.to_string(),
    |s, v| put(&mut s.audit.files_max, integer(v, 0..=1_000_000)),
);
pub(super) const AUDIT_ON_FAILURE: Setting = Setting::live(
    "audit-on-failure",
    "What happens to commands that would be audited while the audit log cannot be written: continue, refuse.",
    |s| word(s.audit.refuse_on_failure, AUDIT_FAILURE),
    |s, v| put(&mut s.audit.refuse_on_failure, choice(v, AUDIT_FAILURE)),
);
pub(super) const LIMIT_ADDRESS_BYTES: Setting = Setting::live(
    "limit-address-bytes",
    "Bytes of requests that one address may send in a second, over all its connections; 0 is no limit. Of IPv6 a /64 is one address.",
    |s| s.rates.address_bytes.to_string(),
    |s, v| put(&mut s.rates.address_bytes, integer(v, 0..=I32)),
);
pub(super) const LIMIT_ADDRESS_COMMANDS: Setting = Setting::live(
    "limit-address-commands",
    "Commands that one address may send in a second, over all its connections; 0 is no limit. Of IPv6 a /64 is one address.",
    |s| s.rates.address_commands.to_string(),
    |s, v| put(&mut s.rates.address_commands, integer(v, 0..=I32)),
);
pub(super) const LIMIT_ADDRESS_CONNECTIONS: Setting = Setting::live(
    "limit-address-connections",
    "Connections that one address may make in a second; 0 is no limit. Of IPv6 a /64 is one address.",
    |s| s.rates.address_connections.to_string(),
    |s, v| put(&mut s.rates.address_connections, integer(v, 0..=I32)),
);
pub(super) const LIMIT_AUTH_FAILURES: Setting = Setting::live(
    "limit-auth-failures",
    "Wrong passwords of one address (of a user: ten times as many) after which further ones are refused for 1 s, 2 s, .. 300 s; 0 is no limit.",
    |s| s.rates.auth_failures.to_string(),
    |s, v| put(&mut s.rates.auth_failures, integer(v, 0..=I32)),
);
pub(super) const LIMIT_USER_BYTES: Setting = Setting::live(
    "limit-user-bytes",
    "Bytes of requests that one user may send in a second, over all connections; 0 is no limit.",
    |s| s.rates.user_bytes.to_string(),
    |s, v| put(&mut s.rates.user_bytes, integer(v, 0..=I32)),
);
pub(super) const LIMIT_USER_COMMANDS: Setting = Setting::live(
    "limit-user-commands",
    "Commands that one user may send in a second, over all connections; 0 is no limit.",
    |s| s.rates.user_commands.to_string(),
    |s, v| put(&mut s.rates.user_commands, integer(v, 0..=I32)),
);
pub(super) const LIMIT_USER_CONNECTIONS: Setting = Setting::live(
    "limit-user-connections",
    "Connections that may become one user in a second, by a right password or token; 0 is no limit.",
    |s| s.rates.user_connections.to_string(),
    |s, v| put(&mut s.rates.user_connections, integer(v, 0..=I32)),
);
pub(super) const TLS_AUTH_CLIENTS: Setting = Setting::live(
    "tls-auth-clients",
    "Whether clients show a certificate of tls-ca-cert-file: no, optional, yes.",
    |s| word(s.tls.auth_clients, AUTH_CLIENTS),
    |s, v| put(&mut s.tls.auth_clients, choice(v, AUTH_CLIENTS)),
);
pub(super) const TLS_AUTH_CLIENTS_USER: Setting = Setting::live(
    "tls-auth-clients-user",
    "What of a client's certificate names the user that its connection is from the start: off, CN (the common name), URI (an alternative name).",
    |s| word(s.tls.auth_clients_user, CLIENT_USER),
    |s, v| put(&mut s.tls.auth_clients_user, choice(v, CLIENT_USER)),
);
pub(super) const TLS_CA_CERT_FILE: Setting = Setting::live(
    "tls-ca-cert-file",
    "Whose certificates of others are good: PEM, one after the other.",
    |s| path(&s.tls.ca_cert_file),
    |s, v| put(&mut s.tls.ca_cert_file, Ok(PathBuf::from(v))),
);
pub(super) const TLS_CERT_FILE: Setting = Setting::live(
    "tls-cert-file",
    "The server's certificate and those between it and its CA: PEM. CONFIG SET reads the file anew, also under the same name.",
    |s| path(&s.tls.cert_file),
    |s, v| put(&mut s.tls.cert_file, Ok(PathBuf::from(v))),
);
pub(super) const TLS_CLIENT_CERT_FILE: Setting = Setting::live(
    "tls-client-cert-file",
    "The certificate that links to other servers show (tls-replication), PEM; empty is that of tls-cert-file.",
    |s| path(&s.tls.client_cert_file),
    |s, v| put(&mut s.tls.client_cert_file, Ok(PathBuf::from(v))),
);
pub(super) const TLS_CLIENT_KEY_FILE: Setting = Setting::live(
    "tls-client-key-file",
    "The key of the certificate of tls-client-cert-file: PEM, not encrypted.",
    |s| path(&s.tls.client_key_file),
    |s, v| put(&mut s.tls.client_key_file, Ok(PathBuf::from(v))),
);
pub(super) const TLS_CRL_FILE: Setting = Setting::live(
    "tls-crl-file",
    "Certificates that were revoked, of clients and on links of servers: a CRL of each CA that gave one, PEM. One that has expired is refused.",
    |s| path(&s.tls.crl_file),
    |s, v| put(&mut s.tls.crl_file, Ok(PathBuf::from(v))),
);
pub(super) const TLS_KEY_FILE: Setting = Setting::live(
    "tls-key-file",
    "The key of the server's certificate: PEM, not encrypted.",
    |s| path(&s.tls.key_file),
    |s, v| put(&mut s.tls.key_file, Ok(PathBuf::from(v))),
);
pub(super) const TLS_PORT: Setting = Setting::fixed(
    "tls-port",
    "The TCP port for connections through TLS; 0 is none. With one, `port 0` is no port for others.",
    |s| s.tls.port.to_string(),
    |s, v| put(&mut s.tls.port, integer(v, 0..=65_535)),
);
pub(super) const TLS_PROTOCOLS: Setting = Setting::live(
    "tls-protocols",
    "The versions spoken, of TLSv1.2 and TLSv1.3.",
    |s| s.tls.protocols.to_string(),
    |s, v| put(&mut s.tls.protocols, Protocols::read(v)),
);
pub(super) const TLS_REPLICATION: Setting = Setting::live(
    "tls-replication",
    "Whether links to other servers go through TLS, which verifies them by tls-ca-cert-file and their name. For links made from then on.",
    |s| yes_no(s.tls.replication),
    |s, v| put(&mut s.tls.replication, boolean(v)),
);
pub(super) const TOKEN_AUDIENCE: Setting = Setting::live(
    "token-audience",
    "For whom tokens are, their claim aud; those that say another are refused.",
    |s| s.tokens.audience.clone(),
    |s, v| put(&mut s.tokens.audience, named(v)),
);
pub(super) const TOKEN_ISSUER: Setting = Setting::live(
    "token-issuer",
    "Who issues tokens here, their claim iss; those that say another are refused.",
    |s| s.tokens.issuer.clone(),
    |s, v| put(&mut s.tokens.issuer, named(v)),
);
pub(super) const TOKEN_JWKS_FILE: Setting = Setting::live(
    "token-jwks-file",
    "The public keys of another issuer whose tokens are good here: a set of JSON Web Keys; empty is none. CONFIG SET reads the file anew, also under the same name.",
    |s| path(&s.tokens.jwks_file),
    |s, v| put(&mut s.tokens.jwks_file, Ok(PathBuf::from(v))),
);
pub(super) const TOKEN_JWKS_ISSUER: Setting = Setting::live(
    "token-jwks-issuer",
    "That issuer's name, the claim iss of its tokens.",
    |s| s.tokens.jwks_issuer.clone(),
    |s, v| put(&mut s.tokens.jwks_issuer, Ok(v.to_owned())),
);
pub(super) const TOKEN_MAX_LIFETIME: Setting = Setting::live(
    "token-max-lifetime",
    "Seconds that a token may be good at most.",
    |s| s.tokens.lifetime_s_max.to_string(),
    |s, v| put(&mut s.tokens.lifetime_s_max, integer(v, 1..=LIFETIME_S_MAX as i64)),
);
pub(super) const TOKEN_MAX_RECORDS: Setting = Setting::live(
    "token-max-records",
    "Tokens that may be known at once, until they expire; and, beside them, revocations of another issuer's.",
    |s| s.tokens.records_max.to_string(),
    |s, v| put(&mut s.tokens.records_max, integer(v, 1..=10_000_000)),
);

fn named(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("argument must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}
