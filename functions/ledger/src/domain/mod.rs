//! Double entry, and what the books of all services have to say to each other. Nothing here waits,
//! asks or stores.
//!
//! - [`account`]: where money and goods can be, and in what they are counted.
//! - [`entry`]: what moved from where to where. One that does not balance cannot be made.
//! - [`balance`]: what entries come to.
//! - [`audit`]: the rules that tie the books of an order, and of a product, together.
//! - [`repair`]: the entries that the ledger lacks.

pub mod account;
pub mod audit;
pub mod balance;
pub mod entry;
pub mod repair;

pub use account::{Account, StockBucket, Unit};
pub use balance::Balances;
pub use entry::{Entry, EntryId, InvalidEntry, Kind, Line};
