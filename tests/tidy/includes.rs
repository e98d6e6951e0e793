//! Who may include whom, in the datapath: headers are layers, and a block stands on all of them.

use crate::tree::{Finding, Tree};

/// The datapath's folder, from which `#include` paths are read as well as from the file's own.
const DATAPATH: &str = "bpf/datapath/";

/// A header or folder of the datapath, and what it may include besides headers of its own folder.
/// Headers in angle brackets are the kernel's or libbpf's, and free.
const LAYERS: &[(&str, &[&str])] = &[
    ("plumbline.h", &[]),
    ("types.h", &["plumbline.h"]),
    ("constants.h", &["plumbline.h"]),
    ("maps.h", &["plumbline.h", "types.h"]),
    ("packet/", &["plumbline.h"]),
    (
        "lookup/",
        &["plumbline.h", "constants.h", "maps.h", "packet/"],
    ),
    (
        "action/",
        &["plumbline.h", "constants.h", "maps.h", "packet/", "lookup/"],
    ),
    (
        "blocks/",
        &[
            "plumbline.h",
            "constants.h",
            "maps.h",
            "packet/",
            "lookup/",
            "action/",
        ],
    ),
];

/// Every include that leads up or sideways, and every header outside the layers.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(&[".h", ".c"]) {
        let Some(inside) = path.strip_prefix(DATAPATH) else {
            continue;
        };
        let Some((layer, may_include)) = layer_of(inside) else {
            let says = "is in no layer of the datapath (the table is in tests/tidy/includes.rs)";
            findings.push(Finding::new(path, 1, says));
            continue;
        };
        for (line, header) in includes(text) {
            let Some(header) = resolve(tree, path, header) else {
                continue;
            };
            let target = layer_of(header.strip_prefix(DATAPATH).unwrap_or(&header));
            let sibling = target.is_some_and(|(to, _)| to == layer && layer != "blocks/");
            if !sibling && !target.is_some_and(|(to, _)| may_include.contains(&to)) {
                let says = format!(
                    "{layer} may not include {header} (the table is in tests/tidy/includes.rs)"
                );
                findings.push(Finding::new(path, line, says));
            }
        }
    }
    findings
}

fn layer_of(inside: &str) -> Option<(&'static str, &'static [&'static str])> {
    let is_in =
        |layer: &str| inside == layer || (layer.ends_with('/') && inside.starts_with(layer));
    LAYERS.iter().find(|(layer, _)| is_in(layer)).copied()
}

/// The headers of ours that a text includes, with their lines.
pub(crate) fn includes(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let rest = line.trim_start().strip_prefix('#')?.trim_start();
        let header = rest.strip_prefix("include")?.trim().strip_prefix('"')?;
        Some((index + 1, header.split('"').next()?))
    })
}

/// The file that an include means: seen from the including file, else from the datapath's folder.
pub(crate) fn resolve(tree: &Tree, from: &str, header: &str) -> Option<String> {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    [format!("{folder}/{header}"), format!("{DATAPATH}{header}")]
        .iter()
        .map(|path| without_dots(path))
        .find(|path| tree.text(path).is_some())
}

fn without_dots(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::places;

    const HEADERS: &[(&str, &str)] = &[
        ("bpf/datapath/plumbline.h", "#include <linux/types.h>\n"),
        ("bpf/datapath/maps.h", "#include \"plumbline.h\"\n"),
        (
            "bpf/datapath/packet/csum.h",
            "#include \"../plumbline.h\"\n",
        ),
        (
            "bpf/datapath/packet/parse.h",
            "#include \"csum.h\"\n#include \"packet/csum.h\"\n",
        ),
        (
            "bpf/datapath/blocks/a.bpf.c",
            "#include \"../packet/parse.h\"\n# include \"maps.h\"\n",
        ),
    ];

    fn found(path: &str, text: &str) -> Vec<String> {
        places(&check(&Tree::of(&[HEADERS, &[(path, text)]].concat())))
    }

    #[test]
    fn layers_stand_on_each_other() {
        assert_eq!(check(&Tree::of(HEADERS)), []);
        let text = "#include \"packet/parse.h\"\n#include \"maps.h\"\n";
        assert_eq!(found("bpf/datapath/action/next.h", text), [""; 0]);
    }

    #[test]
    fn what_leads_up_or_sideways_is_found() {
        for (path, text) in [
            ("bpf/datapath/plumbline.h", "\n#include \"maps.h\"\n"),
            ("bpf/datapath/packet/csum.h", "\n#include \"../maps.h\"\n"),
            (
                "bpf/datapath/packet/csum.h",
                "\n#\tinclude \"blocks/a.bpf.c\"\n",
            ),
            ("bpf/datapath/blocks/b.bpf.c", "\n#include \"a.bpf.c\"\n"),
        ] {
            assert_eq!(found(path, text), [format!("{path}:2")], "{text}");
        }
        assert_eq!(
            found("bpf/datapath/other/x.h", ""),
            ["bpf/datapath/other/x.h:1"]
        );
    }
}
