//! The messages that a committed change of a product publishes. This file lists all of them.

use shared::{
    queue::{Message, MessageContext},
    stream::UnknownState,
};

use crate::{
    domain::{MaxPerOrder, Product, Status},
    messages::ProductChanged,
};

/// The messages for a change from `old` (`None` if just created) to `new`. Publishes a new version,
/// or the same version again if a backfill run marked it. Any other write publishes nothing.
///
/// # Errors
/// If the status is one of a later release: whether the product is sold must not be guessed.
pub fn messages(old: Option<&Product>, new: &Product) -> Result<Vec<Message>, UnknownState> {
    // The number of a run is never a version, so the message of each run has another id.
    let event_version = match old {
        Some(old) if old.version >= new.version && old.backfill_run >= new.backfill_run => {
            return Ok(Vec::new());
        }
        Some(old) if old.version >= new.version => new.backfill_run,
        _ => new.version,
    };
    let active = match &new.status {
        Status::Active => true,
        Status::Archived => false,
        Status::Unknown(status) => {
            return Err(UnknownState { attribute: "status", state: status.clone() });
        }
    };
    let context = MessageContext {
        service: "catalog",
        id: new.product_id.to_string(),
        version: event_version,
        time: new.updated_at,
        trace: new.traceparent.clone(),
    };
    let details = &new.details;
    let changed = ProductChanged {
        product_id: new.product_id,
        version: new.version,
        sku: details.sku.as_str().to_owned(),
        name: details.name.as_str().to_owned(),
        category: details.category.as_str().to_owned(),
        price: details.price.money(),
        prices: details.prices.to_vec(),
        tax_class: details.tax_class.as_str().to_owned(),
        weight_g: details.weight_g.grams(),
        requires_shipping: details.requires_shipping,
        max_per_order: details.max_per_order.map(MaxPerOrder::count),
        active,
    };
    Ok(vec![Message::new("product-changes", "product_changed.v1", &context, &changed)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::lamp;
    use serde_json::json;

    #[test]
    fn each_version_is_published_once() {
        let first = lamp();
        let second = Product { version: 2, status: Status::Archived, ..first.clone() };
        let published = messages(None, &first).unwrap();
        assert_eq!(published.len(), 1);
        assert_eq!(
            (published[0].queue, published[0].kind),
            ("product-changes", "product_changed.v1")
        );
        let expected = json!({
            "product_id": first.product_id, "version": 1, "sku": "LAMP-01", "name": "Desk lamp", "category": "lamps",
            "price": { "amount": 2999, "currency": "USD" }, "prices": [], "tax_class": "standard", "weight_g": 0, "requires_shipping": true,
            "active": true,
        });
        assert_eq!(published[0].data, expected);
        let published_again = messages(Some(&first), &second).unwrap();
        assert_eq!(published_again[0].data["active"], json!(false));
        assert_ne!(published[0].id, published_again[0].id);
        assert!(messages(Some(&first), &first).unwrap().is_empty(), "a backfill sends nothing");
    }

    #[test]
    fn each_run_publishes_the_same_version_under_another_id() {
        let (lamp, run) = (lamp(), 1_795_254_529_123);
        let marked = Product { backfill_run: run, ..lamp.clone() };
        let marked_again = Product { backfill_run: run + 1, ..lamp.clone() };
        let ids: Vec<String> =
            [(None, &lamp), (Some(&lamp), &marked), (Some(&marked), &marked_again)]
                .into_iter()
                .map(|(old, new)| match &messages(old, new).unwrap()[..] {
                    [published] => {
                        assert_eq!(published.data["version"], 1);
                        published.id.clone()
                    }
                    other => panic!("{other:?}"),
                })
                .collect();
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
        assert!(messages(Some(&marked), &marked).unwrap().is_empty());
        // The writer of the next version read the product before it was marked.
        let changed = Product { version: 2, ..lamp };
        assert_eq!(messages(Some(&marked), &changed).unwrap().len(), 1);
    }

    #[test]
    fn unknown_status_is_rejected() {
        let announced = Product { status: Status::Unknown("announced".to_owned()), ..lamp() };
        let rejected = messages(None, &announced).unwrap_err();
        assert_eq!(rejected.to_string(), "status has the unknown value announced");
    }
}
