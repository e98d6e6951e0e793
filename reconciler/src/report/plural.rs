//! Numbers and what they count.

/// `1 row`, `2 rows`.
pub fn plural(number: usize, what: &str) -> String {
    count(number, what, &format!("{what}s"))
}

/// The same where the plural is another word.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// `41,202`.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn thousands_are_set_apart() {
        let shown = [0, 999, 1_000, 41_202, 1_000_000].map(thousands);
        assert_eq!(shown, ["0", "999", "1,000", "41,202", "1,000,000"]);
    }
}
