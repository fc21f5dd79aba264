//! The calls, sequential steps and units of the functions that have a budget in
//! `tests/bench/budgets.toml`.

use std::collections::BTreeMap;

use serde_json::Value;
use tests::{
    cost::{Budgets, Scenario},
    template::root,
};

use super::Shop;

#[tokio::test(start_paused = true)]
async fn calls_steps_and_units_of_functions_equal_their_budgets() {
    let budgets = Budgets::read();
    assert!(budgets.functions.len() >= 13, "a function has lost its budget");
    let mut complaints = Vec::new();
    for function in budgets.functions.keys() {
        let scenario = Scenario::prepare(function, Shop::new(), 2).await;
        complaints.extend(budgets.complaints(function, &scenario.costs().await));
    }
    assert!(complaints.is_empty(), "tests/bench/budgets.toml:\n{}", complaints.join("\n"));
}

#[test]
fn both_ways_to_link_have_limits() {
    let budgets = Budgets::read();
    assert_eq!(budgets.limits.keys().collect::<Vec<_>>(), ["dynamic", "static"]);
}

/// The packages of a lock file by name.
fn versions(lock: &str) -> BTreeMap<String, String> {
    let lock: Value = basic_toml::from_str(&source(lock)).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages = lock["package"].as_array().into_iter().flatten();
    packages.map(|package| (text(&package["name"]), text(&package["version"]))).collect()
}

fn source(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn references_are_built_from_the_crates_and_with_the_profile_of_the_functions() {
    let release = |path: &str| -> Value {
        let manifest: Value = basic_toml::from_str(&source(path)).unwrap();
        let mut profile = manifest["profile"]["release"].clone();
        // Exceptions for crates that no reference uses.
        profile.as_object_mut().unwrap().remove("package");
        profile
    };
    assert_eq!(release("tests/bench/references/Cargo.toml"), release("Cargo.toml"));
    let (ours, theirs) = (versions("Cargo.lock"), versions("tests/bench/references/Cargo.lock"));
    for name in ["aws-config", "aws-sdk-dynamodb", "aws-smithy-http-client", "lambda_runtime"] {
        assert_eq!(theirs[name], ours[name], "{name}: run cargo update in tests/bench/references");
    }
}
