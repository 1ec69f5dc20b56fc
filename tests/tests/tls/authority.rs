//! Certificates of a test, and servers that have them.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CrlIssuingDistributionPoint, DnType, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason,
    RevokedCertParams, SerialNumber, date_time_ymd,
};
use tempfile::TempDir;
use veddb_tests::{Options, Server};

/// A certificate authority that writes what it signs into a directory.
pub(crate) struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Flaw {
    None,
    Expired,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Result<Authority> {
        let dir = tempfile::tempdir()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        fs::write(dir.path().join("ca.pem"), params.self_signed(&key)?.pem())?;
        Ok(Authority { dir, issuer: Issuer::new(params, key) })
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Writes `<name>.pem` and `<name>.key`, for the host `localhost`.
    pub(crate) fn sign(&self, name: &str, serial: u64, flaw: Flaw) -> Result<()> {
        self.sign_as(name, serial, flaw, &["localhost"], |params| {
            params.distinguished_name.push(DnType::CommonName, name)
        })
    }

    /// The same for other hosts, by name or address, and with whatever else is in it.
    pub(crate) fn sign_as(
        &self,
        name: &str,
        serial: u64,
        flaw: Flaw,
        hosts: &[&str],
        more: impl FnOnce(&mut CertificateParams),
    ) -> Result<()> {
        let mut params = CertificateParams::new(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>())?;
        params.serial_number = Some(SerialNumber::from(serial));
        more(&mut params);
        if flaw == Flaw::Expired {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        let key = KeyPair::generate()?;
        fs::write(self.path(&format!("{name}.pem")), params.signed_by(&key, &self.issuer)?.pem())?;
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem())?;
        Ok(())
    }

    /// Writes `crl.pem`, which revokes this certificate and is good for this long.
    pub(crate) fn revoke(&self, serial: u64, good_for: Duration) -> Result<()> {
        Ok(fs::write(self.path("crl.pem"), self.list(serial, good_for, None)?)?)
    }

    /// What is in it; `point` is where it may be had, where that is said.
    pub(crate) fn list(&self, serial: u64, good_for: Duration, point: Option<&str>) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(1970, 1, 1) + now + good_for,
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: point.map(|uri| CrlIssuingDistributionPoint {
                distribution_point: CrlDistributionPoint { uris: vec![uri.to_owned()] },
                scope: None,
            }),
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }

    /// Arguments of redis-cli that show this certificate.
    pub(crate) fn shown(&self, name: &str) -> Vec<String> {
        ["--cert".to_owned(), self.path(&format!("{name}.pem")), "--key".to_owned(), self.path(&format!("{name}.key"))]
            .into()
    }
}

pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A server with a certificate `server` of this authority.
pub(crate) fn secured(authority: &Authority, auth_clients: &str) -> Result<(Server, u16)> {
    authority.sign("server", 100, Flaw::None)?;
    let port = free_port()?;
    let server = options(authority, port).set("tls-auth-clients", auth_clients).start()?;
    Ok((server, port))
}

pub(crate) fn options(authority: &Authority, port: u16) -> Options {
    let options = Options::new().set("tls-port", port.to_string()).set("tls-ca-cert-file", authority.path("ca.pem"));
    options.set("tls-cert-file", authority.path("server.pem")).set("tls-key-file", authority.path("server.key"))
}
