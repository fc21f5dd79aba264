//! The lifecycle of the whole order: its goal, its status and its pending commands.

use crate::domain::{
    command::PendingCommand,
    history::NewEntry,
    progress::Progress,
    state::{Goal, PaymentState, Status, StockState},
};

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
}
