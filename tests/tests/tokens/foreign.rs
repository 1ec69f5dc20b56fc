//! Tokens of another issuer, whose keys are the test's: all that can be wrong with one has it refused.

use anyhow::{Result, ensure};
use ring::hmac;
use serde_json::{Value as Json, json};
use veddb_tests::{Client, Value};

use super::jwt::{AUDIENCE, ISSUER, Key, Trusted, claims, encode, es256, gets_in, now, part, with};

/// Everything but the signature, signed by HMAC with some bytes.
fn hs256(header: &Json, claims: &Json, secret: &[u8]) -> String {
    let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", encode(tag))
}

/// Whether these are three parts of base64url, the first of them an object that names an algorithm.
fn has_form(token: &str) -> bool {
    let is_url_safe = |c: char| c.is_ascii_alphanumeric() || "-_.=".contains(c);
    token.matches('.').count() == 2
        && token.chars().all(is_url_safe)
        && part(token, 0).is_ok_and(|header| header.get("alg").is_some())
}

#[test]
fn whatever_is_wrong_with_a_token_has_it_refused() -> Result<()> {
    let (key, thief) = (Key::new("one")?, Key::new("one")?);
    let trusted = Trusted::new(&[key.jwk()])?;
    let server = trusted.options().start()?;
    let mut admin = server.client()?;
    // Any password would do: a token that is wrong is not taken for one.
    admin.ask(&["ACL", "SETUSER", "ada", "on", "nopass", "+@all", "~*"])?;
    admin.ask(&["ACL", "SETUSER", "eve", "on", ">secret", "+@all", "~*"])?;
    admin.ask(&["ACL", "SETUSER", "off", ">secret"])?;
    let good = claims("ada");
    let at = now();
    let token = key.sign(&good);
    ensure!(gets_in(server.port(), "ada", &token)?, "a good token was refused; log:\n{}", server.log());
    for (name, value) in [
        ("aud", json!([AUDIENCE, "others"])),
        ("nbf", json!(at)),
        ("exp", json!(at + 1_000_000)),
        ("acl", json!(["+acl|whoami"])),
        ("other", json!({"deep": [1, 2]})),
    ] {
        ensure!(gets_in(server.port(), "ada", &key.sign(&with(&good, name, value)))?, "{name}");
    }

    let header = key.header();
    let mut bad: Vec<(String, String)> = Vec::new();
    let mut put = |what: &str, token: String| bad.push((what.to_owned(), token));
    for (name, value) in [
        ("exp", json!(at - 1)),
        ("exp", json!(at - 1_000_000)),
        ("exp", json!(0)),
        ("exp", json!(-1)),
        ("exp", json!(at + 31 * 24 * 3600)),
        ("exp", json!(u64::MAX)),
        ("exp", json!((at + 600).to_string())),
        ("exp", json!(at as f64 + 600.5)),
        ("exp", json!([at + 600])),
        ("exp", json!(null)),
        ("nbf", json!(at + 600)),
        ("nbf", json!("0")),
        ("iat", json!(at + 600)),
        // What counts is how long it is good in all, and not what is left.
        ("iat", json!(at - 31 * 24 * 3600)),
        ("iat", json!("0")),
        ("iat", json!(null)),
        ("iss", json!("https://other.test")),
        ("iss", json!("veddb")),
        ("iss", json!([ISSUER])),
        ("iss", json!(7)),
        ("iss", json!(null)),
        ("aud", json!("others")),
        ("aud", json!(["others"])),
        ("aud", json!([])),
        ("aud", json!({"veddb": true})),
        ("aud", json!(null)),
        ("sub", json!("eve")),
        ("sub", json!("ADA")),
        ("sub", json!("ada ")),
        ("sub", json!(["ada"])),
        ("sub", json!(null)),
        ("jti", json!(7)),
        ("jti", json!("")),
        ("jti", json!("x".repeat(256))),
        ("jti", json!(null)),
        ("acl", json!("+@all")),
        ("acl", json!({"+@all": 1})),
        ("acl", json!([7])),
        ("acl", json!(["+nonsense"])),
        ("acl", json!(["+role:admin"])),
        ("acl", json!(["(+@all ~*)"])),
        ("acl", json!([">secret"])),
        ("acl", json!(["on"])),
        ("padding", json!("x".repeat(8000))),
        ("padding", json!("x".repeat(12_000))),
    ] {
        put(
            &format!("{name}: {}", value.to_string().chars().take(40).collect::<String>()),
            key.sign(&with(&good, name, value)),
        );
    }
    put("acl is null", key.sign_texts(&header.to_string(), &good.to_string().replacen('{', r#"{"acl":null,"#, 1)));
    put("sub twice", key.sign_texts(&header.to_string(), &good.to_string().replacen('{', r#"{"sub":"ada","#, 1)));
    put("acl twice", {
        let both = good.to_string().replacen('{', r#"{"acl":[],"acl":["+@all","~*"],"#, 1);
        key.sign_texts(&header.to_string(), &both)
    });
    put("claims are an array", key.sign_texts(&header.to_string(), "[]"));
    put("claims are no JSON", key.sign_texts(&header.to_string(), "{"));
    put(
        "claims are nested deeply",
        key.sign_texts(&header.to_string(), &format!("{}{}", "[".repeat(3000), "]".repeat(3000))),
    );

    let unsigned = format!("{}.{}.", encode(r#"{"alg":"none","kid":"one"}"#), encode(good.to_string()));
    put("alg none, no signature", unsigned.clone());
    put("alg none, some signature", format!("{unsigned}AAAA"));
    for alg in ["none", "None", "nOnE", "", "eddsa", "EdDSA ", "Ed25519", "ES256", "RS256", "HS256", "PS256"] {
        put(&format!("alg {alg:?}"), key.sign_with(&with(&header, "alg", json!(alg)), &good));
    }
    for secret in
        [key.public().to_vec(), encode(key.public()).into_bytes(), key.jwk().to_string().into_bytes(), Vec::new()]
    {
        put("HS256 with the public key", hs256(&with(&header, "alg", json!("HS256")), &good, &secret));
        put("EdDSA that is HS256", hs256(&header, &good, &secret));
    }
    put("no alg", key.sign_with(&with(&header, "alg", json!(null)), &good));
    put("alg is a list", key.sign_with(&with(&header, "alg", json!(["EdDSA"])), &good));
    put("alg twice", key.sign_texts(r#"{"alg":"none","alg":"EdDSA","kid":"one"}"#, &good.to_string()));
    put("signed by another key", thief.sign(&good));
    for kid in [json!("two"), json!(""), json!(7), json!(["one"]), json!("../one"), json!(null)] {
        put(&format!("kid {kid}"), key.sign_with(&with(&header, "kid", kid), &good));
    }
    let embedded = [
        ("jwk", thief.jwk()),
        ("jku", json!("https://thief.test/jwks.json")),
        ("x5u", json!("https://thief.test/cert.pem")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("unknown", json!(1)),
    ];
    for (name, value) in embedded {
        put(&format!("{name}, signed by the thief"), thief.sign_with(&with(&header, name, value.clone()), &good));
        put(&format!("{name}, signed by the issuer"), key.sign_with(&with(&header, name, value), &good));
    }
    let parts: Vec<&str> = token.split('.').collect();
    put("cut by one", token[..token.len() - 1].to_owned());
    put("cut by many", token[..token.len() - 40].to_owned());
    put("no signature", format!("{}.{}.", parts[0], parts[1]));
    put("no claims", format!("{}..{}", parts[0], parts[2]));
    put(
        "claims of another",
        format!("{}.{}.{}", parts[0], encode(with(&good, "jti", json!("other")).to_string()), parts[2]),
    );
    put("padded", format!("{token}=="));
    put("with a line's end", format!("{token}\n"));
    let last = token.chars().last().map_or('A', |last| if last == 'B' { 'C' } else { 'B' });
    put("last letter changed", format!("{}{last}", &token[..token.len() - 1]));
    for at in [5, parts[0].len() + 5, parts[0].len() + parts[1].len() + 5] {
        let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
        put(&format!("letter {at} changed"), format!("{}{other}{}", &token[..at], &token[at + 1..]));
    }

    admin.ask(&["ACL", "SETUSER", "ada", "resetpass"])?;
    ensure!(gets_in(server.port(), "ada", &token)?, "a good token was refused later");
    for nopass in [false, true] {
        for (what, token) in &bad {
            // What has not the form of a token is a password like any other.
            if !nopass || has_form(token) {
                ensure!(!gets_in(server.port(), "ada", token)?, "{what} (nopass: {nopass}): {token}");
            }
        }
        admin.ask(&["ACL", "SETUSER", "ada", "nopass"])?;
    }
    for (user, token) in [
        ("eve", token.clone()),
        ("default", token.clone()),
        ("nobody", key.sign(&claims("nobody"))),
        ("off", key.sign(&claims("off"))),
    ] {
        ensure!(!gets_in(server.port(), user, &token)?, "{user}");
    }
    // Nothing of all that has made the server forget what is good.
    ensure!(gets_in(server.port(), "ada", &token)?, "a good token was refused at last");
    Ok(())
}

#[test]
fn keys_are_read_anew_and_what_they_signed_goes_with_them() -> Result<()> {
    let (one, two) = (Key::new("one")?, Key::new("two")?);
    let trusted = Trusted::new(&[one.jwk()])?;
    let server = trusted.options().start()?;
    let mut admin = server.client()?;
    admin.ask(&["ACL", "SETUSER", "ada", "on", "+@all", "~*"])?;
    let (old, new) = (one.sign(&claims("ada")), two.sign(&with(&claims("ada"), "jti", json!("second"))));
    let path = trusted.path();
    let path = path.to_str().expect("the path is UTF-8");
    let mut inside = Client::connect(server.port())?;
    inside.ask(&["AUTH", "ada", &old])?;
    ensure!(!gets_in(server.port(), "ada", &new)?, "a key that is not there is trusted");

    let (elliptic, elliptic_key) = es256("three", &with(&claims("ada"), "jti", json!("third")))?;
    trusted.write(&json!({"keys": [one.jwk(), two.jwk(), elliptic_key]}).to_string())?;
    admin.ask(&["CONFIG", "SET", "token-jwks-file", path])?;
    for token in [&old, &new, &elliptic] {
        ensure!(gets_in(server.port(), "ada", token)?, "log:\n{}", server.log());
    }
    let confused =
        format!("{}.{}", encode(r#"{"alg":"ES256","kid":"two"}"#), elliptic.split_once('.').expect("dots").1);
    ensure!(!gets_in(server.port(), "ada", &confused)?, "an algorithm of another key is taken");

    trusted.write(r#"{"keys":[{"kty":"oct","kid":"one","k":"AAAA"}]}"#)?;
    let refused = admin.run(&["CONFIG", "SET", "token-jwks-file", path])?;
    ensure!(refused.is_error("ERR") && refused.to_string().contains("shared secret"), "{refused}");
    ensure!(gets_in(server.port(), "ada", &new)?, "a file that cannot be was taken");
    ensure!(inside.ask(&["PING"])? == Value::Simple("PONG".into()), "the connection is gone");

    trusted.write(&json!({"keys": [two.jwk()]}).to_string())?;
    admin.ask(&["CONFIG", "SET", "token-jwks-file", path])?;
    ensure!(inside.read_to_end()?.is_empty(), "a connection of a key that is gone stays");
    ensure!(!gets_in(server.port(), "ada", &old)?, "a key that is gone is trusted");

    // One token alone, then all that were issued until now.
    let mut inside = Client::connect(server.port())?;
    inside.ask(&["AUTH", "ada", &new])?;
    ensure!(admin.ask(&["TOKEN.REVOKE", "second"])?.expect_integer() == 1, "not revoked");
    ensure!(admin.ask(&["TOKEN.REVOKE", "second"])?.expect_integer() == 0, "revoked twice");
    ensure!(inside.read_to_end()?.is_empty(), "a connection of a revoked token stays");
    ensure!(!gets_in(server.port(), "ada", &new)?, "a revoked token is good");
    let another = two.sign(&with(&claims("ada"), "jti", json!("fourth")));
    ensure!(gets_in(server.port(), "ada", &another)?, "another token is not good");
    admin.ask(&["TOKEN.REVOKE", "USER", "ada"])?;
    ensure!(!gets_in(server.port(), "ada", &another)?, "the tokens of a user were not revoked");
    let later = with(&with(&claims("ada"), "jti", json!("fifth")), "iat", json!(now() + 2));
    ensure!(gets_in(server.port(), "ada", &two.sign(&later))?, "a token from after that is not good");
    ensure!(
        !gets_in(server.port(), "ada", &two.sign(&with(&later, "iat", json!(null))))?,
        "a token without iat is good"
    );

    admin.ask(&["CONFIG", "SET", "token-jwks-file", ""])?;
    ensure!(!gets_in(server.port(), "ada", &two.sign(&later))?, "an issuer that is not trusted any more is");
    Ok(())
}

#[test]
fn another_key_under_the_same_number_is_another_key() -> Result<()> {
    let (key, other) = (Key::new("one")?, Key::new("one")?);
    let trusted = Trusted::new(&[key.jwk()])?;
    let server = trusted.options().start()?;
    let mut admin = server.client()?;
    admin.ask(&["ACL", "SETUSER", "ada", "on", "+@all", "~*"])?;
    let path = trusted.path();
    let path = path.to_str().expect("the path is UTF-8");
    let token = key.sign(&claims("ada"));
    let mut inside = Client::connect(server.port())?;
    inside.ask(&["AUTH", "ada", &token])?;
    admin.ask(&["CONFIG", "SET", "token-jwks-file", path])?;
    ensure!(inside.ask(&["PING"])? == Value::Simple("PONG".into()), "the same key has ended the connection");

    trusted.write(&json!({"keys": [other.jwk()]}).to_string())?;
    admin.ask(&["CONFIG", "SET", "token-jwks-file", path])?;
    ensure!(inside.read_to_end()?.is_empty(), "a connection of a key that is gone stays");
    ensure!(!gets_in(server.port(), "ada", &token)?, "a key that is gone is trusted");
    ensure!(gets_in(server.port(), "ada", &other.sign(&claims("ada")))?, "log:\n{}", server.log());

    // Nobody writes into it, so whoever opened it would wait for good.
    let pipe = trusted.path().with_extension("pipe");
    ensure!(std::process::Command::new("mkfifo").arg(&pipe).status()?.success(), "mkfifo has failed");
    let refused = admin.run(&["CONFIG", "SET", "token-jwks-file", pipe.to_str().expect("the path is UTF-8")])?;
    ensure!(refused.to_string().contains("it is no file"), "{refused}");
    Ok(())
}

#[test]
fn revocations_of_another_issuer_take_no_room_of_tokens() -> Result<()> {
    let trusted = Trusted::new(&[Key::new("one")?.jwk()])?;
    let server = trusted.options().set("token-max-records", "2").start()?;
    let mut admin = server.client()?;
    for user in ["ada", "bob", "eve"] {
        admin.ask(&["ACL", "SETUSER", user, "on", "+@all", "~*"])?;
    }
    // That of a user again takes no more room.
    for user in ["ada", "bob", "ada"] {
        ensure!(admin.ask(&["TOKEN.REVOKE", "USER", user])?.expect_integer() == 0, "{user} has a token");
    }
    let mut tokens = Vec::new();
    for _ in 0..2 {
        tokens.push(admin.ask(&["TOKEN.ISSUE", "USER", "eve"])?.expect_text().to_owned());
    }
    ensure!(admin.run(&["TOKEN.ISSUE", "USER", "eve"])?.is_error("TOOBIG"), "more tokens than there may be");
    ensure!(admin.run(&["TOKEN.REVOKE", "of-the-other"])?.is_error("TOOBIG"), "more revocations than there may be");
    ensure!(gets_in(server.port(), "eve", &tokens[0])?, "log:\n{}", server.log());
    // There is no room for what the other issuer's are revoked by, and that is said; her own are revoked all the same.
    ensure!(admin.run(&["TOKEN.REVOKE", "USER", "eve"])?.is_error("TOOBIG"), "more revocations than there may be");
    for token in &tokens {
        ensure!(!gets_in(server.port(), "eve", token)?, "her own token is good");
    }
    ensure!(admin.run(&["ACL", "DELUSER", "eve"])?.is_error("TOOBIG"), "her tokens are the next one's");
    ensure!(admin.ask(&["ACL", "USERS"])?.to_string().contains("eve"), "she is gone");
    admin.ask(&["CONFIG", "SET", "token-max-records", "3"])?;
    ensure!(admin.ask(&["ACL", "DELUSER", "eve"])?.expect_integer() == 1, "she is still there");
    Ok(())
}
