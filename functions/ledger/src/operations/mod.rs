//! What this service does: one file for each function.

pub mod reconcile_books;
pub mod record_entry;
