//! `pointstream token`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::tokens::Tokens;

#[tokio::test]
async fn a_token_is_printed_once_and_the_file_has_only_its_digest() {
    let tokens = Tokens::new();
    let limits = ["--max-sessions", "3", "--max-points", "1000"];
    let add = ["add", "camera", "--expires", "90d"];
    let added = tokens.run(&[&add[..], &limits].concat()).await;
    assert!(added.stderr.contains("camera"), "{}", added.stderr);
    let printed = added.done();
    let token = printed.strip_suffix('\n').expect("one line");
    assert!(token.starts_with("pst_") && token.len() == 47, "{token}");
    let text = fs::read_to_string(tokens.file()).expect("the file");
    assert!(!text.contains(&token[4..]), "{text}");
    let mode = fs::metadata(tokens.file()).expect("there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let listed = tokens.run(&["list"]).await.done();
    for word in [
        "camera",
        "create,use",
        "expires 2",
        "at most 3 sessions",
        "at most 1000 points",
    ] {
        assert!(listed.contains(word), "{word} is missing in {listed}");
    }
    assert!(!listed.contains(&token[4..]), "{listed}");
    tokens.revoke("camera").await;
    assert_eq!(tokens.run(&["list"]).await.done(), "");
}

#[tokio::test]
async fn wrong_commands_are_refused_with_what_would_work() {
    let tokens = Tokens::new();
    tokens.add("camera", "use").await;
    let before = fs::read(tokens.file()).expect("the file");
    tokens
        .run(&["add", "camera"])
        .await
        .refused(&["camera", "twice"]);
    tokens
        .run(&["revoke", "kamera"])
        .await
        .refused(&["no token", "kamera"]);
    for arguments in [
        &["add", "two words"][..],
        &["add", "b", "--scopes", "all"],
        &["add", "b", "--expires", "2000-01-01T00:00:00Z"],
        &["add", "b", "--max-sessions", "0"],
    ] {
        let ended = tokens.run(arguments).await;
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stdout.is_empty());
    }
    assert_eq!(fs::read(tokens.file()).expect("the file"), before);
    fs::write(tokens.file(), "broken").expect("writable");
    tokens
        .run(&["add", "b"])
        .await
        .refused(&["not a file of tokens"]);
    assert_eq!(fs::read(tokens.file()).expect("the file"), b"broken");
}

#[tokio::test]
async fn commands_at_the_same_time_lose_nothing() {
    let tokens = Tokens::new();
    let names: Vec<_> = (0..8).map(|number| format!("user-{number}")).collect();
    let added = names.iter().map(|name| tokens.add(name, "use"));
    futures_util::future::join_all(added).await;
    let listed = tokens.run(&["list"]).await.done();
    for name in &names {
        assert!(listed.contains(name), "{name} is missing in {listed}");
    }
}
