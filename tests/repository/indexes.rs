//! A release can be deployed over the last one: CloudFormation changes the tables in place.

use std::{
    collections::{BTreeMap, BTreeSet},
    slice::from_ref,
};

use serde_json::{Value, json};
use tests::template::{self, STACK};

use super::none;

/// The keys and indexes of the tables of the last release, by their names without the stack.
const GOLDEN: &str = "tests/upgrade/goldens/tables.json";

#[expect(clippy::disallowed_methods, reason = "the caller of the test requests an update")]
fn is_updating() -> bool {
    std::env::var("UPDATE_GOLDENS").is_ok_and(|asked| asked == "1")
}

/// The keys and indexes of the tables in the templates.
fn tables() -> BTreeMap<String, Value> {
    let table = |(name, request): (String, Value)| {
        let name = name.trim_start_matches(STACK).trim_start_matches('-').to_owned();
        (
            name,
            json!({ "keys": request["KeySchema"], "indexes": request["GlobalSecondaryIndexes"] }),
        )
    };
    template::template().tables().into_iter().map(table).collect()
}

/// The indexes of a table, by name.
fn indexes(table: &Value) -> BTreeMap<&str, &Value> {
    let all = table["indexes"].as_array().into_iter().flatten();
    all.map(|index| (index["IndexName"].as_str().unwrap_or_default(), index)).collect()
}

/// Why CloudFormation rejects the change of a table, if it does.
fn violation(name: &str, before: &Value, after: &Value) -> Option<String> {
    if before["keys"] != after["keys"] {
        return Some(format!(
            "{name} has other keys than in the last release: CloudFormation would replace the \
             table and lose its items. Leave its keys, and add another table"
        ));
    }
    let (old, new) = (indexes(before), indexes(after));
    let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    let changed: Vec<&str> =
        names.into_iter().filter(|name| old.get(name) != new.get(name)).collect();
    if let Some(index) =
        changed.iter().find(|index| old.contains_key(*index) && new.contains_key(*index))
    {
        return Some(format!(
            "{name} changes the keys or the projection of {index}: CloudFormation cannot change an \
             index. Add an index of another name in this release, and delete {index} in a later one"
        ));
    }
    (changed.len() > 1).then(|| {
        format!(
            "{name} changes {} indexes since the last release ({}): CloudFormation creates or \
             deletes one index of a table per update. Keep one of these changes, release it, and \
             then the next one",
            changed.len(),
            changed.join(", ")
        )
    })
}

#[test]
fn tables_change_at_most_one_index_since_the_goldens() {
    let (path, tables) = (template::root().join(GOLDEN), tables());
    if is_updating() {
        std::fs::write(&path, format!("{:#}\n", json!(tables))).expect(GOLDEN);
    }
    let text = std::fs::read_to_string(&path).expect(GOLDEN);
    let golden: BTreeMap<String, Value> = serde_json::from_str(&text).expect(GOLDEN);
    let changes =
        golden.iter().filter_map(|(name, before)| violation(name, before, tables.get(name)?));
    let mut violations: Vec<String> = changes.collect();
    if !violations.is_empty() {
        violations.push(format!(
            "{GOLDEN} has the tables of the last release. It is written again only when a version \
             is released, and until the first tag when indexes change: UPDATE_GOLDENS=1 cargo test \
             -p tests --test repository goldens"
        ));
    }
    none(violations);
}

#[test]
fn a_second_index_and_a_changed_index_are_rejected() {
    let index = |name: &str, kind: &str| json!({ "IndexName": name, "Projection": { "ProjectionType": kind } });
    let table = |indexes: &[Value]| json!({ "keys": ["pk"], "indexes": indexes });
    let (a, b, c) = (index("a", "ALL"), index("b", "ALL"), index("c", "ALL"));
    let before = table(from_ref(&a));
    let after = |indexes: &[Value]| violation("orders", &before, &table(indexes));
    assert_eq!(after(from_ref(&a)), None);
    assert_eq!(after(&[a.clone(), b.clone()]), None);
    assert_eq!(after(&[]), None);
    for (indexes, part) in [
        (vec![a, b.clone(), c], "changes 2 indexes since the last release (b, c)"),
        (vec![b], "changes 2 indexes since the last release (a, b)"),
        (vec![index("a", "KEYS_ONLY")], "changes the keys or the projection of a"),
    ] {
        assert!(after(&indexes).is_some_and(|text| text.contains(part)), "{indexes:?}");
    }
    let other_key = json!({ "keys": ["id"], "indexes": [] });
    assert!(
        violation("orders", &before, &other_key).is_some_and(|text| text.contains("other keys"))
    );
}

/// `make upgrade` builds the next release from this source and a patch.
#[test]
fn patch_of_the_next_release_applies() {
    let applied = std::process::Command::new("git")
        .args(["apply", "--check", "tests/upgrade/next.patch"])
        .current_dir(template::root())
        .output()
        .expect("git is installed");
    assert!(
        applied.status.success(),
        "tests/upgrade/next.patch does not apply, because the code that it changes has moved. \
         python3 tests/upgrade/tree.py says how to write it again.\n{}",
        String::from_utf8_lossy(&applied.stderr)
    );
}
