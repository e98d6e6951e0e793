//! Every code is explained to people.

use state::documents::codes;

const TROUBLESHOOTING: &str = include_str!("../../../docs/troubleshooting.md");

#[test]
fn every_code_has_an_entry() {
    for code in codes::ALL {
        let heading = format!("\n### {code}\n");
        let entry = TROUBLESHOOTING.split(&heading).nth(1);
        let entry = entry.unwrap_or_else(|| panic!("docs/troubleshooting.md has no entry {code}"));
        let text = entry.split("\n### ").next().unwrap_or_default();
        assert!(text.trim().len() > 40, "the entry {code} says too little");
    }
}

#[test]
fn codes_are_short_and_stand_once() {
    let mut sorted = codes::ALL.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), codes::ALL.len());
    for code in codes::ALL {
        assert!(code.len() <= 20);
        assert!(
            code.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        );
    }
}
