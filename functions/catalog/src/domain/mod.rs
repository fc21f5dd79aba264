//! Products and their rules, without I/O.

pub mod backfill;
mod details;
mod price_history;
mod prices;
mod sort_key;

use serde::{Deserialize, Serialize};
use shared::{clock::Timestamp, ids::ProductId, telemetry::Trace};

pub use details::{
    Category, Description, Details, MaxPerOrder, Price, ProductName, Sku, Weight,
    requires_shipping_by_default,
};
pub use price_history::PriceChange;
pub use prices::{ExplicitPrice, PriceAmount, Prices};
pub use sort_key::sort_key;

/// Whether a product is sold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Status {
    Active,
    /// No longer sold. Existing orders keep referring to it.
    Archived,
    /// A status of a later release, preserved when the product is written again.
    Unknown(String),
}

impl From<String> for Status {
    fn from(name: String) -> Self {
        match name.as_str() {
            "active" => Self::Active,
            "archived" => Self::Archived,
            _ => Self::Unknown(name),
        }
    }
}

impl From<Status> for String {
    fn from(status: Status) -> Self {
        match status {
            Status::Active => "active".to_owned(),
            Status::Archived => "archived".to_owned(),
            Status::Unknown(name) => name,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Derived from the request that created the product.
    pub product_id: ProductId,
    /// Increases with every change.
    pub version: u64,
    pub status: Status,
    pub details: Details,
    /// The details at creation: the response to a repeated create request.
    pub initial_details: Details,
    /// Fingerprint of the create request.
    pub fingerprint: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub traceparent: Trace,
    /// The last backfill run that published the product without a change; zero if none did.
    #[serde(default)]
    pub backfill_run: u64,
}

/// A product that is sold, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ListedProduct {
    pub product_id: ProductId,
    pub details: Details,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Product {
    pub fn create(
        product_id: ProductId,
        details: Details,
        fingerprint: String,
        now: Timestamp,
        trace: Trace,
    ) -> Self {
        Self {
            product_id,
            version: 1,
            status: Status::Active,
            initial_details: details.clone(),
            details,
            fingerprint,
            created_at: now,
            updated_at: now,
            traceparent: trace,
            backfill_run: 0,
        }
    }

    /// The next version, with other details.
    #[must_use]
    pub fn updated(&self, details: Details, now: Timestamp, trace: Trace) -> Self {
        Self {
            version: self.version + 1,
            details,
            updated_at: now,
            traceparent: trace,
            ..self.clone()
        }
    }

    /// The next version, no longer sold.
    #[must_use]
    pub fn archived(&self, now: Timestamp, trace: Trace) -> Self {
        Self {
            version: self.version + 1,
            status: Status::Archived,
            updated_at: now,
            traceparent: trace,
            ..self.clone()
        }
    }

    /// The product as it was when it was created.
    #[must_use]
    pub fn as_created(self) -> Self {
        Self {
            version: 1,
            status: Status::Active,
            details: self.initial_details.clone(),
            updated_at: self.created_at,
            ..self
        }
    }

    /// Whether this version is the result of changing version `seen` to `details`. If so, a
    /// repeated request is already applied.
    pub fn is_result_of(&self, seen: u64, details: &Details) -> bool {
        seen.checked_add(1) == Some(self.version) && self.details == *details
    }

    /// The SKU that the product reserves. Archived products reserve none.
    pub fn sku_held(&self) -> Option<&Sku> {
        (self.status != Status::Archived).then_some(&self.details.sku)
    }

    /// Whether the product is sold. A status of a later release counts as not sold.
    pub fn is_active(&self) -> bool {
        self.status == Status::Active
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::{from_value, json};
    use shared::ids::{Ids, derive};

    /// A sample product for tests.
    pub(crate) fn lamp() -> Product {
        let details = json!({ "name": "Desk lamp", "category": "lamps", "sku": "LAMP-01", "price": { "amount": 2999, "currency": "USD" } });
        let details = from_value(details).unwrap();
        let now = Timestamp::from_milliseconds(1_700_000_000_000);
        Product::create(
            derive(&["lamp"]),
            details,
            "f".to_owned(),
            now,
            Trace::start(&Ids::seeded(1)),
        )
    }

    #[test]
    fn unknown_status_survives_a_round_trip() {
        for name in ["active", "archived", "announced"] {
            let status: Status = from_value(json!(name)).unwrap();
            assert_eq!(serde_json::to_value(&status).unwrap(), json!(name));
        }
        assert!(!Product { status: Status::Unknown("announced".to_owned()), ..lamp() }.is_active());
    }

    #[test]
    fn initial_details_survive_every_change() {
        let created = lamp();
        let mut changed = Product { version: 7, status: Status::Archived, ..created.clone() };
        changed.details.name = ProductName::parse("Old lamp").unwrap();
        changed.updated_at = Timestamp::from_milliseconds(1_800_000_000_000);
        assert_eq!(changed.as_created(), created);
    }

    #[test]
    fn each_change_increments_the_version_and_keeps_other_fields() {
        let (first, later, trace) = (
            lamp(),
            Timestamp::from_milliseconds(1_800_000_000_000),
            Trace::start(&Ids::seeded(2)),
        );
        let mut details = first.details.clone();
        details.sku = Sku::parse("LAMP-02").unwrap();
        let changed = first.updated(details.clone(), later, trace.clone());
        assert_eq!(
            changed,
            Product {
                version: 2,
                details: details.clone(),
                updated_at: later,
                traceparent: trace.clone(),
                ..first.clone()
            }
        );
        assert!(
            changed.is_result_of(1, &details)
                && !changed.is_result_of(2, &details)
                && !changed.is_result_of(1, &first.details)
        );
        let archived = changed.archived(later, trace);
        assert_eq!((changed.sku_held(), archived.sku_held()), (Some(&details.sku), None));
        assert_eq!(archived, Product { version: 3, status: Status::Archived, ..changed });
        assert_eq!(archived.as_created().details, first.details);
    }
}
