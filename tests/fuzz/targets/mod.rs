//! The targets. Each one parses one kind of external input.

mod bodies;
mod changes;
mod cursors;
mod items;
mod messages;
mod requests;
mod tokens;
mod webhooks;

use crate::fixture::FuzzFixture;

/// A kind of input, with its properties and its seeds.
pub struct Target {
    pub name: &'static str,
    /// Processes one input.
    ///
    /// # Panics
    /// If a property is violated.
    pub run: fn(&mut FuzzFixture, &[u8]),
    /// Inputs from samples and from the shop's own data.
    pub seeds: fn(&mut FuzzFixture) -> Vec<Vec<u8>>,
}

pub static TARGETS: [Target; 8] = [
    Target { name: "bodies", run: bodies::run, seeds: bodies::seeds },
    Target { name: "requests", run: requests::run, seeds: requests::seeds },
    Target { name: "tokens", run: tokens::run, seeds: tokens::seeds },
    Target { name: "cursors", run: cursors::run, seeds: cursors::seeds },
    Target { name: "webhooks", run: webhooks::run, seeds: webhooks::seeds },
    Target { name: "messages", run: messages::run, seeds: messages::seeds },
    Target { name: "changes", run: changes::run, seeds: changes::seeds },
    Target { name: "items", run: items::run, seeds: items::seeds },
];

/// The target with this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
