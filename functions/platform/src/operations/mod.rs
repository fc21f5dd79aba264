//! What this service does: one file for each function.

pub mod get_health;
