//! Users by the certificate of a client: who is whom from the start, and who is nobody in particular.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use rcgen::{CertificateParams, CustomExtension, DnType, SanType};
use veddb_tests::{Client, Server};

use crate::authority::{Authority, Flaw, secured};

/// Certificates by the names of their files.
fn authority() -> Result<Authority> {
    let ours = Authority::new("ours")?;
    let uris = |uris: &'static [&'static str]| {
        move |params: &mut CertificateParams| {
            params.distinguished_name.push(DnType::CommonName, "ada");
            for uri in uris {
                params.subject_alt_names.push(SanType::URI((*uri).try_into().expect("ASCII")));
            }
        }
    };
    for (name, serial) in [("ada", 1), ("nobody", 2), ("off", 3)] {
        ours.sign(name, serial, Flaw::None)?;
    }
    ours.sign_as("uris", 4, Flaw::None, &["localhost"], uris(&["spiffe://a.example/else", "spiffe://a.example/app"]))?;
    ours.sign_as("strange", 5, Flaw::None, &["localhost"], uris(&["spiffe://a.example/strange"]))?;
    // Two common names, of which each would be a user.
    ours.sign_as("both", 6, Flaw::None, &["localhost"], |params| {
        params.distinguished_name.push(DnType::CommonName, "ada");
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), "root");
    })?;
    ours.sign_as("unnamed", 7, Flaw::None, &["localhost"], |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        // Something that nobody knows is in it.
        let unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], b"\x05\x00".to_vec());
        params.custom_extensions.push(unknown);
    })?;
    Ok(ours)
}

fn start(authority: &Authority, which: &str) -> Result<(Server, u16, Client)> {
    let (server, port) = secured(authority, "optional")?;
    let mut admin = server.client()?;
    admin.ask(&["ACL", "SETUSER", "ada", "on", ">secret", "+@all", "~*", "&*"])?;
    admin.ask(&["ACL", "SETUSER", "root", "on", "+@all", "~*"])?;
    admin.ask(&["ACL", "SETUSER", "off", "off", "+@all"])?;
    admin.ask(&["ACL", "SETUSER", "spiffe://a.example/app", "on", "+@all"])?;
    admin.ask(&["CONFIG", "SET", "tls-auth-clients-user", which])?;
    // Whoever is nobody in particular needs the password of `default`.
    admin.ask(&["CONFIG", "SET", "requirepass", "password of default"])?;
    Ok((server, port, admin))
}

/// What redis-cli hears to `ACL WHOAMI` with this certificate.
fn who(authority: &Authority, port: u16, shown: &[String], more: &[&str]) -> Result<String> {
    let mut command = Command::new("redis-cli");
    command.args(["-h", "localhost", "-p", &port.to_string(), "--tls", "--cacert", &authority.path("ca.pem")]);
    command.args(shown).args(more).args(["ACL", "WHOAMI"]);
    let output = command.output().context("redis-cli is missing (Debian: redis-tools)")?;
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned())
}

#[test]
fn a_common_name_is_the_user() -> Result<()> {
    let ours = authority()?;
    let (server, port, mut admin) = start(&ours, "CN")?;
    let who = |name: &str, more: &[&str]| who(&ours, port, &ours.shown(name), more);
    ensure!(who("ada", &[])? == "ada", "{}", who("ada", &[])?);
    for stranger in ["nobody", "off", "both", "unnamed"] {
        ensure!(who(stranger, &[])?.starts_with("NOAUTH"), "{stranger} got in: {}", who(stranger, &[])?);
    }
    // A password makes it another user all the same, and without a certificate there is only that.
    let by_password = ["--user", "ada", "--pass", "secret", "--no-auth-warning"];
    ensure!(who("nobody", &by_password)? == "ada", "the password does not count");
    let nothing: [String; 0] = [];
    ensure!(crate::users::who(&ours, port, &nothing, &[])?.starts_with("NOAUTH"), "without a certificate");

    ensure!(admin.figure("stats", "acl_access_denied_tls_cert")?.parse::<u32>()? >= 2, "denials are not counted");
    let log = admin.ask(&["ACL", "LOG"])?.to_string();
    ensure!(log.contains("tls-cert") && log.contains("nobody") && log.contains("off"), "{log}");
    let audited = admin.ask(&["AUDIT.TAIL", "1000"])?;
    let has = |user: &str, name: &str, outcome: &str| {
        audited.expect_array().iter().any(|record| {
            let text = record.expect_text();
            text.contains(r#""event":"auth","command":"tls-auth-clients-user""#)
                && text.contains(&format!(r#""user":"{user}""#))
                && text.contains(&format!(r#""names":["{name}"],"outcome":"{outcome}""#))
        })
    };
    ensure!(has("ada", "ada", "ok") && has("default", "nobody", "NOAUTH"), "{audited}");

    // From now on it is nobody's name.
    admin.ask(&["CONFIG", "SET", "tls-auth-clients-user", "off"])?;
    ensure!(who("ada", &[])?.starts_with("NOAUTH"), "a certificate counts that should not");
    drop(server);
    Ok(())
}

#[test]
fn an_alternative_name_is_the_user() -> Result<()> {
    let ours = authority()?;
    let (_server, port, mut admin) = start(&ours, "URI")?;
    let who = |name: &str| who(&ours, port, &ours.shown(name), &[]);
    // The first that is there; and a common name is none.
    ensure!(who("uris")? == "spiffe://a.example/app", "{}", who("uris")?);
    for stranger in ["strange", "ada", "unnamed"] {
        ensure!(who(stranger)?.starts_with("NOAUTH"), "{stranger} got in: {}", who(stranger)?);
    }
    ensure!(admin.figure("stats", "acl_access_denied_tls_cert")? == "1", "those without a URI are counted");
    // Without a password of `default` they are that.
    admin.ask(&["CONFIG", "SET", "requirepass", ""])?;
    ensure!(who("strange")? == "default", "{}", who("strange")?);
    Ok(())
}

#[test]
fn a_user_that_is_removed_loses_its_connections() -> Result<()> {
    let ours = authority()?;
    let (_server, port, mut admin) = start(&ours, "CN")?;
    let ca = ours.path("ca.pem");
    let mut command = Command::new("redis-cli");
    command.args(["-h", "localhost", "-p", &port.to_string(), "--tls", "--cacert", &ca]).args(ours.shown("ada"));
    let mut listening = command.args(["SUBSCRIBE", "news"]).stdout(std::process::Stdio::null()).spawn()?;
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let users = |admin: &mut Client| -> Result<bool> {
        Ok(admin.ask(&["CLIENT", "LIST"])?.expect_text().lines().any(|line| line.contains(" user=ada ")))
    };
    while !users(&mut admin)? {
        ensure!(std::time::Instant::now() < until, "nobody is ada");
    }
    admin.ask(&["ACL", "DELUSER", "ada"])?;
    ensure!(!users(&mut admin)?, "a connection of a user that is gone is there");
    listening.kill()?;
    listening.wait()?;
    ensure!(who(&ours, port, &ours.shown("ada"), &[])?.starts_with("NOAUTH"), "a user that is gone gets in");
    Ok(())
}
