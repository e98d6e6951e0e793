//! Trees that are read one after the other, by somebody who remembers: each gives what it gives to
//! who reads it first.

use proptest::prelude::*;
use state::documents::memory::Memory;
use state::documents::tree::Tree;
use state::documents::{parse, parse_again};

/// What a file may hold: documents of all kinds, right and wrong, that get in each other's way.
const CONTENTS: &[&str] = &[
    "",
    "# nothing\n",
    "kind: [\n",
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: x}}\n",
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\napiVersion: v1\nkind: Secret\n",
    "apiVersion: v1\nkind: Secret\nmetadata: {name: shop}\n",
    "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\n",
    "apiVersion: plumbline.dev/v1alpha1\nkind: Container\n\
     metadata: {name: web, namespace: shop}\nspec: {addresses: [10.0.0.1]}\n",
    "apiVersion: plumbline.dev/v1alpha1\nkind: Container\n\
     metadata: {name: db, namespace: shop}\nspec: {addresses: [10.0.0.1]}\n",
    "apiVersion: plumbline.dev/v1alpha1\nkind: Container\n\
     metadata: {name: db, namespace: shop}\nspec: {addresses: [10.0.0.300]}\n",
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
     metadata: {name: deny, namespace: shop, uid: x}\nspec: {podSelector: {}}\n",
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
     metadata: {name: deny, namespace: shop}\nspec: {podSelectors: {}}\n",
    "apiVersion: v1\nkind: List\nitems:\n\
     - apiVersion: v1\n  kind: Namespace\n  metadata: {name: a}\n\
     - apiVersion: v1\n  kind: ConfigMap\n",
];
const CONFIGS: &[&str] = &[
    "apiVersion: plumbline.dev/v1alpha1\nkind: Config\n",
    "apiVersion: plumbline.dev/v1alpha1\nkind: Config\nignoreKinds: [Secret]\n",
    "apiVersion: plumbline.dev/v1alpha1\nkind: Config\nignoreKinds: [Secret, ConfigMap]\n",
    "apiVersion: plumbline.dev/v1alpha1\nkind: Config\nignore: ['b*']\n",
    "apiVersion: plumbline.dev/v1alpha1\nkind: Config\nignoreKinds: [\n",
];
const FILES: &[&str] = &["a.yaml", "b.yaml", "c/a.yaml", "c/b.yaml", Tree::CONFIG];

/// One edit: a file is given another content, or taken away.
fn edit() -> impl Strategy<Value = (usize, Option<usize>)> {
    (0..FILES.len(), prop::option::weighted(0.8, 0_usize..1000))
}

proptest! {
    #[test]
    fn what_is_remembered_changes_no_answer(edits in prop::collection::vec(edit(), 1..40)) {
        let (mut memory, mut tree) = (Memory::default(), Tree::default());
        for (file, content) in edits {
            let file = FILES[file];
            let of = if file == Tree::CONFIG { CONFIGS } else { CONTENTS };
            match content {
                Some(content) => {
                    let text = of[content % of.len()];
                    tree.files.insert(file.into(), text.as_bytes().into());
                }
                None => drop(tree.files.remove(file)),
            }
            let (mut first, mut again) = (tree.clone(), tree.clone());
            let expected = parse(&mut first);
            let found = parse_again(&mut again, &mut memory);
            prop_assert_eq!(found, expected);
            prop_assert_eq!(again, first);
        }
    }
}
