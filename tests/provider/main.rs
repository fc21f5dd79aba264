//! What payments expects of a provider, asked of each: the double in this process, the simulated
//! one, and Stripe.
//!
//! Stripe is the one that `LOCALSTRIPE_URL` names: `localstack/localstripe.py` starts it, and then
//! these tests. It keeps no idempotency keys, finds no intent by our id, lets more be refunded than
//! was charged, and has no disputes. A proxy in front of it adds the rules of keys as Stripe
//! documents them; real Stripe is not called.
#![allow(clippy::unwrap_used)]

mod contract;
mod double;
mod key_proxy;
mod localstripe;
mod simulated;
mod stripe_keys;
mod till;
mod voiding;
mod webhooks;
mod wire;
