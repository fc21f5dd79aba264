//! Posting: entries are added to the balances of products once, a day after they were recorded.

use std::time::Duration;

use super::{fixture::*, *};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The balances that follow from the entries of [`LedgerFixture`].
fn expected() -> BTreeMap<String, [i64; 3]> {
    BTreeMap::from([(SPOON.to_owned(), [88, 2, -90]), (BOWL.to_owned(), [49, 1, -50])])
}

/// The stored balances of a generation: on hand, shipped out, outside.
fn balances(fixture: &LedgerFixture, generation: u32) -> BTreeMap<String, [i64; 3]> {
    let prefix = format!("BALANCES#{generation}#");
    let items = fixture.aws.items("ledger").into_iter();
    let figure =
        |item: &Value, name: &str| item[name]["N"].as_str().unwrap().parse::<i64>().unwrap();
    items
        .filter(|item| text(&item["pk"]["S"]).starts_with(&prefix))
        .map(|item| {
            let figures = ["on_hand", "shipped_out", "outside"].map(|name| figure(&item, name));
            (text(&item["sk"]["S"]), figures)
        })
        .collect()
}

/// The shop after all its entries were posted.
async fn posted() -> LedgerFixture {
    let fixture = LedgerFixture::past_grace().await;
    fixture.clock.advance(DAY);
    assert_eq!(unbalanced(&fixture.report(tick()).await), BTreeSet::new());
    assert_eq!(balances(&fixture, 0), expected());
    fixture
}

/// The updates of a run, without the two that save its progress.
fn updates(called: &Called) -> usize {
    let operations = called.operations_on("ledger");
    operations.iter().filter(|operation| **operation == "UpdateItem").count() - 2
}

#[tokio::test]
async fn entries_are_posted_a_day_later_with_one_write_per_product() {
    let fixture = LedgerFixture::past_grace().await;
    let today = fixture.call("reconcile-ledger", tick()).await;
    assert_eq!((updates(&today), balances(&fixture, 0)), (0, BTreeMap::new()));
    assert_eq!(today.ok()["products_checked"], 2, "recent entries are read");
    fixture.clock.advance(DAY);
    let tomorrow = fixture.call("reconcile-ledger", tick()).await;
    // Two balances, and the end of the period.
    assert_eq!((updates(&tomorrow), balances(&fixture, 0)), (3, expected()));
    assert_eq!(
        (&tomorrow.ok()["products_checked"], &tomorrow.ok()["products"]),
        (&json!(2), &json!([])),
        "{:?}",
        tomorrow.answer
    );
    fixture.clock.advance(DAY);
    let last = fixture.call("reconcile-ledger", tick()).await;
    assert_eq!((updates(&last), balances(&fixture, 0)), (1, expected()), "the end of the period");
    let again = fixture.report(json!({})).await;
    assert_eq!((&again["products_checked"], unbalanced(&again)), (&json!(2), BTreeSet::new()));
}

#[tokio::test]
async fn changed_balance_reports_its_product() {
    let fixture = posted().await;
    let item = fixture.item("ledger", |item| {
        item["sk"]["S"] == SPOON && text(&item["pk"]["S"]).starts_with("BALANCES#0#")
    });
    for (figure, checks_failed) in [
        ("on_hand", vec!["entry_balances", "on_hand_in_ledger"]),
        ("shipped_out", vec!["entry_balances"]),
        ("outside", vec!["entry_balances"]),
    ] {
        let mut changed = item.clone();
        changed[figure]["N"] = json!("7");
        fixture.aws.put("ledger", &changed);
        let report = fixture.report(json!({ "product_id": SPOON })).await;
        assert_eq!(unbalanced(&report), BTreeSet::from([SPOON.to_owned()]), "{figure}");
        let failed = checks(&report, SPOON);
        assert_eq!(failed.iter().map(String::as_str).collect::<Vec<_>>(), checks_failed);
    }
    fixture.aws.put("ledger", &item);
    assert!(fixture.unbalanced().await.is_empty());
}

#[tokio::test]
async fn check_of_a_product_costs_the_same_after_any_number_of_entries() {
    let fixture = posted().await;
    let cost = async || {
        let called = fixture.call("reconcile-ledger", json!({ "product_id": SPOON })).await;
        assert_eq!(unbalanced(called.ok()), BTreeSet::new());
        called.calls.len()
    };
    let before = cost().await;
    for number in 0..250 {
        let change = if number % 2 == 0 { 1 } else { -1 };
        let adjusted = adjustment(number, change);
        assert!(fixture.call("record-entry", message(&adjusted)).await.is_done());
    }
    assert!(cost().await > before, "recent entries are read");
    for _ in 0..2 {
        fixture.clock.advance(DAY);
        fixture.report(tick()).await;
    }
    assert_eq!((cost().await, balances(&fixture, 0)), (before, expected()));
}

#[tokio::test]
async fn interrupted_posting_adds_every_entry_once() {
    let later = Clock::System.now().plus(DAY);
    let post = async |fixture: &LedgerFixture| {
        fixture.ledger.post_entries(fixture.clock.now(), later).await
    };
    let clean = LedgerFixture::past_grace().await;
    let before = clean.aws.calls().len();
    assert!(post(&clean).await.unwrap());
    let calls = clean.aws.calls().split_off(before);
    let is_write = |call: &usize| ["PutItem", "UpdateItem"].contains(&&*calls[*call].operation);
    let writes: Vec<usize> = (0..calls.len()).filter(is_write).collect();
    assert_eq!(writes.len(), 4, "the period, two balances, and the end of the period");
    for_each_fault(0..writes.len(), async |InjectedFault { call, fault }| {
        let fixture = LedgerFixture::past_grace().await;
        fixture.aws.fail(writes[call], fault);
        let interrupted = post(&fixture).await;
        assert!(interrupted.is_err(), "write {call} {fault:?}: {interrupted:?}");
        fixture.aws.heal();
        // The next call has a longer period to post.
        fixture.clock.advance(Duration::from_secs(900));
        assert!(post(&fixture).await.unwrap());
        assert_eq!(balances(&fixture, 0), expected(), "write {call} {fault:?}");
    })
    .await;
}

#[tokio::test]
async fn posting_without_enough_time_is_continued() {
    let fixture = LedgerFixture::past_grace().await;
    let (now, past) = (fixture.clock.now(), Clock::System.now());
    let progress = async || fixture.ledger.store.posting().await.unwrap().unwrap();
    let start = progress().await;
    assert!(!fixture.ledger.post_entries(now, past).await.unwrap());
    let stopped = progress().await;
    assert_eq!((stopped.posted_until, stopped.pending_until), (start.posted_until, None));
    assert_eq!(stopped.version, start.version + 1, "the next period is shorter");
    assert!(fixture.ledger.recent_entries(past).await.unwrap().sums.is_none());
    let later = past.plus(DAY);
    assert!(fixture.ledger.post_entries(now, later).await.unwrap());
    assert_eq!((progress().await.posted_until, balances(&fixture, 0)), (now, expected()));
}

#[tokio::test]
async fn balance_that_is_newer_than_the_recent_entries_is_not_compared() {
    let fixture = LedgerFixture::past_grace().await;
    let later = Clock::System.now().plus(DAY);
    let recent = fixture.ledger.recent_entries(later).await.unwrap();
    assert!(fixture.ledger.post_entries(fixture.clock.now(), later).await.unwrap());
    let product = shared::ids::PrefixedId::parse(SPOON).unwrap();
    let compared = fixture.ledger.audit_product(product, None, &recent).await;
    assert!(matches!(compared, Err(ledger::sources::ReadError::BalanceMoved)), "{compared:?}");
    let recent = fixture.ledger.recent_entries(later).await.unwrap();
    let compared = fixture.ledger.audit_product(product, None, &recent).await.unwrap();
    assert!(compared.findings.is_empty(), "{compared:?}");
}

#[tokio::test]
async fn unreadable_entry_is_posted_once_it_is_corrected() {
    let fixture = LedgerFixture::past_grace().await;
    let item = fixture.item("ledger", |item| item["kind"]["S"] == "commit");
    let mut unreadable = item.clone();
    unreadable["lines"] = json!({ "S": "two spoons" });
    fixture.aws.put("ledger", &unreadable);
    fixture.clock.advance(DAY);
    let report = fixture.report(tick()).await;
    assert_eq!(
        unbalanced(&report),
        [fixture.confirmed.as_str(), SPOON, BOWL].map(str::to_owned).into(),
        "{report:#}"
    );
    assert_eq!(balances(&fixture, 0), BTreeMap::new());
    fixture.aws.put("ledger", &item);
    fixture.clock.advance(DAY);
    assert_eq!(unbalanced(&fixture.report(tick()).await), BTreeSet::new());
    assert_eq!(balances(&fixture, 0), expected());
}

#[tokio::test]
async fn balances_are_calculated_again_on_request() {
    let fixture = posted().await;
    let mut changed = fixture.item("ledger", |item| {
        item["sk"]["S"] == SPOON && text(&item["pk"]["S"]).starts_with("BALANCES#0#")
    });
    changed["on_hand"]["N"] = json!("7");
    fixture.aws.put("ledger", &changed);
    assert_eq!(fixture.unbalanced().await, BTreeSet::from([SPOON.to_owned()]));
    let since = "2026-11-20T00:00:00.000Z";
    let report = fixture.report(json!({ "repost_since": since })).await;
    assert_eq!((&report["reposting_since"], &report["checked"]), (&json!(since), &json!(0)));
    assert!(fixture.unbalanced().await.is_empty(), "all entries are recent again");
    fixture.clock.advance(DAY);
    let report = fixture.report(tick()).await;
    assert_eq!((&report["products_checked"], unbalanced(&report)), (&json!(2), BTreeSet::new()));
    assert_eq!(balances(&fixture, 1), expected());
}
