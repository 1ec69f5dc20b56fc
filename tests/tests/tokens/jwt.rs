//! JSON Web Tokens made by hand, good and bad ones, with keys of the test's own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use veddb_tests::{Client, Options};

/// The issuer and the audience of what is made here.
pub(crate) const ISSUER: &str = "https://issuer.test";
pub(crate) const AUDIENCE: &str = "veddb";

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The claims or the header of a token.
pub(crate) fn part(token: &str, at: usize) -> Result<Json> {
    let part = token.split('.').nth(at).context("the token has too few parts")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Claims that are good for this user.
pub(crate) fn claims(user: &str) -> Json {
    let at = now();
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": user, "iat": at, "exp": at + 600, "jti": format!("j{at}")})
}

/// The same with a claim changed; null takes it away.
pub(crate) fn with(claims: &Json, name: &str, value: Json) -> Json {
    let mut claims = claims.clone();
    if value.is_null() {
        claims.as_object_mut().expect("claims are an object").remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

/// An issuer's key.
pub(crate) struct Key {
    pub(crate) pair: Ed25519KeyPair,
    pub(crate) kid: String,
}

impl Key {
    pub(crate) fn new(kid: &str) -> Result<Key> {
        let drawn = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| anyhow!("no randomness"))?;
        let pair = Ed25519KeyPair::from_pkcs8(drawn.as_ref()).map_err(|error| anyhow!("{error}"))?;
        Ok(Key { pair, kid: kid.to_owned() })
    }

    pub(crate) fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    pub(crate) fn header(&self) -> Json {
        json!({"alg": "EdDSA", "typ": "JWT", "kid": self.kid})
    }

    pub(crate) fn jwk(&self) -> Json {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": encode(self.public())})
    }

    /// A token of any texts.
    pub(crate) fn sign_texts(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = self.pair.sign(message.as_bytes());
        format!("{message}.{}", encode(signature))
    }

    pub(crate) fn sign_with(&self, header: &Json, claims: &Json) -> String {
        self.sign_texts(&header.to_string(), &claims.to_string())
    }

    pub(crate) fn sign(&self, claims: &Json) -> String {
        self.sign_with(&self.header(), claims)
    }
}

/// A token of ECDSA over P-256, with its public key as a JSON Web Key.
pub(crate) fn es256(kid: &str, claims: &Json) -> Result<(String, Json)> {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let drawn = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| anyhow!("no randomness"))?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, drawn.as_ref(), &random).map_err(|error| anyhow!("{error}"))?;
    let header = json!({"alg": "ES256", "kid": kid});
    let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = pair.sign(&random, message.as_bytes()).map_err(|_| anyhow!("cannot sign"))?;
    let point = pair.public_key().as_ref();
    let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
    Ok((format!("{message}.{}", encode(signature)), json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y})))
}

/// A file of keys that a server trusts.
pub(crate) struct Trusted {
    home: Arc<TempDir>,
}

impl Trusted {
    pub(crate) fn new(keys: &[Json]) -> Result<Trusted> {
        let trusted = Trusted { home: Arc::new(tempfile::tempdir()?) };
        trusted.write(&json!({"keys": keys}).to_string())?;
        Ok(trusted)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.home.path().join("jwks.json")
    }

    pub(crate) fn write(&self, text: &str) -> Result<()> {
        Ok(std::fs::write(self.path(), text)?)
    }

    pub(crate) fn options(&self) -> Options {
        Options::new().set("token-jwks-file", self.path()).set("token-jwks-issuer", ISSUER)
    }
}

/// Whether a new connection gets in as this user with it.
pub(crate) fn gets_in(port: u16, user: &str, token: &str) -> Result<bool> {
    let mut client = Client::connect(port)?;
    let answer = client.run(&["AUTH", user, token])?;
    if answer.is_error("WRONGPASS") {
        return Ok(false);
    }
    anyhow::ensure!(client.ask(&["ACL", "WHOAMI"])?.expect_text() == user, "{answer}");
    Ok(true)
}
