//! The lifecycle of an order: cancellation, shipment, delivery, expiry and scheduled checks.
//!
//! The order also tracks which commands have no answer. No state depends on this. Commands to
//! inventory and commands to payments are tracked separately:
//!
//! - A wait starts when a command becomes pending, and restarts with each answer.
//! - A wait continues if one unanswered command replaces another, because the same service still
//!   does not answer. Example: an order expires before its stock is reserved, so `release_stock`
//!   replaces `reserve_stock`.
//! - Every answer of inventory changes the stock state. Payments also reports progress that changes
//!   no state, so a newer version of the payment counts as an answer.

use shared::{clock::Timestamp, retry};

use crate::domain::{
    actions::{AddressChange, Cancellation, Shipment},
    command::PendingCommand,
    destination::keeps_price,
    history::{HistoryEntry, NewEntry, SHIPPING_ADDRESS_CHANGED, WAITING},
    order::Order,
    progress::Progress,
    schedule::{Timing, Unanswered},
    state::{Goal, PaymentState, Status, StockState},
};

/// Scheduled checks without progress after which an order is stuck, even if every command was
/// answered.
const CHECKS_WITHOUT_PROGRESS: u32 = 5;

/// Maximum number of changes of the shipping address. Each one adds to the history and sends a
/// mail.
const MAX_ADDRESS_CHANGES: usize = 10;

/// Why an order rejects an event. `current` is its public status, and `allowed` lists the
/// transitions that are possible now.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// The transition is not allowed from the present state.
    #[error("transition not allowed from status {current}")]
    InvalidTransition { current: String, allowed: Vec<&'static str> },
    /// The order can no longer be cancelled.
    #[error("order with status {current} cannot be cancelled")]
    NotCancellable { current: String, allowed: Vec<&'static str> },
    /// The order has no shipping address.
    #[error("order has no shipping address")]
    NoShippingAddress { current: String, allowed: Vec<&'static str> },
    /// The order would have another price at the new address.
    #[error("price of the order depends on its destination")]
    PriceWouldChange,
    /// The address was changed too often.
    #[error("shipping address was changed {maximum} times")]
    TooManyAddressChanges { maximum: usize },
    /// A later release wrote a state that this one does not know. This release must not change the
    /// order.
    #[error("order is in a state of a later release")]
    UnknownState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Inventory,
    Payments,
    ScheduledCheck,
    Person,
}

/// The wait for the answer to an overdue command.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Wait {
    command: &'static str,
    since: Timestamp,
    is_for_stock: bool,
}

// Actions of people.
impl Order {
    /// Cancels the order, in any state before shipment. Stock and payment are compensated
    /// independently.
    pub(super) fn cancel(
        &mut self,
        cancellation: &Cancellation,
    ) -> Result<Vec<NewEntry>, Rejection> {
        match (&self.progress.goal, &self.progress.status) {
            (Goal::Fulfil, Status::Pending | Status::Confirmed) => {
                self.progress.compensate(Goal::Cancel, "cancelled");
                self.progress.cancellation = Some(cancellation.clone());
                Ok(vec![NewEntry::new("cancel_requested").by(&cancellation.by)])
            }
            (Goal::Fulfil, _) | (_, Status::Failed) => Err(Rejection::NotCancellable {
                current: self.progress.status.name().to_owned(),
                allowed: self.allowed_actions(),
            }),
            // The order is already cancelled, or is being cancelled.
            _ => Ok(Vec::new()),
        }
    }

    pub(super) fn ship(&mut self, shipment: &Shipment) -> Result<Vec<NewEntry>, Rejection> {
        if self.progress.status == Status::Shipped
            && self.progress.shipment.as_ref() == Some(shipment)
        {
            return Ok(Vec::new());
        }
        let (current, allowed) = (self.progress.status.name().to_owned(), self.allowed_actions());
        if !self.is_ready_to_ship() {
            return Err(Rejection::InvalidTransition { current, allowed });
        }
        if self.customer.shipping_address.is_none() {
            return Err(Rejection::NoShippingAddress { current, allowed });
        }
        self.progress.status = Status::Shipped;
        self.progress.shipment = Some(shipment.clone());
        Ok(vec![NewEntry::new("shipped").detail(Some(shipment.carrier.clone().into()))])
    }

    /// Marks the order as delivered: once it has shipped, or if nothing is shipped, once its stock
    /// is committed.
    pub(super) fn deliver(&mut self) -> Result<Vec<NewEntry>, Rejection> {
        match self.progress.status {
            _ if self.can_be_delivered() => {
                self.progress.status = Status::Delivered;
                Ok(vec![NewEntry::new("delivered")])
            }
            Status::Delivered => Ok(Vec::new()),
            _ => Err(Rejection::InvalidTransition {
                current: self.progress.status.name().to_owned(),
                allowed: self.allowed_actions(),
            }),
        }
    }

    /// Changes the shipping address of an order that has not shipped, if its price stays the same.
    /// A change to the present address changes nothing. An order that ships nothing rejects a
    /// change: its address may decide its price, and has no other use.
    pub(super) fn change_address(
        &mut self,
        change: &AddressChange,
    ) -> Result<Vec<NewEntry>, Rejection> {
        let open = self.progress.goal == Goal::Fulfil
            && matches!(self.progress.status, Status::Pending | Status::Confirmed);
        if !open || !self.placed.requires_shipping() {
            return Err(Rejection::InvalidTransition {
                current: self.progress.status.name().to_owned(),
                allowed: self.allowed_actions(),
            });
        }
        let before = self.customer.shipping_address.as_ref();
        if before == Some(&change.shipping_address) {
            return Ok(Vec::new());
        }
        if !keeps_price(self.placed.price.as_ref(), before, &change.shipping_address) {
            return Err(Rejection::PriceWouldChange);
        }
        if self.progress.address_changes() >= MAX_ADDRESS_CHANGES {
            return Err(Rejection::TooManyAddressChanges { maximum: MAX_ADDRESS_CHANGES });
        }
        self.customer.shipping_address = Some(change.shipping_address.clone());
        Ok(vec![NewEntry::new(SHIPPING_ADDRESS_CHANGED).by(&change.by)])
    }

    /// The actions that people may take now.
    fn allowed_actions(&self) -> Vec<&'static str> {
        match (&self.progress.goal, &self.progress.status) {
            (Goal::Fulfil, Status::Confirmed)
                if self.is_ready_to_ship() && self.customer.shipping_address.is_some() =>
            {
                vec!["cancel", "ship"]
            }
            (Goal::Fulfil, Status::Confirmed) if self.can_be_delivered() => {
                vec!["cancel", "deliver"]
            }
            (Goal::Fulfil, Status::Pending | Status::Confirmed) => vec!["cancel"],
            (Goal::Fulfil, Status::Shipped) => vec!["deliver"],
            _ => vec![],
        }
    }

    /// Whether the order may ship: something is shipped, it is paid, and its stock is reserved. The
    /// commit may be pending: only a cancellation releases the stock, and a shipped order rejects a
    /// cancellation.
    fn is_ready_to_ship(&self) -> bool {
        self.is_paid_and_confirmed()
            && self.placed.requires_shipping()
            && matches!(self.progress.stock, StockState::Committing | StockState::Committed)
    }

    /// Whether the order may be delivered: it has shipped, or nothing is shipped and its stock is
    /// committed. `delivered` is final, and no parcel is packed while the stock commits, so an
    /// order that ships nothing waits until it is settled.
    fn can_be_delivered(&self) -> bool {
        let is_ready_without_shipment = self.is_paid_and_confirmed()
            && !self.placed.requires_shipping()
            && self.progress.stock == StockState::Committed;
        self.progress.status == Status::Shipped || is_ready_without_shipment
    }

    /// A partially refunded order is still `Paid`.
    fn is_paid_and_confirmed(&self) -> bool {
        let Progress { status, goal, payment, .. } = &self.progress;
        (goal, status, payment) == (&Goal::Fulfil, &Status::Confirmed, &PaymentState::Paid)
    }
}

// Deadlines and scheduled checks.
impl Order {
    /// Cancels an order that is past its payment deadline and not paid.
    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<NewEntry> {
        let overdue = now >= self.placed.expires_at
            && self.progress.goal == Goal::Fulfil
            && self.progress.status == Status::Pending;
        // A paid order that still waits for its stock does not expire.
        if !overdue || self.progress.payment == PaymentState::Paid {
            return Vec::new();
        }
        // A free order waits only for its stock.
        let is_free = self.placed.is_free();
        let reason = if is_free { "not_reserved_in_time" } else { "not_paid_in_time" };
        self.progress.compensate(Goal::Cancel, reason);
        vec![NewEntry::new("expired")]
    }

    /// Starts a new attempt, which makes the table's stream publish the pending commands again.
    pub(super) fn resend_commands(&mut self) -> Vec<NewEntry> {
        if !self.progress.is_idle() {
            self.schedule.attempt += 1;
        }
        Vec::new()
    }

    /// Schedules the next check. `moved` means that the state changed, `checked` that a scheduled
    /// check caused the change. The check moves only if it must, because each move rewrites the
    /// index of due orders:
    ///
    /// - An order that waits for its buyer is checked at its payment deadline.
    /// - A check without progress schedules the next one with exponential backoff.
    /// - Any other change keeps a check that is early enough. The first check of a command
    ///   therefore comes at most one delay after the command. An overdue order stays due until the
    ///   next sweep.
    ///
    /// An unpaid order is checked no later than its payment deadline.
    pub(super) fn schedule_next_check(
        &mut self,
        moved: bool,
        checked: bool,
        now: Timestamp,
        timing: Timing,
    ) {
        let (progress, schedule, expires_at) =
            (&self.progress, &mut self.schedule, self.placed.expires_at);
        if progress.is_idle() {
            schedule.next_check_at = None;
            schedule.retries = 0;
            return;
        }
        if moved {
            schedule.retries = 0;
        } else if checked {
            schedule.retries += 1;
        }
        if progress.awaits_buyer() && now < expires_at {
            schedule.next_check_at = Some(expires_at);
            return;
        }
        let latest = now.plus(retry::exponential_backoff(schedule.retries, timing.first_retry));
        let is_unpaid = progress.goal == Goal::Fulfil
            && progress.status == Status::Pending
            && progress.payment != PaymentState::Paid;
        let latest = if is_unpaid && now < expires_at { latest.min(expires_at) } else { latest };
        let planned = schedule.next_check_at.filter(|planned| !checked && *planned <= latest);
        schedule.next_check_at = Some(planned.unwrap_or(latest));
    }

    /// Whether the order is stuck: a command had no answer at its second scheduled check, or five
    /// checks passed without progress although every command was answered. An order that waits for
    /// its buyer is not stuck.
    pub fn is_stuck(&self) -> bool {
        let idle = self.progress.is_idle() || self.progress.awaits_buyer();
        self.overdue_commands().next().is_some()
            || !idle && self.schedule.retries >= CHECKS_WITHOUT_PROGRESS
    }

    /// The time of the last progress of an order that waits for inventory or payments. `None` if no
    /// command is pending, or if the order waits for its buyer.
    pub fn waits_since(&self) -> Option<Timestamp> {
        let is_waiting = !self.progress.is_idle() && !self.progress.awaits_buyer();
        let is_progress =
            |entry: &&HistoryEntry| ![WAITING, SHIPPING_ADDRESS_CHANGED].contains(&&*entry.event);
        let last = self.progress.history.iter().rfind(is_progress);
        is_waiting.then(|| last.map_or(self.placed.created_at, |entry| entry.at))
    }

    /// The commands that had no answer at their second scheduled check, each with the start of its
    /// wait.
    pub fn overdue_commands(&self) -> impl Iterator<Item = (PendingCommand, Timestamp)> {
        self.progress.pending_commands().into_iter().filter_map(move |command| {
            let unanswered = if command.is_for_stock() {
                self.schedule.stock_unanswered
            } else {
                self.schedule.payment_unanswered
            };
            unanswered.filter(Unanswered::is_overdue).map(|unanswered| (command, unanswered.since))
        })
    }

    /// Updates the waits for answers after the change from `before`.
    pub(super) fn track_answers(&mut self, before: &Progress, source: Source, now: Timestamp) {
        let (progress, pending) = (&self.progress, self.progress.pending_commands());
        let stock_answered = source == Source::Inventory && progress.stock != before.stock;
        let payment_moved =
            progress.payment != before.payment || progress.payment_version > before.payment_version;
        let payment_answered = source == Source::Payments && payment_moved;
        let next = |is_pending: bool, is_answered: bool, unanswered: Option<Unanswered>| {
            match unanswered {
                _ if !is_pending => None,
                Some(unanswered) if !is_answered => Some(Unanswered {
                    checks: unanswered.checks + u32::from(source == Source::ScheduledCheck),
                    ..unanswered
                }),
                _ => Some(Unanswered::since(now)),
            }
        };
        let stock_pending = pending.iter().any(|command| command.is_for_stock());
        let payment_pending =
            pending.iter().any(|command| !command.is_for_stock()) && !progress.awaits_buyer();
        self.schedule.stock_unanswered =
            next(stock_pending, stock_answered, self.schedule.stock_unanswered);
        self.schedule.payment_unanswered =
            next(payment_pending, payment_answered, self.schedule.payment_unanswered);
    }

    /// Records overdue commands and their answers in the history: one entry per wait, even if the
    /// command is sent several times. Returns whether the history changed.
    pub(super) fn record_waiting(&mut self, now: Timestamp) -> bool {
        let has_method = self.customer.payment_method.is_some();
        let wait = |(command, since): (PendingCommand, Timestamp)| Wait {
            command: command.name(has_method),
            since,
            is_for_stock: command.is_for_stock(),
        };
        let waits: Vec<Wait> = self.overdue_commands().map(wait).collect();
        let mut changed = false;
        for is_for_stock in [true, false] {
            let wait = waits.iter().find(|wait| wait.is_for_stock == is_for_stock);
            changed |= self.progress.record_wait(is_for_stock, wait, now);
        }
        changed
    }
}

// Goal, status and commands of the whole order.
impl Progress {
    /// The commands that other services have to process in the present state.
    pub fn pending_commands(&self) -> Vec<PendingCommand> {
        self.pending_stock_command().into_iter().chain(self.pending_payment_command()).collect()
    }

    /// Whether stock and payment have reached the goal, so the order needs no more checks.
    pub fn is_settled(&self) -> bool {
        match self.goal {
            Goal::Fulfil => {
                self.stock == StockState::Committed
                    && matches!(self.payment, PaymentState::Paid | PaymentState::Refunded)
            }
            _ => {
                self.has_released_stock()
                    && matches!(self.payment, PaymentState::Closed | PaymentState::Refunded)
            }
        }
    }

    /// Whether no command is pending: the order is settled, or only an operator can refund it.
    pub fn is_idle(&self) -> bool {
        let is_refused = self.goal != Goal::Fulfil && self.payment == PaymentState::RefundRefused;
        self.is_settled() || is_refused && self.has_released_stock()
    }

    /// How often the shipping address was changed.
    pub fn address_changes(&self) -> usize {
        self.history.iter().filter(|entry| entry.event == SHIPPING_ADDRESS_CHANGED).count()
    }

    /// Confirms the order: its stock is reserved and its payment captured, or nothing is due. It
    /// can ship.
    pub(super) fn confirm(&mut self) {
        self.status = Status::Confirmed;
        self.stock = StockState::Committing;
    }

    /// Starts the compensation: stock and payment are compensated independently.
    pub(super) fn compensate(&mut self, goal: Goal, reason: &str) {
        self.goal = goal;
        self.reason = Some(reason.to_owned());
        self.compensate_stock();
        self.compensate_payment();
    }

    /// Sets the status `cancelled` or `failed` once stock and payment are both compensated.
    pub(super) fn finalize(&mut self) {
        let open = matches!(self.status, Status::Pending | Status::Confirmed);
        if open && self.is_settled() {
            match self.goal {
                Goal::Cancel => self.status = Status::Cancelled,
                Goal::Fail => self.status = Status::Failed,
                _ => {}
            }
        }
    }

    /// The history entries for changes of the whole order since `before`.
    pub(super) fn status_entries(&self, before: &Self) -> Vec<NewEntry> {
        let mut entries = Vec::new();
        let became = |status: Status| before.status != status && self.status == status;
        if became(Status::Confirmed) {
            entries.push(NewEntry::new("confirmed"));
        }
        if before.payment != PaymentState::Refunding && self.payment == PaymentState::Refunding {
            let amount = self.captured_total - self.returned_total();
            entries.push(
                NewEntry::new("refund_started").payment(self.payment_id.as_ref()).amount(amount),
            );
        }
        for (status, event) in [(Status::Cancelled, "cancelled"), (Status::Failed, "failed")] {
            if became(status) {
                entries.push(NewEntry::new(event).detail(self.reason.clone()));
            }
        }
        entries
    }

    /// Whether the status, the goal or the state of stock or payment changed since `before`.
    pub(super) fn has_moved_since(&self, before: &Self) -> bool {
        (&self.status, &self.goal, &self.stock, &self.payment)
            != (&before.status, &before.goal, &before.stock, &before.payment)
    }

    /// Returns the name and the value of the first state that a later release wrote.
    pub fn unknown_state(&self) -> Option<(&'static str, &str)> {
        if let Status::Unknown(state) = &self.status {
            return Some(("status", state));
        }
        if let Goal::Unknown(state) = &self.goal {
            return Some(("goal", state));
        }
        if let StockState::Unknown(state) = &self.stock {
            return Some(("stock", state));
        }
        if let PaymentState::Unrecognized(state) = &self.payment {
            return Some(("payment", state));
        }
        None
    }

    /// Keeps one history entry per wait: adds it, updates its command, and sets the time of the
    /// answer.
    fn record_wait(&mut self, is_for_stock: bool, wait: Option<&Wait>, now: Timestamp) -> bool {
        let open = self
            .history
            .iter_mut()
            .rfind(|entry| entry.is_open_wait() && entry.is_about_stock() == is_for_stock);
        match (wait, open) {
            (Some(wait), Some(entry)) if entry.since == Some(wait.since) => {
                let is_replaced = entry.pending_command.as_deref() != Some(wait.command);
                entry.pending_command = Some(wait.command.to_owned());
                is_replaced
            }
            (None, None) => false,
            (wait, open) => {
                if let Some(entry) = open {
                    entry.answered_at = Some(now);
                }
                if let Some(wait) = wait {
                    let entry = NewEntry::new(WAITING).at(now, &self.status);
                    self.record([HistoryEntry {
                        pending_command: Some(wait.command.to_owned()),
                        since: Some(wait.since),
                        ..entry
                    }]);
                }
                true
            }
        }
    }
}
