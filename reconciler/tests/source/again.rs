//! A repository that is read commit after commit by somebody who remembers: each commit gives what
//! it gives to who reads it first.

use std::path::PathBuf;

use proptest::prelude::*;
use reconciler::host::mounts::Mounts;
use reconciler::live::Dirs;
use reconciler::pipeline::{Memory, Request, understand};
use reconciler::source::SourceRequest;
use state::words::names::HostName;

use super::repo::Repo;

/// What a file may hold: documents, right and wrong, that get in each other's way.
const CONTENTS: [&str; 6] = [
    "# nothing\n",
    "kind: [\n",
    "apiVersion: plumbline.dev/v1alpha1\nkind: Container\n\
     metadata: {name: web, namespace: shop, labels: {app: web}}\n\
     spec: {host: alpha, addresses: [10.0.0.1]}\n",
    "apiVersion: plumbline.dev/v1alpha1\nkind: Container\n\
     metadata: {name: db, namespace: shop}\nspec: {host: beta, addresses: [10.0.0.1]}\n",
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
     metadata: {name: deny, namespace: shop}\nspec: {podSelector: {matchLabels: {app: web}}}\n",
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: x}}\n",
];
const FILES: [&str; 5] = [
    "a.yaml",
    "b.yaml",
    "deep/a.yaml",
    "deep/er/b.yaml",
    "c.yaml",
];

fn request(repo: &Repo, memory: Memory) -> Request {
    Request {
        source: SourceRequest {
            directory: repo.path(),
            rev: None,
            worktree: false,
        },
        host: HostName::new("alpha").unwrap(),
        dirs: Dirs {
            pin: PathBuf::new(),
            run: PathBuf::new(),
            state: PathBuf::new(),
            mounts: Mounts::default(),
        },
        memory,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn what_is_known_of_objects_changes_no_answer(
        edits in prop::collection::vec((0..FILES.len(), 0..CONTENTS.len() + 2), 1..16)
    ) {
        let repo = Repo::committed(&[(
            "plumbline.yaml",
            "apiVersion: plumbline.dev/v1alpha1\nkind: Config\n",
        )]);
        let remembers = request(&repo, Memory::default());
        for (file, content) in edits {
            match CONTENTS.get(content) {
                Some(content) => repo.write(FILES[file], content),
                None => drop(std::fs::remove_file(repo.path().join(FILES[file]))),
            }
            repo.git(&["add", "-A"]);
            repo.git(&["commit", "-q", "--allow-empty", "-m", "an edit"]);
            let first = understand(&request(&repo, Memory::default())).unwrap();
            let again = understand(&remembers).unwrap();
            prop_assert_eq!(&again.source, &first.source);
            prop_assert_eq!(&again.documents, &first.documents);
            prop_assert_eq!(&again.problems, &first.problems);
            prop_assert_eq!(format!("{:?}", again.desired), format!("{:?}", first.desired));
        }
    }
}
