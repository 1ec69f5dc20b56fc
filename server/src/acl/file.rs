//! The file of the setting `aclfile`: a line `user name rule ..` for each user, and `role name rule ..` for each role that is not
//! ready made, those first.
//!
//! Read whole or not at all; replaced whole, so a crash leaves the old one or the new one.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bytes::Bytes;
use veddb_commands::access::Accounts;
use veddb_commands::access::accounts::AccountLimits;

use super::with_line;

/// Reads the file.
///
/// # Errors
/// All that is wrong with it, in Redis's words.
pub(super) fn load(path: &Path, limits: &AccountLimits) -> Result<Accounts, String> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|error| {
        let why = error.to_string();
        let why = why.split(" (os error").next().unwrap_or_default();
        format!("Error loading ACLs, opening file '{shown}': {why}")
    })?;
    let (mut accounts, mut errors) = (Accounts::default(), String::new());
    let mut names: Vec<Bytes> = Vec::new();
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let number = number + 1;
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let words: Vec<Bytes> = line.split(|byte| *byte == b' ').map(Bytes::copy_from_slice).collect();
        let is_role = words.first().is_some_and(|word| &word[..] == b"role");
        let (true, Some(name)) = (is_role || words.first().is_some_and(|word| &word[..] == b"user"), words.get(1))
        else {
            errors.push_str(&format!("{shown}:{number} should start with user keyword followed by the username. "));
            continue;
        };
        if !is_role {
            if names.contains(name) {
                let name = String::from_utf8_lossy(name);
                errors.push_str(&format!("WARNING: Duplicate user '{name}' found on line {number}. "));
                continue;
            }
            names.push(name.clone());
        }
        match with_line(&accounts, &words, limits) {
            Ok(after) => accounts = after,
            Err(error) => errors.push_str(&format!("{shown}:{number}: {error}. ")),
        }
    }
    if errors.is_empty() {
        return Ok(accounts);
    }
    errors.push_str("WARNING: ACL errors detected, no change to the previously active ACL rules was performed");
    Err(errors)
}

/// Users that are as they were stay the same values, so that what hangs on them stays.
pub(super) fn unchanged_kept(loaded: Accounts, before: &Accounts) -> Accounts {
    let roles = |accounts: &Accounts| -> Vec<_> {
        accounts.roles().iter().map(|(name, role)| (name.to_vec(), role.show())).collect()
    };
    if roles(&loaded) != roles(before) {
        return loaded;
    }
    let mut loaded = loaded;
    let same: Vec<_> = loaded
        .users()
        .filter_map(|user| before.get(user.name()).filter(|old| old.show() == user.show()).cloned())
        .collect();
    same.into_iter().for_each(|user| loaded.put_user(user));
    loaded
}

/// Replaces the file.
pub(super) fn save(path: &Path, accounts: &Accounts) -> std::io::Result<()> {
    let mut text = Vec::new();
    for (name, role) in accounts.roles().iter().filter(|(_, role)| !role.is_ready_made()) {
        text.extend([b"role ", name, b" ", &role.show(), b"\n"].concat());
    }
    for user in accounts.users() {
        text.extend([b"user ", &user.name()[..], b" ", &user.show(), b"\n"].concat());
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".tmp-{}", std::process::id()));
    let temporary = Path::new(&temporary);
    let written = (|| {
        // It has hashes of passwords.
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(temporary)?;
        if let Ok(metadata) = std::fs::metadata(path) {
            file.set_permissions(metadata.permissions())?;
        }
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(temporary, path)
    })();
    if written.is_err() {
        // The old file is untouched; a leftover would only confuse.
        let _ = std::fs::remove_file(temporary);
    }
    written?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(parent)?.sync_all()
}
