//! Every revocable item is tested against every account event, through the operations. The outcome
//! is the one in the domain's decision table.

use serde_json::json;
use shared::ids::{Ids, UserId};
use tests::shop::{
    Shop,
    accounts::{ADA, PASSWORD, Session},
};
use users::{
    domain::invalidation::{AccountEvent, Effect, Revocable, effect},
    tokens::device::{DeviceToken, DeviceTokenKey},
};

const NEW: &str = "countess@example.com";
const OTHER: &str = "lady@example.com";
const NEW_PASSWORD: &str = "another horse, another battery";

/// An account with one revocable item.
struct Account {
    shop: Shop,
    admin: Session,
    id: UserId,
    /// The session that makes the requests.
    caller: Session,
    password: &'static str,
}

/// A revocable item, as its holder has it.
enum Held {
    Verification(String),
    Reset(String),
    Withdrawal(String),
    Session(Session),
    Access(Session),
    Device(String),
}

impl Account {
    async fn open(revocable: Revocable, event: AccountEvent) -> Self {
        let shop = Shop::open();
        let admin = shop.admin("grace@example.com").await;
        let id = shop.enrol(ADA).await.id;
        let stays_unverified =
            matches!(revocable, Revocable::EmailVerification | Revocable::UnverifiedWithdrawLink)
                || event == AccountEvent::EmailVerified;
        if !stays_unverified {
            assert_eq!(shop.verify_email(&shop.verification_token(id).await).await.status(), 204);
        }
        let caller = shop.enter(id).await;
        let account = Self { shop, admin, id, caller, password: PASSWORD };
        if matches!(event, AccountEvent::EmailChanged | AccountEvent::EmailChangeWithdrawn) {
            account.ask(NEW).await;
        }
        account
    }

    async fn ask(&self, email: &str) {
        assert_eq!(self.shop.ask_for_address(&self.caller, email).await.status(), 200);
    }

    /// Sends the verification link of the registered address again if another one has replaced it.
    async fn restore_verification(&self) {
        if self.shop.user(self.id).await.verification.is_none_or(|waiting| waiting.email != ADA) {
            assert_eq!(self.shop.edit(&self.caller, &json!({ "email": ADA })).await.status(), 200);
        }
    }

    async fn hold(&self, revocable: Revocable) -> Held {
        let shop = &self.shop;
        match revocable {
            Revocable::EmailVerification => {
                self.restore_verification().await;
                Held::Verification(shop.verification_token(self.id).await)
            }
            Revocable::EmailChange => {
                self.ask(NEW).await;
                Held::Verification(shop.verification_token(self.id).await)
            }
            Revocable::PasswordReset => {
                assert_eq!(shop.request_reset(ADA).await.status(), 202);
                Held::Reset(shop.reset_token(self.id).await)
            }
            Revocable::Sessions => Held::Session(shop.enter(self.id).await),
            Revocable::AccessTokens => Held::Access(shop.enter(self.id).await),
            Revocable::DeviceTokens => {
                let key = shop
                    .users
                    .secrets
                    .keys("users-key")
                    .await
                    .unwrap()
                    .derive("device-token")
                    .map(DeviceTokenKey::new);
                let user = shop.user(self.id).await;
                Held::Device(
                    DeviceToken::issue(
                        &user.email,
                        user.id,
                        user.session_epoch,
                        &Ids::System,
                        shop.clock.now(),
                    )
                    .text(key.active()),
                )
            }
            Revocable::WithdrawLink | Revocable::UnverifiedWithdrawLink => {
                self.ask(NEW).await;
                Held::Withdrawal(shop.withdraw_token(self.id).await)
            }
        }
    }

    async fn set_active(&self, is_active: bool) {
        assert_eq!(self.shop.set_active(&self.admin, self.id, is_active).await.status(), 200);
    }

    async fn happen(&mut self, event: AccountEvent) {
        let shop = &self.shop;
        let status = match event {
            AccountEvent::RegisteredAgain => {
                return assert_eq!(shop.register(ADA).await.status(), 409);
            }
            AccountEvent::EmailVerified => {
                self.restore_verification().await;
                shop.verify_email(&shop.verification_token(self.id).await).await.status()
            }
            AccountEvent::PasswordReset => {
                assert_eq!(shop.request_reset(ADA).await.status(), 202);
                self.password = NEW_PASSWORD;
                shop.confirm_reset(&shop.reset_token(self.id).await, NEW_PASSWORD).await.status()
            }
            AccountEvent::PasswordChanged => {
                self.password = NEW_PASSWORD;
                shop.change_password(&self.caller, PASSWORD, NEW_PASSWORD).await.status()
            }
            AccountEvent::EmailChangeRequested => return self.ask(OTHER).await,
            AccountEvent::EmailChanged => {
                shop.verify_email(&shop.verification_token(self.id).await).await.status()
            }
            AccountEvent::EmailChangeWithdrawn => {
                shop.withdraw(&shop.withdraw_token(self.id).await).await.status()
            }
            AccountEvent::Disabled => return self.set_active(false).await,
            AccountEvent::Enabled => return self.set_active(true).await,
            AccountEvent::Deleted => shop.delete_me(&self.caller).await.status(),
            AccountEvent::RoleChanged => {
                let changed =
                    shop.administer(&self.admin, self.id, &json!({ "role": "admin" })).await;
                return assert_eq!(changed.status(), 200);
            }
        };
        assert_eq!(status, 204, "{event:?}");
    }

    /// Whether the item still works.
    async fn works(&self, held: &Held) -> bool {
        let shop = &self.shop;
        match held {
            Held::Verification(token) => shop.verify_email(token).await.status() == 204,
            Held::Reset(token) => {
                shop.confirm_reset(token, "yet another horse").await.status() == 204
            }
            Held::Withdrawal(token) => shop.withdraw(token).await.status() == 204,
            Held::Session(session) => shop.refresh(&session.refresh_token).await.status() == 200,
            Held::Access(session) => shop.authorize(&session.access_token).await.answer.is_ok(),
            Held::Device(token) => {
                let address = shop
                    .users
                    .store
                    .user(self.id)
                    .await
                    .unwrap()
                    .map_or(ADA.to_owned(), |user| user.email);
                let login =
                    shop.login_from("192.0.2.1", Some(token), &address, self.password).await;
                login.status() == 200 && login.header("x-device-token").is_none()
            }
        }
    }
}

#[tokio::test]
async fn every_event_revokes_items_as_in_the_decision_table() {
    let mut met = 0;
    for event in AccountEvent::ALL {
        for revocable in Revocable::ALL {
            let expected = effect(revocable, event);
            if expected == Effect::NotApplicable {
                continue;
            }
            let mut account = Account::open(revocable, event).await;
            let is_link = matches!(
                revocable,
                Revocable::EmailVerification
                    | Revocable::WithdrawLink
                    | Revocable::UnverifiedWithdrawLink
            );
            // Disabling revokes these items, so they are acquired afterwards.
            let held = if event == AccountEvent::Enabled && !is_link {
                account.set_active(false).await;
                account.hold(revocable).await
            } else {
                let held = account.hold(revocable).await;
                if event == AccountEvent::Enabled {
                    account.set_active(false).await;
                }
                held
            };
            account.happen(event).await;
            if event == AccountEvent::Disabled {
                account.set_active(true).await;
            }
            let caller = Held::Access(account.caller.clone());
            if expected == Effect::RevokedElsewhere {
                assert!(
                    account.works(&caller).await,
                    "{revocable:?} x {event:?}: the caller's session"
                );
            }
            assert_eq!(
                account.works(&held).await,
                expected == Effect::Kept,
                "{revocable:?} x {event:?}"
            );
            account.shop.check_accounts();
            met += 1;
        }
    }
    assert_eq!(met, AccountEvent::ALL.len() * Revocable::ALL.len() - 5);
}
