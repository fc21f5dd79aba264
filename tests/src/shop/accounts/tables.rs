//! The stored accounts, and the tokens in the links that were sent.

use std::collections::BTreeSet;

use serde_json::Value;
use shared::ids::{UserId, sha256_hex};
use users::domain::User;

use super::super::Shop;

impl Shop {
    /// A profile as stored.
    ///
    /// # Panics
    /// If it does not exist.
    pub async fn user(&self, id: UserId) -> User {
        self.users.store.user(id).await.expect("the table answers").expect("the user exists")
    }

    /// Opens a sealed one-time token from a profile or a message, as the mail shows it.
    ///
    /// # Panics
    /// If it was not sealed for this user.
    pub async fn unseal(&self, sealed: &str, id: UserId) -> String {
        let keys = self.mail_keys().await;
        keys.open(|key| key.open(sealed, &["one-time-token", &id.to_string()]))
            .expect("the token was sealed for this user")
    }

    /// The token of a user's password-reset link.
    ///
    /// # Panics
    /// If there is no pending reset.
    pub async fn reset_token(&self, id: UserId) -> String {
        self.unseal(&self.user(id).await.reset.expect("a reset was requested").sealed_token, id)
            .await
    }

    /// The token of the link that withdraws an address change.
    ///
    /// # Panics
    /// If there is no pending withdrawal.
    pub async fn withdraw_token(&self, id: UserId) -> String {
        self.unseal(
            &self.user(id).await.withdrawal.expect("a change was requested").link.sealed_token,
            id,
        )
        .await
    }

    /// The token of the link that verifies a user's address.
    ///
    /// # Panics
    /// If there is no pending verification.
    pub async fn verification_token(&self, id: UserId) -> String {
        self.unseal(
            &self.user(id).await.verification.expect("a verification is pending").link.sealed_token,
            id,
        )
        .await
    }

    /// Every profile, as stored.
    pub fn profiles(&self) -> Vec<Value> {
        self.of_kind("USER#")
    }

    /// All credentials, as stored.
    pub fn credentials(&self) -> Vec<Value> {
        self.of_kind("EMAIL#")
            .into_iter()
            .filter(|item| item.get("reserved_until").is_none())
            .collect()
    }

    /// Addresses that are reserved for the withdrawal of a change.
    pub fn reservations(&self) -> Vec<Value> {
        self.of_kind("EMAIL#")
            .into_iter()
            .filter(|item| item.get("reserved_until").is_some())
            .collect()
    }

    fn of_kind(&self, prefix: &str) -> Vec<Value> {
        let items = self.aws.items("users").into_iter();
        items
            .filter(|item| item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with(prefix)))
            .collect()
    }

    /// All address books, as stored.
    pub fn address_books(&self) -> Vec<Value> {
        self.of_kind("ADDRESSES#")
    }

    /// Checks that profiles and credentials match one to one, that each address book belongs to a
    /// profile, and that the table has no other items than reservations and the tombstones of
    /// deleted accounts.
    ///
    /// # Panics
    /// If they do not match.
    #[track_caller]
    pub fn check_accounts(&self) {
        const SHARED: [&str; 7] = [
            "user_id",
            "email",
            "full_name",
            "role",
            "is_active",
            "token_version",
            "session_epoch",
        ];
        let said = |items: &[Value]| {
            items
                .iter()
                .map(|item| SHARED.map(|name| item[name].to_string()))
                .collect::<BTreeSet<_>>()
        };
        let (profiles, credentials) = (self.profiles(), self.credentials());
        let (gone, profiles): (Vec<_>, Vec<_>) =
            profiles.into_iter().partition(|item| item.get("deleted_at").is_some());
        assert_eq!(profiles.len(), credentials.len(), "profiles and credentials");
        let kept = self.address_books();
        for item in &kept {
            let owner = item["user_id"]["S"].as_str().unwrap_or_default();
            assert_eq!(item["pk"]["S"], format!("ADDRESSES#{owner}"));
            assert!(
                profiles.iter().any(|profile| profile["user_id"] == item["user_id"]),
                "{owner}"
            );
        }
        let all = gone.len() + profiles.len() + credentials.len();
        let all = all + self.reservations().len() + kept.len();
        assert_eq!(all, self.aws.items("users").len(), "the table has no other items");
        for item in &credentials {
            let email = item["email"]["S"].as_str().unwrap_or_default();
            assert_eq!(item["pk"]["S"], format!("EMAIL#{}", sha256_hex(email)));
        }
        for item in profiles.iter().chain(&gone) {
            assert_eq!(
                item["pk"]["S"],
                format!("USER#{}", item["user_id"]["S"].as_str().unwrap_or_default())
            );
        }
        assert_eq!(said(&profiles), said(&credentials));
    }

    /// Changes an attribute of the first profile directly in the table.
    ///
    /// # Panics
    /// If there is no profile.
    pub fn set_in_profile(&self, attribute: &str, value: Value) {
        let mut profile = self.profiles().remove(0);
        profile[attribute] = value;
        self.aws.put("users", &profile);
    }
}
