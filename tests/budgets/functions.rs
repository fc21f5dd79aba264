//! The calls, sequential steps and units of the functions that have a budget in
//! `tests/bench/budgets.toml`.

use tests::cost::{Budgets, Scenario};

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
