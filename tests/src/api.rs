//! A shop for tests of the API: every route as the services declare it, a valid request for each, and
//! the checks that apply to every response.
#![allow(clippy::unwrap_used, reason = "a fixture that cannot be built fails the test")]

pub mod fixture;
pub mod routes;
