//! Who a certificate is of: the names in it that may be those of a user.

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::ClientUser;

/// What in a client's certificate may be the name of its user, in its order. It was verified before: nothing here is.
///
/// A subject with several common names has none: whoever signed it may have looked at another one than whoever reads it.
pub(crate) fn users(certificate: &[u8], which: ClientUser) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    match which {
        ClientUser::Off => Vec::new(),
        ClientUser::CommonName => {
            let mut all = certificate.subject().iter_common_name();
            match (all.next(), all.next()) {
                (Some(only), None) => only.as_str().map(str::to_owned).into_iter().collect(),
                _ => Vec::new(),
            }
        }
        ClientUser::Uri => {
            let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
            let uri = |name: &GeneralName<'_>| match name {
                GeneralName::URI(uri) => Some((*uri).to_owned()),
                _ => None,
            };
            names.value.general_names.iter().filter_map(uri).collect()
        }
    }
}
