//! The real server is killed at random moments, and loses nothing.

use std::process::Stdio;

use tokio::process::Command;

use crate::support::archives::{archive, repository};
use crate::support::python;
use crate::support::within;

/// As `python -m integration.kills` does by the thousand.
#[tokio::test]
async fn kills_under_load_lose_nothing() {
    let options = ["--kills", "10", "--clients", "2", "--seed", "7"];
    let kills = Command::new(python::interpreter())
        .args(["-m", "integration.kills", "--server"])
        .arg(env!("CARGO_BIN_EXE_pointstream"))
        .arg("--model")
        .arg(archive("flat"))
        .args(options)
        .args(["--", "--device", "cpu"])
        .current_dir(repository())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("Python starts");
    let output = within("the last kill", kills.wait_with_output())
        .await
        .expect("Python ends");
    let (told, complaints) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{told}{complaints}");
    assert!(
        told.contains("10 kills: 0 acknowledged images and 0 answers lost")
            && told.contains("1 final result"),
        "{told}{complaints}"
    );
}
