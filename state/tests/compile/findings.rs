//! What `resolve` finds is explained to people.

use state::desired::validate::CODES;
use state::documents::codes;

const TROUBLESHOOTING: &str = include_str!("../../../docs/troubleshooting.md");

#[test]
fn every_code_has_an_entry_of_its_own() {
    for code in CODES {
        let heading = format!("\n### {code}\n");
        assert_eq!(TROUBLESHOOTING.matches(&heading).count(), 1, "{code}");
        assert!(!codes::ALL.contains(code), "{code} means something else");
    }
}
