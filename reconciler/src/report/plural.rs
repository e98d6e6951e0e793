//! Numbers and what they count.

/// `1 row`, `2 rows`.
pub fn plural(number: usize, what: &str) -> String {
    count(number, what, &format!("{what}s"))
}

/// The same where the plural is another word.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
