//! The output on a terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use super::{Desk, names};
use crate::support::within;

/// Opens both ends of a pseudoterminal: the display side, and the side that programs write to. Both
/// are close-on-exec, so that child processes of other tests do not inherit them.
fn terminal() -> (File, OwnedFd) {
    let shown = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open("/dev/ptmx")
        .expect("there are terminals");
    // SAFETY: system calls on an open file descriptor.
    let written = unsafe {
        assert_eq!(libc::unlockpt(shown.as_raw_fd()), 0);
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        libc::ioctl(shown.as_raw_fd(), libc::TIOCGPTPEER, flags)
    };
    assert!(written >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the descriptor was just opened and has no other owner.
    (shown, unsafe { OwnedFd::from_raw_fd(written) })
}

/// Reads the output until all writers have closed.
fn read(mut shown: File) -> String {
    let mut text = Vec::new();
    let mut part = [0; 4096];
    loop {
        match shown.read(&mut part) {
            Ok(0) => break,
            Ok(bytes) => text.extend_from_slice(&part[..bytes]),
            // Linux returns EIO after the last writer has closed.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => break,
            Err(error) => panic!("the terminal cannot be read: {error}"),
        }
    }
    String::from_utf8(text).expect("text")
}

/// The percentages of the progress bar, one for each time it was drawn.
fn percentages(shown: &str) -> Vec<u32> {
    let parts = shown.split('%').filter_map(|before| {
        let (_, number) = before.rsplit_once(' ')?;
        number.parse().ok()
    });
    parts.collect()
}

#[tokio::test]
async fn a_bar_shows_how_far_it_is() {
    let desk = Desk::new();
    desk.photos("photos", 3);
    let mut command = desk.command("slow", &["photos"]);
    let (shown, written) = terminal();
    command
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stderr(written);
    let process = command.spawn().expect("the program starts");
    // The command holds the writing side of the terminal.
    drop(command);
    let reading = tokio::task::spawn_blocking(move || read(shown));
    let output = within("the program's end", process.wait_with_output()).await;
    let output = output.expect("it ends");
    let shown = within("the terminal's end", reading).await.expect("read");
    assert!(output.status.success(), "{shown}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("scene.glb: "), "{said}");

    let mut place = 0;
    for stage in ["Reading photos", "frame", "Writing the file"] {
        let found = shown[place..].find(stage);
        place += found.unwrap_or_else(|| panic!("{stage:?} is missing in {shown:?}"));
    }
    let stood_at = percentages(&shown);
    assert!(stood_at.is_sorted(), "{stood_at:?}");
    assert_eq!(stood_at.first(), Some(&0), "{shown:?}");
    assert_eq!(stood_at.last(), Some(&100), "{shown:?}");
    let halfway = stood_at.iter().any(|percent| (15..95).contains(percent));
    assert!(halfway, "{stood_at:?}");
    assert!(shown.contains("[####"), "{shown:?}");
    assert!(
        shown.ends_with("\u{1b}[2K"),
        "the bar must be removed: {shown:?}"
    );
    desk.nothing_is_left();
    assert_eq!(names(desk.folder.path()), ["photos", "scene.glb", "tmp"]);
}
