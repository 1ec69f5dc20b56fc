//! Another issuer whose tokens are good here: its name and its public keys, from a file of JSON Web Keys (RFC 7517).
//!
//! Read whole or not at all. Keys of other kinds than are verified here are passed over; a shared secret or a private key in the file is an
//! error, since whoever put it there mistook what the file is for.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Settings, key_hash};

/// Bytes of the file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Another issuer.
#[derive(Debug)]
pub(crate) struct Foreign {
    pub(super) issuer: String,
    pub(super) keys: HashMap<String, PublicKey>,
}

/// A key of it.
#[derive(Debug)]
pub(super) struct PublicKey {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
    /// What tells it from others, whatever its number.
    pub(super) hash: [u8; 32],
}

#[derive(Deserialize)]
struct File {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<IgnoredAny>,
}

impl Foreign {
    /// Reads the file that the settings name; none where they name none.
    ///
    /// # Errors
    /// What is missing or not as it should be.
    pub(super) fn load(settings: &Settings) -> Result<Option<Foreign>, String> {
        let path = &settings.jwks_file;
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        if settings.jwks_issuer.is_empty() {
            return Err("token-jwks-file needs token-jwks-issuer to say whose keys they are".to_owned());
        }
        if settings.jwks_issuer == settings.issuer {
            return Err("token-jwks-issuer is token-issuer: the issuer of these keys is another one".to_owned());
        }
        let wrong = |why: String| format!("token-jwks-file {}: {why}", path.display());
        let keys = read(path).and_then(|text| keys(&text)).map_err(wrong)?;
        Ok(Some(Foreign { issuer: settings.jwks_issuer.clone(), keys }))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    // To open a pipe takes until somebody writes to it.
    if !std::fs::metadata(path).map_err(|error| error.to_string())?.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("it has more than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

fn keys(text: &[u8]) -> Result<HashMap<String, PublicKey>, String> {
    let file: File = serde_json::from_slice(text).map_err(|error| format!("it is no set of JSON Web Keys: {error}"))?;
    let mut keys = HashMap::new();
    for (at, key) in file.keys.iter().enumerate() {
        if key.kty == "oct" || key.d.is_some() {
            return Err(format!("key {at} is a shared secret or a private key: only public keys belong there"));
        }
        let Some(found) = usable(key).map_err(|what| format!("key {at}: {what}"))? else { continue };
        let Some(kid) = key.kid.as_ref().filter(|kid| !kid.is_empty()) else {
            return Err(format!("key {at} has no kid"));
        };
        if keys.insert(kid.clone(), found).is_some() {
            return Err(format!("two keys have the kid {kid}"));
        }
    }
    if keys.is_empty() {
        return Err("it has no key of Ed25519 (EdDSA), P-256 (ES256) or RSA (RS256)".to_owned());
    }
    Ok(keys)
}

/// A key that tokens are verified with here; none where it is of another kind or for something else.
fn usable(key: &Key) -> Result<Option<PublicKey>, String> {
    let is_for = |algorithm: &str| {
        key.alg.as_deref().is_none_or(|named| named == algorithm)
            && key.used_for.as_deref().is_none_or(|used| used == "sig")
    };
    let member = |name: &str, value: &Option<String>, bytes: std::ops::RangeInclusive<usize>| {
        let value = value.as_deref().ok_or_else(|| format!("it has no {name}"))?;
        let decoded = URL_SAFE_NO_PAD.decode(value).map_err(|_| format!("its {name} is not base64url"))?;
        let bare =
            decoded.iter().position(|byte| *byte != 0).map_or(&[][..], |at| decoded.get(at..).unwrap_or_default());
        // RSA's are numbers, which may have zeros before them; of the others there are so many bytes.
        let value = if key.kty == "RSA" { bare.to_vec() } else { decoded.clone() };
        if bytes.contains(&value.len()) { Ok(value) } else { Err(format!("its {name} has {} bytes", value.len())) }
    };
    Ok(match (key.kty.as_str(), key.crv.as_deref()) {
        ("OKP", Some("Ed25519")) if is_for("EdDSA") => {
            let x = member("x", &key.x, 32..=32)?;
            Some(PublicKey { algorithm: Algorithm::EdDSA, key: DecodingKey::from_ed_der(&x), hash: key_hash(&[&x]) })
        }
        ("EC", Some("P-256")) if is_for("ES256") => {
            let point = [&[4][..], &member("x", &key.x, 32..=32)?, &member("y", &key.y, 32..=32)?].concat();
            let hash = key_hash(&[&point]);
            Some(PublicKey { algorithm: Algorithm::ES256, key: DecodingKey::from_ec_der(&point), hash })
        }
        ("RSA", _) if is_for("RS256") => {
            let (n, e) = (member("n", &key.n, 256..=1024)?, member("e", &key.e, 1..=8)?);
            let (key, hash) = (DecodingKey::from_rsa_raw_components(&n, &e), key_hash(&[&n, &e]));
            Some(PublicKey { algorithm: Algorithm::RS256, key, hash })
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_keys_of_known_kinds_are_taken() {
        let check = |text: &str, expected: Result<&[&str], &str>| {
            let found = keys(text.as_bytes()).map(|keys| {
                let mut names: Vec<_> = keys.into_keys().collect();
                names.sort();
                names
            });
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{text}: {found}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        };
        let x = URL_SAFE_NO_PAD.encode([1; 32]);
        let ed = format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"a","x":"{x}"}}"#);
        check(&format!(r#"{{"keys":[{ed}]}}"#), Ok(&["a"]));
        check(&format!(r#"{{"keys":[{ed},{{"kty":"EC","crv":"P-521","kid":"b"}}]}}"#), Ok(&["a"]));
        check(&format!(r#"{{"keys":[{ed},{ed}]}}"#), Err("two keys"));
        check(&format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"b","x":"{x}","y":"{x}"}}]}}"#), Ok(&["b"]));
        check(&format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"b","x":"{x}"}}]}}"#), Err("no y"));
        check(&format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}]}}"#), Err("no kid"));
        check(r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"AA"}]}"#, Err("1 bytes"));
        check(
            &format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"a","x":"{x}","d":"{x}"}}]}}"#),
            Err("private"),
        );
        check(r#"{"keys":[{"kty":"oct","kid":"a","k":"AAAA"}]}"#, Err("shared secret"));
        check(r#"{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"}]}"#, Err("3 bytes"));
        check(r#"{"keys":[]}"#, Err("no key"));
        check("[]", Err("no set"));
    }

    #[test]
    fn keys_are_told_apart_by_what_they_are() {
        let hash = |byte: u8| {
            let x = URL_SAFE_NO_PAD.encode([byte; 32]);
            let text = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"a","x":"{x}"}}]}}"#);
            keys(text.as_bytes()).unwrap().remove("a").unwrap().hash
        };
        assert_eq!(hash(1), hash(1));
        assert_ne!(hash(1), hash(2));
        assert_ne!(key_hash(&[b"a", b"bc"]), key_hash(&[b"ab", b"c"]));
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let home = tempfile::tempdir().unwrap();
        let pipe = home.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [home.path(), pipe.as_path(), Path::new("/dev/zero")] {
            assert_eq!(read(path).unwrap_err(), "it is no file", "{}", path.display());
        }
        let file = home.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let link = home.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read(&link).unwrap(), b"x");
    }

    /// Keys and signatures that Python's `cryptography` made, which rests on OpenSSL.
    #[test]
    fn signatures_of_another_implementation_verify() {
        crate::token::signature::install();
        let message = b"eyJhbGciOiJub25lIn0.e30";
        let ed = (
            r#"{"kty":"OKP","crv":"Ed25519","kid":"a","x":"XB0v8QUKRX6iNSHqBhHixkP6z3WoM_TofaMsp_nWXgE"}"#,
            "qWHFatu4cLnXJrmi81GAQUp-a4C5kZiPW0aPt3a8Qa26wCK574ZeHKgetwOqUortBS0bIJPpo1HIi1P6Y5QYBw",
        );
        let ec = (
            r#"{"kty":"EC","crv":"P-256","kid":"a","x":"btKa9UAFBVGEsjrJHnhQY4_SLwTz10keBcwYwoQy1Z4",
                "y":"_7UPzK-AxUB4QFnaJqtWV8Ty01WdV2zDKWx3d-SitkQ"}"#,
            "xjjNgb0tOX8r8_I7dUKB0JJPhJxxwNYNUD1MsuFV7m0GxJMJAVQnF_WG033Ivm3DVME5M5mxyMarJIbQ6wUbnQ",
        );
        let of_hex = [
            "960db9dbe59d2709c3512355578a61b6adc1962a3f2abab712f33e7319d51a35",
            "5723794658ca84343963540688dce99ee2863aeb2a060f3d8b9c7be80ee85980",
            "fc9cd5223a8f3b8630de21a3d1824dae420a76cf0c7ea509579962a3a26cf4a1",
            "0542392628c517c13aad3d143f45f4576389bff81a8d7c09265af7626bf831c6",
            "344e6214ee03c0d3fd85e8ec5698e7ff80e0cc8ecd0d194f5e55d583563ed630",
            "8178c5efef4bd83613870fce4c73be674d7dfdf418e81313f843c790ca8a03a4",
            "72a6fe886977f0c83b0a68dade540c431dd4728fb3b85dbd28489ac20b143e10",
            "f299a08a96ed75fcb2848ed1241596bd46838cf434e523ba895929735a3e996a",
        ];
        let of_hex = URL_SAFE_NO_PAD.encode(hex::decode(of_hex.concat()).unwrap());
        let rsa = (
            r#"{"kty":"RSA","alg":"RS256","use":"sig","kid":"a","e":"AQAB","n":"ruJTq7GDcJhRaa9OgWEfg6H2eLSBSKGiYtXBXkiWGkj8KJEYrS4v9uGqFLJYE_gJ3_ZAm5O16qE6s44LnajzPO2WbBrsUZHHHCrksStl2BNy5i4ytOaQdMfIKKEVE7zrQ7NLphwMVpoyp_qsW9INeWh_X_vLKPazzDlWHtuBom8x6A-Ts-bp3qBM0_LVRbKMNW51h7NpPfNAhTK1J7-0GtZqcvDm7X4Zz3OYkXCm-FJhq-nsOs_DUQxnsSnwCXv2GJ3TudT0M0ENI-E4E-6Lu-Pd-xB1xHODs8bJun6JVNnKD-xDrGp4irShUCfJZ2rPtZ1dXfjaeg1iFAWe2HhsIQ"}"#,
            of_hex.as_str(),
        );
        for (key, signature) in [ed, ec, rsa] {
            let mut keys = keys(format!(r#"{{"keys":[{key}]}}"#).as_bytes()).unwrap();
            let PublicKey { algorithm, key, .. } = keys.remove("a").unwrap();
            let verify = |message: &[u8]| jsonwebtoken::crypto::verify(signature, message, &key, algorithm).unwrap();
            assert!(verify(message), "{algorithm:?}");
            assert!(!verify(b"eyJhbGciOiJub25lIn0.e31"), "{algorithm:?}");
        }
    }
}
