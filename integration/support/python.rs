//! Runs checks in Python, where the required libraries are available.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::archives::repository;
use super::within;

/// Runs a script below `integration/` with this input on stdin; returns its stdout. If the script
/// fails, the test fails with the script's message.
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
    // Ignore write errors: a script that stops reading reports the reason on stderr.
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
