//! Double-entry bookkeeping and the reconciliation of all services' records. Pure code without I/O.
//!
//! - [`account`]: locations of money and goods, and their units.
//! - [`entry`]: balanced movements between accounts. Unbalanced entries cannot be constructed.
//! - [`balance`]: the sums of entries per account, and per product.
//! - [`audit`]: the reconciliation rules of an order and of a product.
//! - [`repair`]: the entries that the ledger lacks.

pub mod account;
pub mod audit;
pub mod balance;
pub mod entry;
pub mod repair;

pub use account::{Account, Jurisdiction, StockBucket, Unit};
pub use balance::{Balances, ProductBalance, ProductSums};
pub use entry::{Entry, EntryId, InvalidEntry, Kind, Line, Owner};
