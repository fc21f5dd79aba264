//! Double-entry bookkeeping, and the reconciliation of all services' records. Nothing here waits,
//! calls or stores.
//!
//! - [`account`]: where money and goods can be, and in what they are counted.
//! - [`entry`]: what moved from where to where. One that does not balance cannot be made.
//! - [`balance`]: what entries come to.
//! - [`audit`]: the reconciliation rules of an order and of a product.
//! - [`repair`]: the entries that the ledger lacks.

pub mod account;
pub mod audit;
pub mod balance;
pub mod entry;
pub mod repair;

pub use account::{Account, StockBucket, Unit};
pub use balance::Balances;
pub use entry::{Entry, EntryId, InvalidEntry, Kind, Line};
