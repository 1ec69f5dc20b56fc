//! TLS on `tls-port`: which certificate the server shows, which ones it believes, and the handshake.
//!
//! Owns the configuration that new connections get. It is replaced whole, so a certificate is renewed without a restart
//! and without a connection that would notice.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::stream::Stream;

/// The settings `tls-*`.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs, reason = "the table of settings documents each by its name")]
pub struct Settings {
    pub port: u16,
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    pub ca_cert_file: PathBuf,
    pub crl_file: PathBuf,
    pub auth_clients: AuthClients,
    pub protocols: Protocols,
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AuthClients {
    /// They are not asked for one.
    No,
    /// One that is shown has to be good.
    Optional,
    /// Without a good one there is no connection. As in Redis, this holds where nothing else is said.
    #[default]
    Yes,
}

/// The versions of TLS that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocols {
    v1_2: bool,
    v1_3: bool,
}

impl Default for Protocols {
    fn default() -> Protocols {
        Protocols { v1_2: true, v1_3: true }
    }
}

impl Protocols {
    /// Reads them as Redis writes them, at least one; nothing is both.
    ///
    /// # Errors
    /// A version that is not spoken: those before 1.2 among them.
    pub fn read(text: &str) -> Result<Protocols, String> {
        let mut read = Protocols { v1_2: false, v1_3: false };
        for word in text.split_ascii_whitespace() {
            match word.to_ascii_lowercase().as_str() {
                "tlsv1.2" => read.v1_2 = true,
                "tlsv1.3" => read.v1_3 = true,
                _ => return Err("Invalid tls-protocols specified, it takes TLSv1.2 and TLSv1.3".to_owned()),
            }
        }
        Ok(if read.v1_2 || read.v1_3 { read } else { Protocols::default() })
    }

    fn versions(self) -> Vec<&'static SupportedProtocolVersion> {
        let both = [(self.v1_2, &version::TLS12), (self.v1_3, &version::TLS13)];
        both.into_iter().filter(|(spoken, _)| *spoken).map(|(_, version)| version).collect()
    }
}

impl fmt::Display for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.v1_2, self.v1_3) {
            (true, false) => "TLSv1.2",
            (false, true) => "TLSv1.3",
            _ => "TLSv1.2 TLSv1.3",
        })
    }
}

/// What new connections to `tls-port` get.
#[derive(Default)]
pub struct Tls {
    current: ArcSwapOption<ServerConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the files that the settings name, for connections from then on. Where there is no `tls-port` nothing is read.
    ///
    /// # Errors
    /// What is missing or not as it should be; then everything is as before.
    pub fn load(&self, settings: &Settings) -> Result<(), String> {
        if settings.port == 0 {
            return Ok(());
        }
        self.current.store(Some(Arc::new(configuration(settings)?)));
        Ok(())
    }

    /// Makes a connection's keys. Whoever calls says how long that may take.
    pub(crate) async fn accept(&self, socket: TcpStream) -> std::io::Result<Stream> {
        let current = self.current.load_full();
        let current = current.ok_or_else(|| std::io::Error::other("TLS is not set up"))?;
        let stream = TlsAcceptor::from(current).accept(socket).await?;
        Ok(Stream::Tls(Box::new(TlsStream::Server(stream))))
    }
}

fn configuration(settings: &Settings) -> Result<ServerConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = verifier(settings, &provider)?;
    let chain = certificates("tls-cert-file", &settings.cert_file)?;
    let key = named("tls-key-file", &settings.key_file)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|why| unread("tls-key-file", key, &why))?;
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&settings.protocols.versions()).map_err(|why| why.to_string())?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    builder.with_single_cert(chain, key).map_err(|why| format!("tls-cert-file and tls-key-file: {why}"))
}

/// Says which certificates of clients are good; None where they are not asked for one.
fn verifier(
    settings: &Settings,
    provider: &Arc<rustls::crypto::CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    if settings.auth_clients == AuthClients::No {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    for certificate in certificates("tls-ca-cert-file", &settings.ca_cert_file)? {
        roots.add(certificate).map_err(|why| unread("tls-ca-cert-file", &settings.ca_cert_file, &why))?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    if !settings.crl_file.as_os_str().is_empty() {
        let lists = CertificateRevocationListDer::pem_file_iter(&settings.crl_file);
        let lists = lists.and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let lists = lists.map_err(|why| unread("tls-crl-file", &settings.crl_file, &why))?;
        if lists.is_empty() {
            return Err(unread("tls-crl-file", &settings.crl_file, &"no list in it"));
        }
        builder = builder.with_crls(lists);
    }
    if settings.auth_clients == AuthClients::Optional {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map(Some).map_err(|why| format!("tls-ca-cert-file and tls-crl-file: {why}"))
}

fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let path = named(setting, path)?;
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|why| unread(setting, path, &why))?;
    if all.is_empty() { Err(unread(setting, path, &"no certificate in it")) } else { Ok(all) }
}

/// The file of a setting that has to be there.
fn named<'a>(setting: &str, path: &'a Path) -> Result<&'a Path, String> {
    if path.as_os_str().is_empty() {
        return Err(format!(
            "{setting} is needed where tls-port is set (tls-auth-clients no takes no tls-ca-cert-file)"
        ));
    }
    Ok(path)
}

fn unread(setting: &str, path: &Path, why: &dyn fmt::Display) -> String {
    format!("{setting}: {}: {why}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_before_1_2_are_not_spoken() {
        assert_eq!(Protocols::read("tlsv1.3").unwrap().to_string(), "TLSv1.3");
        assert_eq!(Protocols::read("TLSv1.3 TLSv1.2").unwrap(), Protocols::default());
        assert_eq!(Protocols::read("").unwrap(), Protocols::default());
        assert!(Protocols::read("TLSv1.2 TLSv1.1").is_err());
    }

    #[test]
    fn without_a_port_nothing_is_read_and_with_one_the_files_are_needed() {
        let tls = Tls::default();
        tls.load(&Settings::default()).unwrap();
        let refused = tls.load(&Settings { port: 1, ..Settings::default() }).unwrap_err();
        assert!(refused.starts_with("tls-ca-cert-file is needed"), "{refused}");
        let named =
            Settings { port: 1, auth_clients: AuthClients::No, cert_file: "/nowhere".into(), ..Settings::default() };
        assert!(tls.load(&named).unwrap_err().starts_with("tls-cert-file: /nowhere: "));
    }
}
