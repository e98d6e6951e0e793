//! Durations as people write them.

use std::time::Duration;

/// A number and its unit; a number alone counts seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let refused = || format!("'{text}' is no duration such as 30s, 5m, 1h or 500ms");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| refused())?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "" | "s" => seconds(1).ok_or_else(refused),
        "m" => seconds(60).ok_or_else(refused),
        "h" => seconds(3600).ok_or_else(refused),
        _ => Err(refused()),
    }
}

/// How long something rests in between: neither never, nor longer than a clock goes.
pub(super) fn pause(text: &str) -> Result<Duration, String> {
    let pause = duration(text)?;
    let limits = Duration::from_millis(100)..=Duration::from_secs(366 * 24 * 3600);
    match limits.contains(&pause) {
        true => Ok(pause),
        false => Err(format!("'{text}' is not from 100ms to 8784h")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_neither_nothing_nor_for_ever() {
        assert_eq!(pause("100ms"), Ok(Duration::from_millis(100)));
        for refused in ["0", "99ms", "8785h", "18446744073709551615s"] {
            assert!(pause(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        let expected = [
            ("0", 0),
            ("30", 30_000),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("500ms", 500),
        ];
        for (text, ms) in expected {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "-1s", "1.5s", "5 m", "5d", "99999999999999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("18446744073709551615h").is_err());
    }
}
