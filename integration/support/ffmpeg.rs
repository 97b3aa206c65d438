//! Videos, encoded by ffmpeg from the sample scene's photos.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::scene::Scene;

/// Encoder options that every ffmpeg build supports.
pub const MPEG4: [&str; 4] = ["-c:v", "mpeg4", "-q:v", "2"];

/// Whether ffmpeg is installed. Without it the tests print that they are skipped; if CI is set,
/// they fail.
pub fn has_ffmpeg() -> bool {
    let version = Command::new("ffmpeg")
        .arg("-version")
        .stdout(Stdio::null())
        .status();
    let found = version.is_ok_and(|status| status.success());
    if !found {
        let advice = "ffmpeg is not installed (Debian: apt install ffmpeg)";
        let skip = std::env::var_os("CI").is_none_or(|value| value.is_empty());
        assert!(skip, "{advice}, and the tests of videos need it");
        // Write to stderr directly: the test harness captures printed output of passing tests.
        let _ = writeln!(io::stderr(), "SKIPPED: a test of videos; {advice}");
    }
    found
}

/// Runs ffmpeg to write a file; returns its stdout.
pub fn ffmpeg(arguments: &[&str], file: &Path) -> Vec<u8> {
    let folder = Scene::load().path(0);
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin"])
        .args(arguments)
        .arg(file)
        .current_dir(folder.parent().expect("a folder"))
        .output()
        .expect("ffmpeg starts");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    output.stdout
}

/// Encodes a video of the sample scene's photos, four per second.
pub fn encode(options: &[&str], file: &Path) -> Vec<u8> {
    let input = ["-framerate", "4", "-i", "%03d.jpg", "-vf", "scale=252:-2"];
    ffmpeg(&[&input[..], options].concat(), file)
}

/// Encodes a video of 48 frames, six of each of the sample scene's photos. The first of each three frames is
/// blurred.
pub fn blurred(file: &Path) {
    let filters = "scale=504:-2,fps=24,gblur=sigma=8:enable='not(mod(n,3))'";
    let input = ["-framerate", "4", "-i", "%03d.jpg", "-vf", filters];
    ffmpeg(&[&input[..], &["-c:v", "ffv1"]].concat(), file);
}
