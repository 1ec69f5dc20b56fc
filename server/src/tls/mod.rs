//! TLS: on `tls-port`, and on links to other servers where `tls-replication` asks for it.
//!
//! Owns the configurations that new connections get. They are replaced whole, so a certificate is renewed without a restart
//! and without a connection that would notice. `accept` is the side of the server, `dial` that of a client, `files` reads what
//! the settings name, `names` finds who a certificate is of.
//!
//! Invariant: whoever shows a certificate is verified on every connection; no session of an earlier one is resumed instead.

mod accept;
mod dial;
mod files;
mod names;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::ArcSwapOption;
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion, version};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

pub(crate) use dial::trusting;
pub(crate) use names::users;

use crate::stream::Stream;

/// The settings `tls-*`.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs, reason = "the table of settings documents each by its name")]
pub struct Settings {
    pub port: u16,
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    /// What is shown where this server is the client; without, the server's own.
    pub client_cert_file: PathBuf,
    pub client_key_file: PathBuf,
    pub ca_cert_file: PathBuf,
    pub crl_file: PathBuf,
    pub auth_clients: AuthClients,
    pub auth_clients_user: ClientUser,
    pub protocols: Protocols,
    /// Whether links to other servers go through TLS.
    pub replication: bool,
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

/// What of a client's certificate is the name of its user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientUser {
    /// Nothing: a certificate lets nobody in as anybody.
    #[default]
    Off,
    /// The subject's common name.
    CommonName,
    /// A URI among the alternative names.
    Uri,
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

/// What new connections get.
#[derive(Default)]
pub struct Tls {
    accepting: ArcSwapOption<ServerConfig>,
    dialling: ArcSwapOption<ClientConfig>,
    /// It was said that a revocation list has expired.
    outdated: AtomicBool,
}

/// What files come to that were read and are good.
pub(crate) struct Loaded {
    accepting: Option<Arc<ServerConfig>>,
    dialling: Option<Arc<ClientConfig>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the files that the settings name, for connections from then on. Where there is neither `tls-port` nor
    /// `tls-replication` nothing is read.
    ///
    /// # Errors
    /// What is missing or not as it should be; then everything is as before.
    pub fn load(&self, settings: &Settings) -> Result<(), String> {
        self.put(Tls::read(settings)?);
        Ok(())
    }

    /// The first half of [`Tls::load`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn read(settings: &Settings) -> Result<Loaded, String> {
        let accepting = (settings.port != 0).then(|| accept::configuration(settings)).transpose()?;
        let dialling = settings.replication.then(|| dial::configuration(settings)).transpose()?;
        Ok(Loaded { accepting: accepting.map(Arc::new), dialling: dialling.map(Arc::new) })
    }

    /// The second half.
    pub(crate) fn put(&self, loaded: Loaded) {
        self.accepting.store(loaded.accepting);
        self.dialling.store(loaded.dialling);
        self.outdated.store(false, Relaxed);
    }

    /// Makes the keys of a connection that came in. Whoever calls says how long that may take.
    pub(crate) async fn accept(&self, socket: TcpStream) -> std::io::Result<Stream> {
        let current = self.accepting.load_full();
        let current = current.ok_or_else(|| std::io::Error::other("TLS is not set up"))?;
        match TlsAcceptor::from(current).accept(socket).await {
            Ok(stream) => Ok(Stream::Tls(Box::new(TlsStream::Server(stream)))),
            Err(error) => {
                // Nobody gets in any more, for a reason that lies here. Once until the lists are read anew.
                if dial::is_outdated(&error) && !self.outdated.swap(true, Relaxed) {
                    tracing::warn!(
                        "a list in tls-crl-file has expired: certificates of its CA are refused until there is a new one"
                    );
                }
                Err(error)
            }
        }
    }

    /// Makes the keys of a connection to the server at `host`, whose certificate has to be of a CA of `tls-ca-cert-file` and for
    /// that name or address. Whoever calls says how long that may take.
    ///
    /// # Errors
    /// Why there is no connection, in words that do not change from one attempt to the next.
    pub(crate) async fn connect(&self, host: &str, socket: TcpStream) -> Result<Stream, String> {
        let current = self.dialling.load_full().ok_or("TLS is not set up")?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("{host} is not a name that a certificate could be for"))?;
        let stream = TlsConnector::from(current).connect(name, socket).await;
        let stream = stream.map_err(|error| format!("TLS: {}", dial::why(&error)))?;
        Ok(Stream::Tls(Box::new(TlsStream::Client(stream))))
    }
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
        let unasked = Settings { auth_clients_user: ClientUser::CommonName, ..named };
        assert!(tls.load(&unasked).unwrap_err().starts_with("tls-auth-clients-user "));
        let refused = tls.load(&Settings { replication: true, ..Settings::default() }).unwrap_err();
        assert_eq!(refused, "tls-ca-cert-file is needed where tls-replication is set");
    }
}
