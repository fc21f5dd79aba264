//! The goldens of the last release: its stored items and its tables, committed under `goldens`. The
//! messages of earlier releases are in `tests/messages/samples`.
//!
//! `goldens/items/<table>.json` has the items of one small shop: at least one of each kind of every
//! table. The functions of this source continue with that shop. A write preserves the
//! attributes that it does not know.
//!
//! `make upgrade` mixes two releases in one shop; see `tests/prove/schedule/releases.rs`.
#![allow(clippy::unwrap_used)]

mod goldens;
mod shop;

use std::collections::BTreeSet;

use goldens::Golden;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// When goldens may be written again.
const RULE: &str = "Goldens are written again in the commit that releases a version, with \
    UPDATE_GOLDENS=1 cargo test -p tests --test upgrade --test repository golden, and until the \
    first tag whenever the stored items change. Otherwise make this source read the items of the \
    last release, or change them in two releases: see Documents in .github/CONTRIBUTING.md.";

/// An attribute that no release has.
const UNKNOWN: &str = "attribute_of_a_later_release";

/// Kinds of items whose write replaces them although it does not know all their attributes, each
/// with the reason.
const REPLACED: &[(&str, &str)] = &[
    ("orders LEASE", "each run of the sweep writes its own lease"),
    ("payments LEASE LEASE", "each run of the sweep writes its own lease"),
    ("products LEASE", "each run of the resync writes its own lease"),
    ("stock LEASE", "each run of the check writes its own lease"),
    ("order-carts CART", "a cart that was ordered or merged loses its content"),
    ("products BACKFILL_RUN", "each run of the resync replaces the progress of the last one"),
    ("platform *", "each check replaces the health of the last one"),
];

/// The goldens, after they are written if that was requested.
async fn golden() -> Golden {
    static GOLDEN: OnceCell<Golden> = OnceCell::const_new();
    let read = || async {
        if goldens::is_updating() {
            goldens::write(&goldens::of(&shop::produce().await));
        }
        goldens::read()
    };
    GOLDEN.get_or_init(read).await.clone()
}

#[track_caller]
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n\n{RULE}\n", complaints.join("\n"));
}

#[tokio::test]
async fn shop_of_the_last_release_continues() {
    let run = shop::continue_with(&golden().await).await;
    none(
        run.steps.into_iter().filter(|step| !step.is_done()).map(|step| step.to_string()).collect(),
    );
}

#[tokio::test]
async fn writes_preserve_unknown_attributes() {
    let mut golden = golden().await;
    for item in golden.items_mut() {
        item[UNKNOWN] = json!({ "M": { "since": { "N": "7" } } });
    }
    let run = shop::continue_with(&golden).await;
    let mut violations: Vec<String> =
        run.steps.into_iter().filter(|step| !step.is_done()).map(|step| step.to_string()).collect();
    let (mut written, mut lost) = (BTreeSet::new(), BTreeSet::new());
    for (table, item) in golden.items() {
        let kind = goldens::kind(table, item);
        let Some(now) = run.shop.aws.item(table, &goldens::key(item)) else { continue };
        if now != *item {
            written.insert(kind.clone());
        }
        if now[UNKNOWN] != item[UNKNOWN] {
            lost.insert(kind);
        }
    }
    let listed: BTreeSet<String> = REPLACED.iter().map(|(kind, _)| (*kind).to_owned()).collect();
    violations.extend(lost.difference(&listed).map(|kind| {
        format!("a write of {kind} removes the attributes of a later release: preserve them")
    }));
    violations.extend(listed.difference(&lost).map(|kind| {
        format!("{kind} preserves attributes of a later release: take it out of REPLACED")
    }));
    assert!(written.len() >= 10, "only these kinds are written again: {written:?}");
    none(violations);
}

/// A kind that is not produced any more, and that no golden explains, would not be tested.
#[tokio::test]
async fn goldens_have_every_kind_that_the_shop_still_writes() {
    let produced = goldens::of(&shop::produce().await);
    let (golden, now) = (golden().await.kinds(), produced.kinds());
    none(
        golden
            .difference(&now)
            .map(|kind| format!("tests/upgrade/shop.rs does not produce {kind} any more"))
            .collect(),
    );
}

#[tokio::test]
async fn every_table_has_a_golden_item() {
    let golden = golden().await;
    let with_items: BTreeSet<&str> = golden.items().map(|(table, _)| table).collect();
    let tables = goldens::tables();
    let names = tables.as_object().unwrap().keys().map(String::as_str);
    let empty: Vec<String> = names
        .filter(|name| !with_items.contains(name))
        .map(|name| format!("no golden item is in the table {name}"))
        .collect();
    none(empty);
}

/// The value of an attribute as text.
fn text<'a>(item: &'a Value, name: &str) -> &'a str {
    item[name]["S"].as_str().unwrap_or_default()
}
