//! Users: one account per address, tokens valid for exactly their lifetime, atomic changes, and key
//! rotation without logging users out.

mod address_book;
mod address_change;
mod invalidation;
mod known_device;
mod login_user;
mod profile;
mod recovery;
mod register_user;
mod rotate_signing_key;
mod sessions;
mod takeover;
