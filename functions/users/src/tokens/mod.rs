//! The tokens that this service issues and verifies, and the keys that sign them.
//!
//! | token | holder | purpose | stored |
//! |---|---|---|---|
//! | [`access`] | client, for 15 minutes | authorizes requests | nothing |
//! | [`refresh`] | client, until its next use | is exchanged for the next pair of tokens | hash of its secret |
//! | [`device`] | client, for 180 days | counts its login attempts apart from those of unknown devices | nothing |
//! | [`one_time`] | mailbox, for minutes or hours | proves access to the mailbox | its hash, and the sealed token |
//!
//! [`signing_keys`] contains the keys that sign access tokens.

pub mod access;
pub mod device;
mod encoding;
pub mod one_time;
pub mod refresh;
pub mod signing_keys;
