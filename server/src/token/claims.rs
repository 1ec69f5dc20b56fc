//! What a token says, read strictly: its header before anything is verified, its claims after.
//!
//! Invariant: a header says which key and which algorithm, and nothing that would have another key be taken; a claim of another type than
//! it should have is as bad as a wrong one.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jsonwebtoken::Algorithm;
use serde::{Deserialize, Deserializer};
use thiserror::Error;
use veddb_commands::access::Selector;

/// Bytes of a whole token.
pub(super) const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a token's number.
pub(super) const JTI_BYTES_MAX: usize = 255;
/// How far the clocks of two servers may be apart for a token that is just becoming good, seconds. It expires to the second.
pub(super) const SKEW_S: u64 = 10;

/// Why a token is not good. The server's log says it; who sent the token does not hear it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the message says it")]
pub(crate) enum Refused {
    #[error("it has more than {} bytes", TOKEN_BYTES_MAX)]
    TooLong,
    #[error("its header is none that is known here")]
    Header,
    #[error("its key is not known")]
    UnknownKey,
    #[error("its algorithm is not that of its key")]
    Algorithm,
    #[error("it does not verify: {0}")]
    Verification(String),
    #[error("it has expired")]
    Expired,
    #[error("it is not good yet")]
    NotYet,
    #[error("it is good for longer than token-max-lifetime, or does not say since when")]
    TooLasting,
    #[error("it is of another issuer")]
    Issuer,
    #[error("it is for another audience")]
    Audience,
    #[error("it is another user's")]
    User,
    #[error("its number, the claim jti, cannot be")]
    Number,
    #[error("its rules, the claim acl, cannot be: {0}")]
    Rules(String),
    #[error("it is none of those that were issued")]
    Unknown,
    #[error("it was revoked")]
    Revoked,
    #[error("its user is not there, or is off")]
    NoUser,
}

/// Whether what is given as a password is a token: three parts of base64url, of which the first is an object with an algorithm. Whatever
/// is wrong with it beyond that, it is not taken for a password then: a token that says less than its user may must not become one that
/// says more.
pub(crate) fn is_token(password: &[u8]) -> bool {
    // The first bytes of an object in base64url.
    if !password.starts_with(b"ey") || password.iter().filter(|byte| **byte == b'.').count() != 2 {
        return false;
    }
    let is_url_safe = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=');
    if !password.iter().all(is_url_safe) {
        return false;
    }
    let header = password.split(|byte| *byte == b'.').next().unwrap_or_default();
    if header.len() > TOKEN_BYTES_MAX {
        return true;
    }
    let trimmed = header.strip_suffix(b"==").or_else(|| header.strip_suffix(b"=")).unwrap_or(header);
    let Ok(text) = URL_SAFE_NO_PAD.decode(trimmed) else { return false };
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&text).is_ok_and(|map| map.contains_key("alg"))
}

/// What a token says of how it is signed. Whatever else stands there has the token refused: `jwk`, `jku`, `x5u` and `x5c`, which would name
/// or bring a key, and `crit`, which says that what is not understood must not be passed over.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    alg: String,
    pub(super) kid: String,
    #[serde(default, deserialize_with = "present")]
    typ: Option<String>,
    // What names the key by its certificate as well is not looked at.
    #[serde(default, rename = "x5t")]
    _x5t: serde::de::IgnoredAny,
    #[serde(default, rename = "x5t#S256")]
    _x5t_s256: serde::de::IgnoredAny,
}

impl Header {
    pub(super) fn read(token: &str) -> Result<Header, Refused> {
        let first = token.split('.').next().unwrap_or_default();
        let text = URL_SAFE_NO_PAD.decode(first).map_err(|_| Refused::Header)?;
        let header: Header = serde_json::from_slice(&text).map_err(|_| Refused::Header)?;
        let is_access = |typ: &String| ["jwt", "at+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known));
        if header.typ.as_ref().is_some_and(|typ| !is_access(typ)) {
            return Err(Refused::Header);
        }
        Ok(header)
    }

    /// Whether it names this algorithm, in exactly its letters.
    pub(super) fn is_of(&self, algorithm: Algorithm) -> bool {
        let name = match algorithm {
            Algorithm::EdDSA => "EdDSA",
            Algorithm::ES256 => "ES256",
            Algorithm::RS256 => "RS256",
            _ => return false,
        };
        self.alg == name
    }
}

/// One audience or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// The claims that are looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    iss: String,
    aud: Audience,
    pub(super) sub: String,
    pub(super) jti: String,
    /// Seconds since 1970, as are the other times.
    pub(super) exp: u64,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    pub(super) iat: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    acl: Option<Vec<String>>,
}

/// What a token has to say to be good here and now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) audience: &'a str,
    pub(super) user: &'a [u8],
    pub(super) now_s: u64,
    /// From its `iat` on, which it has to say, how long it may be good at most, seconds; none where that was looked at when it was
    /// issued. What counts is the whole time and not what is left of it: a revocation is kept for as long as a token can be good.
    pub(super) lifetime_s_max: Option<u64>,
}

impl Claims {
    pub(super) fn check(&self, expected: &Expected<'_>) -> Result<(), Refused> {
        let Expected { issuer, audience, user, now_s, lifetime_s_max } = *expected;
        if self.iss != issuer {
            return Err(Refused::Issuer);
        }
        let is_for = match &self.aud {
            Audience::One(one) => one == audience,
            Audience::Several(all) => all.iter().any(|one| one == audience),
        };
        if !is_for {
            return Err(Refused::Audience);
        }
        if self.sub.as_bytes() != user {
            return Err(Refused::User);
        }
        if self.exp <= now_s {
            return Err(Refused::Expired);
        }
        let soon = now_s.saturating_add(SKEW_S);
        if self.nbf.is_some_and(|from| from > soon) || self.iat.is_some_and(|issued| issued > soon) {
            return Err(Refused::NotYet);
        }
        let is_too_lasting = |most: u64| self.iat.is_none_or(|issued| self.exp.saturating_sub(issued) > most);
        if lifetime_s_max.is_some_and(is_too_lasting) {
            return Err(Refused::TooLasting);
        }
        if !is_number(self.jti.as_bytes()) {
            return Err(Refused::Number);
        }
        Ok(())
    }

    /// The rules that it is held to, if it says any.
    pub(super) fn bounds(&self) -> Result<Option<Arc<Selector>>, Refused> {
        let Some(rules) = &self.acl else { return Ok(None) };
        bounds(rules).map(|found| Some(Arc::new(found))).map_err(Refused::Rules)
    }
}

/// What the rules of the claim `acl` come to.
///
/// # Errors
/// The first that cannot be.
pub(super) fn bounds(rules: &[String]) -> Result<Selector, String> {
    Selector::of(rules.iter().map(|rule| rule.as_bytes()))
        .map_err(|(rule, error)| format!("'{}': {error}", String::from_utf8_lossy(rule)))
}

/// Whether a token may have this number.
pub(super) fn is_number(jti: &[u8]) -> bool {
    (1..=JTI_BYTES_MAX).contains(&jti.len()) && jti.iter().all(|byte| byte.is_ascii_graphic())
}

/// Null is not as good as nothing.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A token that was good, by which a connection is in.
#[derive(Debug)]
pub(crate) struct Token {
    /// Its number.
    pub(crate) jti: Bytes,
    /// The number of its key.
    pub(super) key: String,
    /// What tells the key from another one that has the same number later.
    pub(super) key_hash: [u8; 32],
    /// The issuer, where that is another one.
    pub(super) foreign: Option<String>,
    /// Whose it is.
    pub(super) user: Bytes,
    /// When it was issued, milliseconds since 1970; 0 where it does not say.
    pub(super) issued_ms: u64,
    /// When it is not good any more, milliseconds since 1970.
    pub(crate) expires_ms: u64,
    /// What it may do at most.
    pub(crate) bounds: Option<Arc<Selector>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    #[test]
    fn tokens_are_told_from_passwords() {
        let check = |password: &str, expected: bool| assert_eq!(is_token(password.as_bytes()), expected, "{password}");
        let header = encode(r#"{"alg":"none"}"#);
        check(&format!("{header}.e30."), true);
        check(&format!("{header}.e30.AA"), true);
        check(&format!("{header}=.e30.AA"), true);
        check(&format!("{header}.e30"), false);
        check(&format!("{header}.e30.A.A"), false);
        check(&format!("{header}.e30.A A"), false);
        check(&format!("{}.e30.AA", encode(r#"{"typ":"JWT"}"#)), false);
        check("secret", false);
        check("eyes.only.please", false);
        check(&format!("ey{}.a.b", "A".repeat(TOKEN_BYTES_MAX)), true);
    }

    #[test]
    fn headers_say_key_and_algorithm_and_nothing_else() {
        let check = |text: &str, expected: bool| {
            let read = Header::read(&format!("{}.e30.AA", encode(text)));
            assert_eq!(read.is_ok_and(|header| header.is_of(Algorithm::EdDSA)), expected, "{text}");
        };
        check(r#"{"alg":"EdDSA","kid":"a"}"#, true);
        check(r#"{"alg":"EdDSA","kid":"a","typ":"JWT","x5t":"AA"}"#, true);
        check(r#"{"alg":"EdDSA","kid":"a","typ":"at+jwt"}"#, true);
        check(r#"{"alg":"EdDSA","kid":"a","typ":"secevent+jwt"}"#, false);
        check(r#"{"alg":"EdDSA","kid":"a","typ":null}"#, false);
        for alg in ["none", "None", "eddsa", "HS256", "ES256", ""] {
            check(&format!(r#"{{"alg":"{alg}","kid":"a"}}"#), false);
        }
        for member in ["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip"] {
            check(&format!(r#"{{"alg":"EdDSA","kid":"a","{member}":{{}}}}"#), false);
        }
        check(r#"{"alg":"EdDSA"}"#, false);
        check(r#"{"alg":"EdDSA","kid":7}"#, false);
        check(r#"{"alg":"EdDSA","alg":"none","kid":"a"}"#, false);
    }

    #[test]
    fn claims_are_what_they_should_be() {
        let check = |change: &str, expected: Result<(), Refused>| {
            let mut claims = serde_json::json!({"iss": "i", "aud": "a", "sub": "ada", "jti": "1", "exp": 200, "nbf": 100, "iat": 100});
            let changes: serde_json::Map<String, serde_json::Value> = serde_json::from_str(change).unwrap();
            for (name, value) in changes {
                claims[name] = value;
            }
            let expects = Expected { issuer: "i", audience: "a", user: b"ada", now_s: 100, lifetime_s_max: Some(150) };
            let read: Result<Claims, _> = serde_json::from_value(claims);
            let found = read
                .map_err(|_| Refused::Header)
                .and_then(|claims| claims.check(&expects).and(claims.bounds().map(|_| ())));
            assert_eq!(found, expected, "{change}");
        };
        check("{}", Ok(()));
        check(r#"{"aud":["b","a"]}"#, Ok(()));
        check(r#"{"aud":["b"]}"#, Err(Refused::Audience));
        check(r#"{"aud":"b"}"#, Err(Refused::Audience));
        check(r#"{"aud":7}"#, Err(Refused::Header));
        check(r#"{"iss":"j"}"#, Err(Refused::Issuer));
        check(r#"{"iss":["i"]}"#, Err(Refused::Header));
        check(r#"{"sub":"eve"}"#, Err(Refused::User));
        check(r#"{"sub":null}"#, Err(Refused::Header));
        check(r#"{"exp":101}"#, Ok(()));
        check(r#"{"exp":100}"#, Err(Refused::Expired));
        check(r#"{"exp":251}"#, Err(Refused::TooLasting));
        check(r#"{"exp":18446744073709551615}"#, Err(Refused::TooLasting));
        check(r#"{"exp":"200"}"#, Err(Refused::Header));
        check(r#"{"exp":200.5}"#, Err(Refused::Header));
        check(r#"{"exp":-1}"#, Err(Refused::Header));
        check(r#"{"nbf":110}"#, Ok(()));
        check(r#"{"nbf":111}"#, Err(Refused::NotYet));
        check(r#"{"nbf":"0"}"#, Err(Refused::Header));
        check(r#"{"nbf":null}"#, Err(Refused::Header));
        check(r#"{"iat":111}"#, Err(Refused::NotYet));
        check(r#"{"jti":""}"#, Err(Refused::Number));
        check(r#"{"jti":"a b"}"#, Err(Refused::Number));
        check(r#"{"acl":["+get","~a*"]}"#, Ok(()));
        check(r#"{"acl":[]}"#, Ok(()));
        check(r#"{"acl":null}"#, Err(Refused::Header));
        check(r#"{"acl":"+get"}"#, Err(Refused::Header));
        check(r#"{"acl":["+nope"]}"#, Err(Refused::Rules("'+nope': Unknown command or category name in ACL".into())));
        check(r#"{"acl":["+role:admin"]}"#, Err(Refused::Rules("'+role:admin': Syntax error".into())));
    }
}
