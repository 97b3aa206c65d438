//! Parsers for the values of options.

use std::time::Duration;

/// A count of at least 1.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(count) => Ok(count),
        Err(error) => Err(format!("{error}")),
    }
}

/// A number above 0 and at most a million.
pub fn above_zero(text: &str) -> Result<f64, String> {
    const MOST: f64 = 1e6;
    match text.trim().parse::<f64>() {
        Ok(number) if number > 0.0 && number <= MOST => Ok(number),
        _ => Err(format!("it must be a number above 0 and at most {MOST}")),
    }
}

/// A duration in seconds with fractions, above 0 and at most a year.
pub fn seconds(text: &str) -> Result<Duration, String> {
    const YEAR: f64 = 366.0 * 86400.0;
    match text.trim().parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= YEAR => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("it must be seconds between 0 and {YEAR}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_with_fractions() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "NaN", "inf", "1e300", "soon"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_are_above_zero() {
        assert_eq!(above_zero("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "NaN", "inf", "2e6", "many"] {
            assert!(above_zero(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn zero_is_not_at_least_one() {
        assert_eq!(at_least_one("1"), Ok(1));
        for wrong in ["0", "-1", "1.5", "many"] {
            assert!(at_least_one(wrong).is_err(), "{wrong}");
        }
    }
}
