//! Checks that are written in Python, where the libraries for them are.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::archives::repository;
use super::within;

/// Runs a script below `integration/` on this input and gives what it prints. A script that fails
/// fails the test with what it complains about.
pub async fn run(script: &str, input: impl Into<Vec<u8>>) -> Vec<u8> {
    let mut process = Command::new(repository().join(".venv/bin/python"))
        .arg(repository().join("integration").join(script))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("Python starts");
    let mut stdin = process.stdin.take().expect("stdin is a pipe");
    let input = input.into();
    // A script that does not read on says why on stderr.
    let writing = tokio::spawn(async move { stdin.write_all(&input).await });
    let output = within("the script's end", process.wait_with_output())
        .await
        .expect("Python ends");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}:\n{complaints}");
    writing
        .await
        .expect("no panic")
        .expect("the script reads all");
    output.stdout
}
