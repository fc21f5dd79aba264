//! The product and its rules. Nothing here waits, stores or sends.

pub mod backfill;
mod details;
mod sort_key;

use serde::{Deserialize, Serialize};
use shared::{clock::Timestamp, ids::ProductId, telemetry::Trace};

pub use details::{Category, Description, Details, MaxPerOrder, Price, ProductName, Sku};
pub use sort_key::sort_key;

/// Whether a product is sold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Status {
    /// It is.
    Active,
    /// It no longer is; orders go on naming it.
    Archived,
    /// What a later release has written; it survives being written again.
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

/// A product of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Its id, derived from the request that created it.
    pub product_id: ProductId,
    /// Grows with every change.
    pub version: u64,
    /// Whether it is sold.
    pub status: Status,
    /// What the shop says about it now.
    pub details: Details,
    /// What the shop said about it first: the answer to the request that created it, however often
    /// that is repeated.
    pub initial_details: Details,
    /// The fingerprint of the request under its key.
    pub fingerprint: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// The trace that wrote it last.
    pub traceparent: Trace,
    /// The last backfill run that published it without a change; zero: never.
    #[serde(default)]
    pub backfill_run: u64,
}

impl Product {
    /// A new product.
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

    /// The product in its next version, of which this is said.
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

    /// The product in its next version, in which it is no longer sold.
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

    /// Whether this version is the result of changing version `seen` to `details`: a repeat of that
    /// request is already applied.
    pub fn is_result_of(&self, seen: u64, details: &Details) -> bool {
        seen.checked_add(1) == Some(self.version) && self.details == *details
    }

    /// The SKU that no other product may have now. One that is archived needs none any more.
    pub fn sku_held(&self) -> Option<&Sku> {
        (self.status != Status::Archived).then_some(&self.details.sku)
    }

    /// Whether it is sold. What a later release calls by another name is not, until this one learns
    /// of it.
    pub fn is_active(&self) -> bool {
        self.status == Status::Active
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::{from_value, json};
    use shared::ids::{Ids, derive};

    /// A product as tests need one.
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
    fn a_status_of_a_later_release_survives_being_written_again() {
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
    fn each_change_is_a_version_and_leaves_the_rest_alone() {
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
