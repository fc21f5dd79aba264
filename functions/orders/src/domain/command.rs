//! What an order asks of inventory and payments.

/// A command that an order needs another service to carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PendingCommand {
    /// Hold the stock.
    ReserveStock,
    /// Decrement the on-hand stock by what is held.
    CommitStock,
    /// Release the stock.
    ReleaseStock,
    /// Open the payment, and charge it at once if a method was given with the order.
    OpenPayment,
    /// Close the payment: no charge may start any more.
    CancelPayment,
    /// Refund the money.
    RefundPayment,
}

impl PendingCommand {
    /// The name of the command, as the history shows it. `has_method`: the order is charged without
    /// a request of the buyer.
    pub fn name(self, has_method: bool) -> &'static str {
        match self {
            Self::ReserveStock => "reserve_stock",
            Self::CommitStock => "commit_stock",
            Self::ReleaseStock => "release_stock",
            Self::OpenPayment if has_method => "charge_payment",
            Self::OpenPayment => "open_payment",
            Self::CancelPayment => "cancel_payment",
            Self::RefundPayment => "refund_payment",
        }
    }

    /// Whether inventory answers it; otherwise payments does.
    pub(super) fn is_for_stock(self) -> bool {
        matches!(self, Self::ReserveStock | Self::CommitStock | Self::ReleaseStock)
    }
}
