//! What each service writes to the in-memory DynamoDB: conditions, races and lost responses, one
//! module per service.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "shop")]
mod alarms;
mod dynamodb;
mod lists;
mod test_library;

#[cfg(feature = "catalog")]
mod catalog;
#[cfg(feature = "inventory")]
mod inventory;
#[cfg(feature = "ledger")]
mod ledger;
#[cfg(feature = "notifications")]
mod notifications;
#[cfg(feature = "orders")]
mod orders;
#[cfg(feature = "payments")]
mod payments;
#[cfg(feature = "platform")]
mod platform;
#[cfg(all(feature = "orders", feature = "pricing"))]
mod pricing;
mod release_checks;
#[cfg(feature = "users")]
mod throttle;
#[cfg(feature = "users")]
mod users;
