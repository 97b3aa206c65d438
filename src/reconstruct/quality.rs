//! What is wrong with a result, for the terminal.

use std::io::{self, Write};

use pointstream_actors::{Quality, QualityReason, Verdict};

/// Writes the verdict with its reasons, the photos that are left out or doubtful, and what to do.
/// Writes nothing about a good result of which there is nothing to say.
///
/// # Errors
/// Those of `target`.
pub fn write(target: &mut impl Write, quality: &Quality) -> io::Result<()> {
    if quality.verdict == Verdict::Good && quality.reasons.is_empty() {
        return Ok(());
    }
    let reasons: Vec<_> = quality.reasons.iter().map(|one| one.wire_name()).collect();
    writeln!(
        target,
        "quality: {} ({})",
        quality.verdict,
        reasons.join(", ")
    )?;
    for frame in &quality.frames {
        let name = &frame.name;
        match (frame.used, frame.reason) {
            (false, reason) => {
                let reason = reason.map_or("", QualityReason::wire_name);
                writeln!(target, "warning: {name} is left out: {reason}")?;
            }
            (true, Some(reason @ QualityReason::Duplicates)) => {
                writeln!(
                    target,
                    "warning: {name} is a copy of an earlier photo: {reason}"
                )?;
            }
            (true, Some(reason)) => {
                writeln!(target, "warning: {name} is doubtful: {reason}")?;
            }
            (true, None) => {}
        }
    }
    for advice in &quality.advice {
        writeln!(target, "advice: {advice}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pointstream_reconstruction::quality::FrameQuality;

    use super::*;

    fn frame(name: &str, used: bool, reason: Option<QualityReason>) -> FrameQuality {
        FrameQuality {
            name: name.to_owned(),
            used,
            reason,
            piece: None,
            known_share: None,
            observations: None,
            reprojection_error: None,
            parallax_degrees: None,
        }
    }

    fn written(verdict: Verdict, reasons: &[QualityReason]) -> String {
        let quality = Quality {
            verdict,
            reasons: reasons.to_vec(),
            advice: reasons.iter().map(|one| one.advice().to_owned()).collect(),
            frames: vec![
                frame("a.jpg", true, None),
                frame("b.jpg", false, Some(QualityReason::OddShape)),
                frame("c.jpg", true, Some(QualityReason::Blurred)),
            ],
            pieces: 1,
            known_share: 0.5,
            reprojection_error: None,
            parallax_degrees: None,
            focal_uncertainty: None,
            depth_uncertainty: None,
        };
        let mut text = Vec::new();
        write(&mut text, &quality).expect("memory is writable");
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn a_good_result_needs_no_words() {
        assert_eq!(written(Verdict::Good, &[]), "");
        let said = written(Verdict::Good, &[QualityReason::Duplicates]);
        assert!(said.starts_with("quality: good (duplicates)\n"), "{said}");
    }

    #[test]
    fn photos_and_advice_are_named() {
        let reasons = [QualityReason::Blurred, QualityReason::OddShape];
        let said = written(Verdict::Partial, &reasons);
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(
            lines[..3],
            [
                "quality: partial (blurred, odd_shape)",
                "warning: b.jpg is left out: odd_shape",
                "warning: c.jpg is doubtful: blurred",
            ]
        );
        assert!(lines[3].starts_with("advice: photos are blurred"), "{said}");
        assert_eq!(lines.len(), 5);
    }
}
