//! What type a plain scalar has.
//!
//! YAML 1.1 (which kubectl follows), YAML 1.2 and serde_yaml differ on many forms: `yes`, `0777`,
//! `0o17`, `1_000`, `12:30`, `2024-01-01`. A form on which they differ is [`Kind::Ambiguous`], and
//! no field takes it: it wants quotes. A form on which they agree has the type they agree on.

use std::fmt;

use super::node::Scalar;

/// The type of a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A decimal integer that fits 64 bits.
    Integer,
    /// Another number: a fraction, an exponent, hexadecimal, not finite.
    Number,
    /// An integer that does not fit 64 bits.
    TooLarge,
    /// Readers differ: text for one, this for another.
    Ambiguous(Otherwise),
    /// Text.
    Text,
}

/// What some readers take a text for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// `yes`, `on`, `n`: a boolean in YAML 1.1.
    Boolean,
    /// `0777`, `0o17`, `1_000`, `12:30`: a number, or another one.
    Number,
    /// `2024-01-31`: a point in time in YAML 1.1.
    Date,
    /// `=` or `<<`: a default value or a merge in YAML 1.1.
    Sign,
}

impl fmt::Display for Otherwise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::Date => "a date",
            Self::Sign => "a sign with a meaning",
        })
    }
}

impl Scalar<'_> {
    /// The type that its form gives it.
    pub fn kind(&self) -> Kind {
        if self.plain {
            plain_kind(&self.text)
        } else {
            Kind::Text
        }
    }
}

/// The type of a plain scalar.
fn plain_kind(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "n" | "N" | "no" | "No" | "NO"
        | "off" | "Off" | "OFF" => Kind::Ambiguous(Otherwise::Boolean),
        "=" | "<<" => Kind::Ambiguous(Otherwise::Sign),
        _ => match text.as_bytes() {
            [b'0'..=b'9' | b'+' | b'-' | b'.', ..] => number_kind(text),
            _ => Kind::Text,
        },
    }
}

/// The type of text that begins as a number does.
fn number_kind(text: &str) -> Kind {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || is_nan(text) {
        return Kind::Number;
    }
    if is_decimal(unsigned) {
        return decimal_kind(text, unsigned);
    }
    if let Some(kind) = based_kind(text, unsigned) {
        return kind;
    }
    if is_float(unsigned) {
        return match unsigned.parse::<f64>() {
            Ok(number) if number.is_finite() => Kind::Number,
            _ => Kind::Ambiguous(Otherwise::Number),
        };
    }
    if unsigned.contains('_') && is_number_with_underscores(unsigned) {
        return Kind::Ambiguous(Otherwise::Number);
    }
    if is_base_60(unsigned) {
        return Kind::Ambiguous(Otherwise::Number);
    }
    if is_date(text) {
        return Kind::Ambiguous(Otherwise::Date);
    }
    Kind::Text
}

fn is_nan(text: &str) -> bool {
    matches!(text, ".nan" | ".NaN" | ".NAN")
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_decimal(unsigned: &str) -> bool {
    all_digits(unsigned)
}

/// `0` begins an octal number in YAML 1.1, and a decimal one in 1.2, and text in serde_yaml.
fn decimal_kind(text: &str, unsigned: &str) -> Kind {
    if unsigned.len() > 1 && unsigned.starts_with('0') {
        return Kind::Ambiguous(Otherwise::Number);
    }
    if text.parse::<u64>().is_ok() || text.parse::<i64>().is_ok() {
        Kind::Integer
    } else {
        Kind::TooLarge
    }
}

/// Hexadecimal, octal and binary numbers; `None` for anything else.
fn based_kind(text: &str, unsigned: &str) -> Option<Kind> {
    let (prefix, digits) = unsigned.split_at_checked(2)?;
    let base = match prefix {
        "0x" => 16,
        "0o" => 8,
        "0b" => 2,
        _ => return None,
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return None;
    }
    if i64::from_str_radix(digits, base).is_err() {
        return Some(Kind::TooLarge);
    }
    if base == 16 && text.len() == unsigned.len() {
        Some(Kind::Number)
    } else {
        Some(Kind::Ambiguous(Otherwise::Number))
    }
}

/// Digits with one dot or an exponent or both.
fn is_float(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = match mantissa.split_once('.') {
        Some((whole, part)) => {
            (whole.is_empty() || all_digits(whole))
                && (part.is_empty() || all_digits(part))
                && mantissa.len() > 1
        }
        None => all_digits(mantissa),
    };
    digits
        && exponent.is_none_or(|exponent| {
            all_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))
        })
}

/// What YAML 1.1 reads as a number with `_` between its digits.
fn is_number_with_underscores(unsigned: &str) -> bool {
    let without: String = unsigned.chars().filter(|c| *c != '_').collect();
    let based = |prefix, base| {
        without
            .strip_prefix(prefix)
            .is_some_and(|digits: &str| digits.chars().all(|c| c.is_digit(base)))
    };
    is_float(&without)
        || is_base_60(&without)
        || based("0x", 16)
        || based("0o", 8)
        || based("0b", 2)
}

/// `12:30:45` or `12:30:45.5`.
fn is_base_60(unsigned: &str) -> bool {
    let (whole, part) = match unsigned.split_once('.') {
        Some((whole, part)) => (whole, part),
        None => (unsigned, ""),
    };
    let mut places = whole.split(':');
    let first = places.next().is_some_and(all_digits);
    let mut more = 0;
    let rest = places.all(|place| {
        more += 1;
        match place.as_bytes() {
            [a] => a.is_ascii_digit(),
            [b'0'..=b'5', b] => b.is_ascii_digit(),
            _ => false,
        }
    });
    first && rest && more > 0 && part.bytes().all(|b| b.is_ascii_digit())
}

/// `2024-01-31`, alone or with a time after `T`, `t` or a space.
fn is_date(text: &str) -> bool {
    let date = text.split(['T', 't', ' ', '\t']).next().unwrap_or(text);
    let mut parts = date.split('-');
    let mut part = |lengths: &[usize]| {
        parts
            .next()
            .is_some_and(|part| lengths.contains(&part.len()) && all_digits(part))
    };
    part(&[4]) && part(&[1, 2]) && part(&[1, 2]) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forms between bars, and what all of them are.
    const FORMS: &[(&str, &str)] = &[
        ("Null", "|~|null|NULL|Null"),
        ("Bool(true)", "true|True|TRUE"),
        ("Bool(false)", "false|False|FALSE"),
        (
            "Integer",
            "0|-0|+1|80|-9223372036854775808|18446744073709551615",
        ),
        ("Number", "1.5|.5|1.|1e3|-1.5E-3|0x1F|.inf|-.INF|.nan|01.5"),
        (
            "TooLarge",
            "18446744073709551616|-9223372036854775809|0xffffffffffffffffff",
        ),
        ("Ambiguous(Boolean)", "yes|No|ON|off|y|N"),
        (
            "Ambiguous(Number)",
            "0777|00|0o17|0b1|-0x1|1_000|0x_1f|1_0.5|1e400",
        ),
        ("Ambiguous(Number)", "12:30|1:2:3:4:5:6:7:8|190:20:30.15"),
        (
            "Ambiguous(Date)",
            "2024-01-01|2024-1-1|2024-01-01T10:00:00Z|2001-12-14 21:59:43",
        ),
        ("Ambiguous(Sign)", "=|<<"),
        (
            "Text",
            "a|nUll|1.2.3|10.44.0.10|fd44::10|0x|0xg|1:60|-|+|.|..|::1|+-5|0x-1",
        ),
        (
            "Text",
            "1__a|2024-01|24-01-01|10.0.0.0/8|1e|e3|-.nan|a b|-a|.a",
        ),
    ];

    #[test]
    fn forms_and_their_types() {
        for (kind, forms) in FORMS {
            for form in forms.split('|') {
                assert_eq!(format!("{:?}", plain_kind(form)), *kind, "{form:?}");
            }
        }
    }
}
