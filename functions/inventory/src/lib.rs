//! Inventory: how many there are of each product, and for which orders some are held.
//!
//! - **Owns** the table `stock`.
//! - **Answers** `GET /inventory/{product_id}` (everybody; admins see figures) and `POST /inventory/{product_id}/adjustments` (admins).
//! - **Consumes** `reserve-stock`, `release-stock` and `commit-stock`: what an order asks for.
//! - **Emits** to `order-events` what became of an order's reservation, through the stream of its table; [`publish`] is the whole list.
//! - **Never** holds more than there is, lets a reservation end by itself (only its order releases it), or asks whether the catalogue
//!   knows a product: one without stock is simply out of stock.
//!
//! In reading order: [`domain`] (stock, reservations, and what follows from a command), [`operations`] (one file for each function),
//! [`publish`], [`messages`], [`store`], [`error`].

use shared::{aws, clock::Clock, config, table::Table};

pub mod domain;
pub mod error;
pub mod messages;
pub mod operations;
pub mod publish;
pub mod store;

use domain::reservation::{Command, Decision, Reservation, decide};
use error::InventoryError;
use store::{Saved, Store};

/// What every operation of this service works with.
pub struct Inventory {
    /// The table.
    pub store: Store,
    /// The time.
    pub clock: Clock,
}

/// How often a reservation is decided anew because somebody else has just written it.
const TRIES: u32 = 5;

impl Inventory {
    /// The service as it runs deployed.
    ///
    /// # Panics
    /// When the environment lacks a setting; see the template.
    pub fn from_env() -> Self {
        let client = aws_sdk_dynamodb::Client::new(&aws::sdk_config());
        Self { store: Store { stock: Table::new(client, config::required("STOCK_TABLE")) }, clock: Clock::System }
    }

    /// Carries out what an order asks of its reservation, which was last seen as `stored`. The domain decides, the store writes; what
    /// stands in the way of the write is what is decided upon next, so that a lost race, a second copy of the command and the own write
    /// whose answer was lost all end the same way.
    async fn carry_out(&self, command: &Command, mut stored: Option<Reservation>) -> Result<(), InventoryError> {
        let mut short = None;
        for _ in 0..TRIES {
            let change = match decide(stored.as_ref(), command, short)? {
                Decision::Settled => return Ok(()),
                Decision::Write(change) => change,
            };
            match self.store.save(&change).await? {
                Saved::Written => return Ok(()),
                Saved::Overtaken(standing) => stored = standing.map(|standing| *standing),
                Saved::Short(product_id) if change.is_hold() => short = Some(product_id),
                Saved::Short(product_id) => return Err(InventoryError::BooksBroken { product_id }),
            }
        }
        Err(InventoryError::Contended)
    }
}
