//! Account events and what each of them ends: links, address changes, sessions and tokens.
//!
//! [`effect`] is the table. [`super::User`] applies it and has no other rules. `+` survives, `-`
//! ends, `o` ends except for the session that made the request. A blank cell cannot occur.
//!
//! | | again | verified | reset | password | requested | changed | withdrawn | disabled | enabled | deleted | role |
//! |---|---|---|---|---|---|---|---|---|---|---|---|
//! | verification of the registered address | + | - | - | + | - |   | - | + | + | - | + |
//! | email change                           | + |   | - | - | - | - | - | - |   | - | - |
//! | password reset                         | + | + | - | - | + | - | - | - |   | - | + |
//! | sessions                               | + | + | - | o | + | + | - | - | - | - | + |
//! | access tokens                          | + | + | - | o | + | - | - | - | - | - | - |
//! | device tokens                          | + | + | - | - | + | - | - | - | - | - | + |
//! | withdraw link, address verified        | + |   | + | + | + | + | - | + | + | - | + |
//! | withdraw link, address never verified  | + | + | + | + | + | - | - | + | + | - | + |
//!
//! The columns are the variants of [`AccountEvent`] in their order. The reasons:
//!
//! - *again*: registering a registered address is rejected and changes nothing. Otherwise a
//!   stranger could cancel what the owner started.
//! - *reset*: a reader of the mailbox counts as the owner. Everything that an attacker started
//!   before ends. The reset verifies the registered address.
//! - *password*: the same for a logged-in owner, whose requesting session continues. The link that
//!   verifies the registered address leads only to that mailbox, so it stays.
//! - *requested*: at most one address change is pending. A reset stays: its link is in the owner's
//!   mailbox, and an attacker must not be able to cancel it.
//! - *changed*: the reset link is in the mailbox of the previous address, which is not the login
//!   any more. Access tokens contain the address, and device tokens are bound to it. Sessions stay,
//!   because the change was requested with the password.
//! - *withdrawn*: another person may know the password, so everything ends. The mail advises to
//!   reset the password.
//! - *disabled*: an account that is enabled again has no sessions and no pending changes. The two
//!   links that lead only to the account's mailboxes stay.
//! - *role*: the role is granted to the person at the current address, so a pending address must
//!   not inherit it. Access tokens contain the role.
//! - The withdraw link only revokes: it ends sessions and returns the login to the mailbox that had
//!   it before. An attacker with the password must not be able to cancel it. So only its use, its
//!   expiry and the deletion of the account end it. If the previous address was never verified, its
//!   ownership is unproven, and the link ends when the address changes.

/// Something that an account has pending or has issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocable {
    /// Link that verifies the registered address.
    EmailVerification,
    /// A requested address that is not yet verified.
    EmailChange,
    /// Link that sets a new password.
    PasswordReset,
    Sessions,
    AccessTokens,
    DeviceTokens,
    /// Link that withdraws an address change, sent to a verified address.
    WithdrawLink,
    /// Link that withdraws an address change, sent to an address that was never verified.
    UnverifiedWithdrawLink,
}

/// Something that happens to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountEvent {
    /// A registration uses the address of this account.
    RegisteredAgain,
    /// The user follows the link to the registered address.
    EmailVerified,
    /// A reset sets a new password.
    PasswordReset,
    /// The user changes the password.
    PasswordChanged,
    /// The user requests another address.
    EmailChangeRequested,
    /// The user follows the link to the requested address, and the login moves there.
    EmailChanged,
    /// The owner of the previous address withdraws the change.
    EmailChangeWithdrawn,
    Disabled,
    Enabled,
    Deleted,
    /// An admin or an operator changes the role.
    RoleChanged,
}

/// Effect of an event on something revocable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Kept,
    Revoked,
    /// It ends, except for the session that made the request.
    RevokedElsewhere,
    /// The account cannot have it when this event happens.
    NotApplicable,
}

impl Revocable {
    /// All variants, in the order of the table.
    pub const ALL: [Self; 8] = [
        Self::EmailVerification,
        Self::EmailChange,
        Self::PasswordReset,
        Self::Sessions,
        Self::AccessTokens,
        Self::DeviceTokens,
        Self::WithdrawLink,
        Self::UnverifiedWithdrawLink,
    ];
}

impl AccountEvent {
    /// All variants, in the order of the table.
    pub const ALL: [Self; 11] = [
        Self::RegisteredAgain,
        Self::EmailVerified,
        Self::PasswordReset,
        Self::PasswordChanged,
        Self::EmailChangeRequested,
        Self::EmailChanged,
        Self::EmailChangeWithdrawn,
        Self::Disabled,
        Self::Enabled,
        Self::Deleted,
        Self::RoleChanged,
    ];
}

/// Returns the effect of `event` on `revocable`. There is no wildcard: a new event does not compile
/// without a cell for every revocable.
pub const fn effect(revocable: Revocable, event: AccountEvent) -> Effect {
    use Effect::{Kept, NotApplicable, Revoked, RevokedElsewhere};
    let [verification, change, reset, sessions, access, device, withdraw, unverified] = match event
    {
        AccountEvent::RegisteredAgain => [Kept, Kept, Kept, Kept, Kept, Kept, Kept, Kept],
        AccountEvent::EmailVerified => {
            [Revoked, NotApplicable, Kept, Kept, Kept, Kept, NotApplicable, Kept]
        }
        AccountEvent::PasswordReset => {
            [Revoked, Revoked, Revoked, Revoked, Revoked, Revoked, Kept, Kept]
        }
        AccountEvent::PasswordChanged => {
            [Kept, Revoked, Revoked, RevokedElsewhere, RevokedElsewhere, Revoked, Kept, Kept]
        }
        AccountEvent::EmailChangeRequested => {
            [Revoked, Revoked, Kept, Kept, Kept, Kept, Kept, Kept]
        }
        AccountEvent::EmailChanged => {
            [NotApplicable, Revoked, Revoked, Kept, Revoked, Revoked, Kept, Revoked]
        }
        AccountEvent::EmailChangeWithdrawn => {
            [Revoked, Revoked, Revoked, Revoked, Revoked, Revoked, Revoked, Revoked]
        }
        AccountEvent::Disabled => [Kept, Revoked, Revoked, Revoked, Revoked, Revoked, Kept, Kept],
        AccountEvent::Enabled => {
            [Kept, NotApplicable, NotApplicable, Revoked, Revoked, Revoked, Kept, Kept]
        }
        AccountEvent::Deleted => {
            [Revoked, Revoked, Revoked, Revoked, Revoked, Revoked, Revoked, Revoked]
        }
        AccountEvent::RoleChanged => [Kept, Revoked, Kept, Kept, Revoked, Kept, Kept, Kept],
    };
    match revocable {
        Revocable::EmailVerification => verification,
        Revocable::EmailChange => change,
        Revocable::PasswordReset => reset,
        Revocable::Sessions => sessions,
        Revocable::AccessTokens => access,
        Revocable::DeviceTokens => device,
        Revocable::WithdrawLink => withdraw,
        Revocable::UnverifiedWithdrawLink => unverified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the position in `ALL`. A new variant does not compile before it has one.
    fn position_of_revocable(revocable: Revocable) -> usize {
        match revocable {
            Revocable::EmailVerification => 0,
            Revocable::EmailChange => 1,
            Revocable::PasswordReset => 2,
            Revocable::Sessions => 3,
            Revocable::AccessTokens => 4,
            Revocable::DeviceTokens => 5,
            Revocable::WithdrawLink => 6,
            Revocable::UnverifiedWithdrawLink => 7,
        }
    }

    fn position_of_event(event: AccountEvent) -> usize {
        match event {
            AccountEvent::RegisteredAgain => 0,
            AccountEvent::EmailVerified => 1,
            AccountEvent::PasswordReset => 2,
            AccountEvent::PasswordChanged => 3,
            AccountEvent::EmailChangeRequested => 4,
            AccountEvent::EmailChanged => 5,
            AccountEvent::EmailChangeWithdrawn => 6,
            AccountEvent::Disabled => 7,
            AccountEvent::Enabled => 8,
            AccountEvent::Deleted => 9,
            AccountEvent::RoleChanged => 10,
        }
    }

    #[test]
    fn all_lists_hold_every_variant_in_order() {
        assert!(
            Revocable::ALL
                .iter()
                .enumerate()
                .all(|(position, revocable)| position_of_revocable(*revocable) == position)
        );
        assert!(
            AccountEvent::ALL
                .iter()
                .enumerate()
                .all(|(position, event)| position_of_event(*event) == position)
        );
    }

    #[test]
    fn documented_table_matches_the_code() {
        let rows: Vec<&str> = include_str!("invalidation.rs")
            .lines()
            .filter(|line| line.starts_with("//! | "))
            .skip(1)
            .collect();
        assert_eq!(rows.len(), Revocable::ALL.len());
        for (row, revocable) in rows.into_iter().zip(Revocable::ALL) {
            let cells: Vec<&str> =
                row.trim_end_matches('|').split('|').skip(2).map(str::trim).collect();
            let expected = AccountEvent::ALL.map(|event| match effect(revocable, event) {
                Effect::Kept => "+",
                Effect::Revoked => "-",
                Effect::RevokedElsewhere => "o",
                Effect::NotApplicable => "",
            });
            assert_eq!(cells, expected, "{revocable:?}");
        }
    }
}
