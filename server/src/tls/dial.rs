//! The side of a client, on links to other servers: whom it believes, and what it shows of itself.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::{CertificateError, ClientConfig, Error, InvalidMessage};

use super::{Protocols, Settings, files};

const WANTED_BY: &str = "tls-replication is set";

/// What the settings come to for links. The other side is always verified.
pub(super) fn configuration(settings: &Settings) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(files::roots("tls-ca-cert-file", &settings.ca_cert_file, WANTED_BY)?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .with_crls(files::revocations(settings)?)
        .enforce_revocation_expiration()
        .build()
        .map_err(|why| format!("tls-ca-cert-file and tls-crl-file: {why}"))?;
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&settings.protocols.versions()).map_err(|why| why.to_string())?;
    let builder = builder.with_webpki_verifier(verifier);
    let mut made = match identity(settings)? {
        Some((names, (chain, key))) => {
            builder.with_client_auth_cert(chain, key).map_err(|why| format!("{names}: {why}"))?
        }
        None => builder.with_no_client_auth(),
    };
    // A resumed session is not verified anew.
    made.resumption = Resumption::disabled();
    Ok(made)
}

/// Whoever shows a certificate of a CA in this setting's file is believed; this server shows none. For what is no link.
///
/// # Errors
/// What is not as it should be with the file.
pub(crate) fn trusting(setting: &str, path: &Path) -> Result<ClientConfig, String> {
    let roots = files::roots(setting, path, "trace-endpoint is https")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&Protocols::default().versions()).map_err(|why| why.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The certificate for links where there is one, else the server's own where there is that; with the names of the settings.
fn identity(settings: &Settings) -> Result<Option<(&'static str, files::Identity)>, String> {
    let Settings { client_cert_file, client_key_file, cert_file, key_file, .. } = settings;
    let is_there = |path: &std::path::Path| !path.as_os_str().is_empty();
    if is_there(client_cert_file) || is_there(client_key_file) {
        let wanted_by = "the other of tls-client-cert-file and tls-client-key-file is set";
        let (cert, key) = (("tls-client-cert-file", &**client_cert_file), ("tls-client-key-file", &**client_key_file));
        return Ok(Some(("tls-client-cert-file and tls-client-key-file", files::identity(cert, key, wanted_by)?)));
    }
    if is_there(cert_file) || is_there(key_file) {
        let wanted_by = "the other of tls-cert-file and tls-key-file is set";
        let (cert, key) = (("tls-cert-file", &**cert_file), ("tls-key-file", &**key_file));
        return Ok(Some(("tls-cert-file and tls-key-file", files::identity(cert, key, wanted_by)?)));
    }
    Ok(None)
}

/// Why a handshake failed, without what is another each time: it is said once for each reason.
pub(super) fn why(error: &io::Error) -> String {
    let Some(found) = cause(error) else { return error.to_string() };
    let text = match found {
        Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer => "its certificate is of no CA in tls-ca-cert-file",
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                return format!("its certificate is for another name: {certificate}");
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet"
            }
            CertificateError::Revoked => "its certificate was revoked",
            CertificateError::UnknownRevocationStatus => "tls-crl-file has no list of its CA",
            _ if is_outdated(error) => "the list of its CA in tls-crl-file has expired",
            _ => return format!("its certificate is not good: {certificate}"),
        },
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "no TLS is spoken there",
        _ => return found.to_string(),
    };
    text.to_owned()
}

/// Whether a handshake failed since a revocation list has expired.
pub(super) fn is_outdated(error: &io::Error) -> bool {
    use CertificateError::{ExpiredRevocationList, ExpiredRevocationListContext};
    let outdated = |certificate: &CertificateError| {
        matches!(certificate, ExpiredRevocationList | ExpiredRevocationListContext { .. })
    };
    matches!(cause(error), Some(Error::InvalidCertificate(certificate)) if outdated(certificate))
}

fn cause(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}
