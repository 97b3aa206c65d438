//! Runs checks in Python, where the required libraries are available.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::paths::repository;
use super::within;

/// Python with the packages of the tests. Fails the test if they were never installed.
pub fn interpreter() -> PathBuf {
    let venv = repository().join(".venv");
    assert!(
        venv.join("installed/test.txt").is_file(),
        "this test needs the Python packages of requirements/test.txt; run `make test` once, or \
         `scripts/setup.sh --with-python-tools`"
    );
    venv.join("bin/python")
}

/// Runs a script below `integration/` with this input on stdin; returns its stdout. If the script
/// fails, the test fails with the script's message.
pub async fn run(script: &str, input: impl Into<Vec<u8>>) -> Vec<u8> {
    let mut process = Command::new(interpreter())
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
