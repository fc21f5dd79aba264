//! The tokens that this service issues and verifies, and the keys that sign them.
//!
//! | token | holder | what it does | what is stored |
//! |---|---|---|---|
//! | [`access`] | a client, for 15 minutes | authorizes requests | nothing |
//! | [`refresh`] | a client, until its next use | buys the next access token | the hash of its secret |
//! | [`device`] | a client, for 180 days | sets its login attempts apart from those of strangers | nothing |
//! | [`one_time`] | a mailbox, for minutes or hours | proves that its owner reads what is sent there | its hash, and itself sealed |
//!
//! [`signing_keys`] are the keys of access tokens.

pub mod access;
pub mod device;
mod encoding;
pub mod one_time;
pub mod refresh;
pub mod signing_keys;
