//! The contract between payments and its providers, tested with the in-process double, the
//! simulated provider and Stripe.
//!
//! Stripe is the server at `LOCALSTRIPE_URL`. `localstack/localstripe.py` starts localstripe and
//! then these tests. localstripe has no idempotency keys, no search by our id, no refund limit and
//! no disputes. A proxy in front of it adds the rules of keys as Stripe documents them. Real Stripe
//! is not called.
#![allow(clippy::unwrap_used)]

mod charging;
mod contract;
mod double;
mod key_proxy;
mod localstripe;
mod simulated;
mod stripe_keys;
mod voiding;
mod webhooks;
mod wire;
