//! Users from a file, and from the configuration.

use std::fs;

use anyhow::Result;
use veddb_tests::Options;
use veddb_tests::server::run_to_end;

#[test]
fn a_file_of_users_is_read_and_written_whole() -> Result<()> {
    let home = std::sync::Arc::new(tempfile::tempdir()?);
    let path = home.path().join("users.acl");
    fs::write(
        &path,
        "role clerk +get ~orders*\n\nuser ada on nopass +role:clerk\nuser default on nopass ~* &* +@all\n",
    )?;
    let mut server = Options::new().home(&home).set("aclfile", &path).start()?;
    let mut client = server.client()?;
    assert_eq!(client.ask(&["ACL", "USERS"])?.expect_array().len(), 2);
    assert_eq!(client.ask(&["ACL", "DRYRUN", "ada", "GET", "orders:1"])?.expect_text(), "OK");
    client.ask(&["ACL", "SETUSER", "bob", "on", ">secret", "~*", "+@all", "(+set ~x)"])?;
    client.ask(&["ACL", "SAVE"])?;
    let lists = [client.ask(&["ACL", "LIST"])?, client.ask(&["ACL", "ROLES"])?];
    client.ask(&["ACL", "SETUSER", "cy", "on"])?;
    client.ask(&["ACL", "DELUSER", "bob"])?;
    client.ask(&["ACL", "LOAD"])?;
    assert_eq!([client.ask(&["ACL", "LIST"])?, client.ask(&["ACL", "ROLES"])?], lists);
    // What is wrong changes nothing; all of it is said.
    let good = fs::read_to_string(&path)?;
    fs::write(&path, format!("{good}user eve +nope\nfoo bar\nuser ada on\n"))?;
    let refused = client.run(&["ACL", "LOAD"])?.to_string();
    for part in
        ["Unknown command or category name", "should start with user keyword", "Duplicate user 'ada'", "no change"]
    {
        assert!(refused.contains(part), "{refused}");
    }
    assert_eq!([client.ask(&["ACL", "LIST"])?, client.ask(&["ACL", "ROLES"])?], lists);
    fs::write(&path, &good)?;
    server.kill()?;
    server.restart()?;
    let mut client = server.client()?;
    assert_eq!([client.ask(&["ACL", "LIST"])?, client.ask(&["ACL", "ROLES"])?], lists);
    let mut bob = server.client()?;
    bob.ask(&["AUTH", "bob", "secret"])?;
    // Connections of users that the file has no more are closed.
    fs::write(&path, "user default on nopass ~* &* +@all\n")?;
    client.ask(&["ACL", "LOAD"])?;
    assert!(bob.read_to_end()?.is_empty());
    Ok(())
}

#[test]
fn the_configuration_says_who_users_are() -> Result<()> {
    let home = std::sync::Arc::new(tempfile::tempdir()?);
    let path = home.path().join("veddb.conf");
    let sha = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    fs::write(&path, format!("# users\nuser ada on #{sha} ~a* +get\nuser default on nopass ~* &* +@all\n"))?;
    let mut options = Options::new().home(&home);
    options = options.file(&path);
    let mut server = options.start()?;
    let mut client = server.client()?;
    let mut ada = server.client()?;
    ada.ask(&["AUTH", "ada", "secret"])?;
    client.ask(&["ACL", "SETUSER", "ada", "+set"])?;
    client.ask(&["ACL", "SETUSER", "bob", "on"])?;
    client.ask(&["CONFIG", "REWRITE"])?;
    let text = fs::read_to_string(&path)?;
    assert!(text.contains("# users\nuser ada on sanitize-payload") && text.contains("+get +set\n"), "{text}");
    assert!(!text.contains("user bob"), "who is not in the file is kept in the store: {text}");
    let list = client.ask(&["ACL", "LIST"])?;
    server.kill()?;
    server.restart()?;
    assert_eq!(server.client()?.ask(&["ACL", "LIST"])?, list);
    Ok(())
}

#[test]
fn a_start_with_rules_that_cannot_be_is_refused() -> Result<()> {
    let home = tempfile::tempdir()?;
    let (config, users) = (home.path().join("veddb.conf"), home.path().join("users.acl"));
    let dir = home.path().join("data");
    fs::write(&users, "user default on nopass ~* +@all\n")?;
    for (text, why) in [
        ("user ada +nope", "Unknown command or category name"),
        ("user", "a user or a role needs a name"),
        ("user ada on\nuser ada off", "Duplicate user found"),
        (&format!("user ada on\naclfile {}", users.display()), "one of them is enough"),
        ("aclfile /nonexistent/users", "opening file '/nonexistent/users'"),
    ] {
        fs::write(&config, format!("{text}\nport 0\ndir {}\n", dir.display()))?;
        let (status, said) = run_to_end(&[&config.display().to_string()], std::path::Path::new("/dev/null"))?;
        assert!(!status.success() && said.contains(why), "{text}: {said}");
    }
    Ok(())
}
