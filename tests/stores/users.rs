//! The store of users.
