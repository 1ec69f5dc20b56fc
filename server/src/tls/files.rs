//! Reading what the settings name: certificates, keys and revocation lists, PEM.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::Settings;

/// A certificate with those between it and its CA, and its key.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The certificate and key of two settings, both of which have to be there. `wanted_by` says who wants them.
pub(super) fn identity(
    (cert_setting, cert): (&str, &Path),
    (key_setting, key): (&str, &Path),
    wanted_by: &str,
) -> Result<Identity, String> {
    let chain = certificates(cert_setting, cert, wanted_by)?;
    let key = named(key_setting, key, wanted_by)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|why| unread(key_setting, key, &why))?;
    Ok((chain, key))
}

/// The CAs of a setting's file.
pub(super) fn roots(setting: &str, path: &Path, wanted_by: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(setting, path, wanted_by)? {
        roots.add(certificate).map_err(|why| unread(setting, path, &why))?;
    }
    Ok(roots)
}

/// The lists of `tls-crl-file`, none of which has expired, and no two of which are of the same; nothing where there is no such file.
pub(super) fn revocations(settings: &Settings) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let path = settings.crl_file.as_path();
    if path.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let refused = |why: &dyn fmt::Display| unread("tls-crl-file", path, why);
    let lists = CertificateRevocationListDer::pem_file_iter(path);
    let lists = lists.and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(|why| refused(&why))?;
    if lists.is_empty() {
        return Err(refused(&"no list in it"));
    }
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut seen = HashSet::new();
    for list in &lists {
        let (_, read) = CertificateRevocationList::from_der(list).map_err(|why| refused(&why))?;
        // One that says nothing of its end is refused by whoever verifies with it.
        let end_s = read.next_update().and_then(|time| u64::try_from(time.timestamp()).ok()).unwrap_or(0);
        if end_s <= now_s {
            return Err(refused(&format!("the list of {} has expired", read.issuer())));
        }
        // Of two the first that may speak of a certificate is asked alone: the older one, or that of another distribution point.
        if !seen.insert(read.issuer().as_raw().to_vec()) {
            return Err(refused(&format!("there are two lists of {}", read.issuer())));
        }
    }
    Ok(lists)
}

fn certificates(setting: &str, path: &Path, wanted_by: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let path = named(setting, path, wanted_by)?;
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|why| unread(setting, path, &why))?;
    if all.is_empty() { Err(unread(setting, path, &"no certificate in it")) } else { Ok(all) }
}

/// The file of a setting that has to be there.
fn named<'a>(setting: &str, path: &'a Path, wanted_by: &str) -> Result<&'a Path, String> {
    if path.as_os_str().is_empty() {
        return Err(format!("{setting} is needed where {wanted_by}"));
    }
    Ok(path)
}

fn unread(setting: &str, path: &Path, why: &dyn fmt::Display) -> String {
    format!("{setting}: {}: {why}", path.display())
}
