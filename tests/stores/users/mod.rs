//! Users: one account for each address, tokens that count exactly as long as they should, changes
//! that are made as a whole, and keys that rotate without logging anybody out.

mod address_change;
mod invalidation;
mod login_user;
mod profile;
mod recovery;
mod register_user;
mod rotate_signing_key;
mod sessions;
mod takeover;
