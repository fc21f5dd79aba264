//! The operations of this service, one module per function.

pub mod reconcile_ledger;
pub mod record_entry;

shared::operations! {
    Ledger:
    queue record_entry("record-entry");
    invoke reconcile_ledger();
}
