//! Platform: health, the API document and the pages.
//!
#![doc = include_str!("../README.md")]

use std::sync::OnceLock;

use shared::{aws, clock::Clock, config, table::Table};

pub mod health;
pub mod measurements;
pub mod metrics;
pub mod operations;
mod pages;
pub mod problems;
pub mod queue_ages;
pub mod releases;
pub mod services;
pub mod store;

use measurements::Sources;
use releases::Releases;
use store::Store;

/// The dependencies of every operation.
pub struct Platform {
    pub store: Store,
    /// The sources of `check-health`. They are created on first use, because the other functions do
    /// not contain their clients.
    pub sources: OnceLock<Sources>,
    /// The clients of `check-release`, also created on first use.
    pub releases: OnceLock<Releases>,
    pub clock: Clock,
}

impl Platform {
    /// The service as it runs deployed.
    ///
    /// # Panics
    /// If the environment lacks a setting; see the template.
    pub fn from_env() -> Self {
        let client = aws_sdk_dynamodb::Client::new(&aws::sdk_config());
        let platform = Table::new(client, config::required("PLATFORM_TABLE"));
        Self {
            store: Store { platform },
            sources: OnceLock::new(),
            releases: OnceLock::new(),
            clock: Clock::System,
        }
    }
}
