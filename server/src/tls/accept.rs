//! The side of the server: which certificate it shows, and which ones of clients it believes.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};

use super::{AuthClients, ClientUser, Settings, files};

const WANTED_BY: &str = "tls-port is set (tls-auth-clients no takes no tls-ca-cert-file)";

/// What the settings come to for connections to `tls-port`.
pub(super) fn configuration(settings: &Settings) -> Result<ServerConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = verifier(settings, &provider)?;
    let (chain, key) =
        files::identity(("tls-cert-file", &settings.cert_file), ("tls-key-file", &settings.key_file), WANTED_BY)?;
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&settings.protocols.versions()).map_err(|why| why.to_string())?;
    let verifies = verifier.is_some();
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let made = builder.with_single_cert(chain, key);
    let mut made = made.map_err(|why| format!("tls-cert-file and tls-key-file: {why}"))?;
    if verifies {
        // A resumed session would take a certificate for good that has expired or was revoked since.
        made.session_storage = Arc::new(NoServerSessionStorage {});
        made.send_tls13_tickets = 0;
    }
    Ok(made)
}

/// Says which certificates of clients are good; None where they are not asked for one.
fn verifier(
    settings: &Settings,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    if settings.auth_clients == AuthClients::No {
        if settings.auth_clients_user != ClientUser::Off {
            // Whoever set it counts on it.
            return Err(
                "tls-auth-clients-user needs clients that are asked for a certificate: with tls-auth-clients no \
                        nobody is"
                    .to_owned(),
            );
        }
        return Ok(None);
    }
    let roots = Arc::new(files::roots("tls-ca-cert-file", &settings.ca_cert_file, WANTED_BY)?);
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
        .with_crls(files::revocations(settings)?)
        .enforce_revocation_expiration();
    if settings.auth_clients == AuthClients::Optional {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map(Some).map_err(|why| format!("tls-ca-cert-file and tls-crl-file: {why}"))
}
