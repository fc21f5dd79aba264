//! The cost of an operation does not depend on the number of stored orders, products and users. The
//! cost of a sweep's page does not depend on the number of due records.

use std::collections::BTreeSet;

use tests::{
    growth::{self, GROWING, Invocations, SWEEPS, Stored},
    shop::operation_names,
};

use super::*;

/// Numbers of stored orders, and of those of other customers. `make growth` compares a million.
const FEW: usize = 1_000;
const MANY: usize = 100_000;
const OF_OTHERS: usize = 10_000;

/// The operation that makes no calls.
const WITHOUT_CALLS: &str = "get-docs";

/// The operations whose cost must not depend on stored records.
fn compared() -> impl Iterator<Item = String> {
    let is_growing = |name: &String| GROWING.iter().any(|(growing, _)| growing == name);
    operation_names().into_iter().filter(move |name| !is_growing(name))
}

/// Compares the operations that these records are for. Returns a sentence for each difference.
async fn differences(few: &Stored, many: &Stored) -> Vec<String> {
    assert!(many.items() >= 10 * few.items());
    let mut differences = Vec::new();
    for operation in compared().filter(|operation| few.is_for(operation)) {
        let invocations = Invocations::of(&operation).await;
        match (invocations.among(few).await, invocations.among(many).await) {
            (Ok(few), Ok(many)) if few == many => {
                let makes_calls = few.iter().any(|figures| figures.cost.calls > 0.0);
                if makes_calls == (operation == WITHOUT_CALLS) {
                    differences.push(format!("{operation}: {few:?}"));
                }
            }
            (few, many) => differences.push(format!("{operation}: {few:?} became {many:?}")),
        }
    }
    differences
}

#[tokio::test(start_paused = true)]
async fn cost_of_every_operation_is_independent_of_the_stored_records() {
    let (few, many) = (Stored::of_customer(FEW).await, Stored::of_customer(MANY).await);
    let mut complaints = differences(&few, &many).await;
    let (few, many) = (Stored::of_others(FEW).await, Stored::of_others(OF_OTHERS).await);
    complaints.extend(differences(&few, &many).await);
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The comparison would notice a list that is shorter than a page among the fewer records.
#[tokio::test(start_paused = true)]
async fn growing_cost_is_noticed() {
    let (few, many) = (Stored::of_customer(1).await, Stored::of_customer(100).await);
    let invocations = Invocations::of("list-notifications").await;
    assert_ne!(invocations.among(&few).await, invocations.among(&many).await);
}

#[tokio::test(start_paused = true)]
async fn run_of_a_sweep_reads_one_page_of_each_shard_at_a_time() {
    let (few, many) = (Stored::due(FEW).await, Stored::due(MANY).await);
    for sweep in SWEEPS {
        let (few, many) =
            (growth::page_of_sweep(sweep, &few).await, growth::page_of_sweep(sweep, &many).await);
        assert_eq!(few, many, "{sweep}");
        // The lease is acquired and released.
        assert_eq!(many.cost.calls, f64::from(SHARDS) + 2.0, "{sweep}");
    }
}

/// The calls of a run over all due records, without those of the lease and of the index.
async fn calls_of_records(sweep: &str, due: usize) -> usize {
    let shop = growth::overdue(due).await;
    let called = shop.call(sweep, json!({})).await;
    let report = called.ok();
    assert_eq!((&report["failed"], &report["remaining"]), (&json!(0), &json!(0)), "{sweep}");
    let is_index = |(_, resource): &(String, String)| resource.contains("/index/");
    let of_index = called.calls.iter().filter(|call| call.actions.iter().any(is_index)).count();
    called.calls.len() - of_index - 2
}

#[tokio::test(start_paused = true)]
async fn cost_of_a_due_record_is_independent_of_the_others() {
    for sweep in SWEEPS {
        // The provider knows the charge of the first payment only, not those of its copies.
        let first = calls_of_records(sweep, 1).await;
        let another = calls_of_records(sweep, 2).await - first;
        assert!(another > 0, "{sweep} has processed no record");
        assert_eq!(calls_of_records(sweep, 101).await, first + 100 * another, "{sweep}");
    }
}

#[test]
fn growing_operations_exist_and_have_a_reason() {
    let names: BTreeSet<String> = operation_names().into_iter().collect();
    for (operation, reason) in GROWING {
        assert!(names.contains(operation), "{operation} is not an operation");
        assert!(!reason.is_empty());
    }
}
