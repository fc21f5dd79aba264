//! The services of a shop, in the order in which pages and the API document list them.

#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// Its name in paths, as `orders`.
    pub name: &'static str,
    /// What it is responsible for: a sentence.
    pub purpose: &'static str,
    /// Whether the API document describes operations of it.
    pub is_public: bool,
}

const fn service(name: &'static str, purpose: &'static str) -> Service {
    Service { name, purpose, is_public: true }
}

pub const SERVICES: [Service; 9] = [
    service("users", "Accounts, passwords, sessions and tokens."),
    service("catalog", "Products and prices."),
    service("pricing", "Markets, shipping methods, tax rates and promotions."),
    service("inventory", "Stock and reservations."),
    service("orders", "Placement, the saga that settles orders, shipping and cancellation."),
    service("payments", "Charges, refunds and disputes."),
    service("notifications", "Mails to customers, and the list of them that customers see."),
    Service { is_public: false, ..service("ledger", "Ledger entries and reconciliation.") },
    service("platform", "Health, the API document and these pages."),
];
