//! "Did you mean …?"

/// The candidate that was most likely meant: the same but for upper and lower case, or a few
/// characters away.
pub(super) fn suggest<'c>(text: &str, candidates: &[&'c str]) -> Option<&'c str> {
    const LONGEST: usize = 64;
    if text.len() > LONGEST {
        return None;
    }
    let wanted = text.to_ascii_lowercase();
    candidates
        .iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&wanted, &candidate.to_ascii_lowercase());
            (distance, *candidate)
        })
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The same as a hint.
pub(super) fn did_you_mean(text: &str, candidates: &[&str]) -> Option<String> {
    suggest(text, candidates).map(|meant| format!("did you mean {meant}?"))
}

/// A hint that names the field that was meant, or all there are.
pub(super) fn fields_hint(text: &str, fields: &[&str]) -> String {
    did_you_mean(text, fields).unwrap_or_else(|| format!("its fields are {}", fields.join(", ")))
}

/// A hint that names the one that was meant, or all there are.
pub(super) fn one_of(text: &str, candidates: &[&str]) -> String {
    did_you_mean(text, candidates).unwrap_or_else(|| match candidates {
        [one] => format!("it can be {one}"),
        [others @ .., last] => format!("it can be {} or {last}", others.join(", ")),
        [] => String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_words_are_found() {
        let fields = ["podSelector", "namespaceSelector", "ipBlock", "to"];
        for (text, meant) in [
            ("podSelectr", Some("podSelector")),
            ("PodSelector", Some("podSelector")),
            ("podselector", Some("podSelector")),
            ("namespaceSelectors", Some("namespaceSelector")),
            ("ipblok", Some("ipBlock")),
            ("ot", Some("to")),
            ("labels", None),
            ("", None),
        ] {
            assert_eq!(suggest(text, &fields), meant, "{text}");
        }
        assert_eq!(suggest(&"a".repeat(1_000_000), &fields), None);
    }

    #[test]
    fn without_a_close_word_all_are_named() {
        assert_eq!(
            one_of("x", &["In", "NotIn", "Exists"]),
            "it can be In, NotIn or Exists"
        );
        assert_eq!(one_of("in", &["In", "NotIn"]), "did you mean In?");
    }
}
