//! Everything pending meets every event, through the operations: what the table of the domain says is what happens.

use serde_json::json;
use shared::ids::{Ids, UserId};
use tests::shop::{
    Shop,
    accounts::{ADA, PASSWORD, Session},
};
use users::{
    domain::survival::{Event, Fate, Pending, fate},
    tokens::device::{DeviceToken, DeviceTokenKey},
};

const NEW: &str = "countess@example.com";
const OTHER: &str = "lady@example.com";
const NEW_PASSWORD: &str = "another horse, another battery";

/// One account in which something is pending.
struct Account {
    shop: Shop,
    admin: Session,
    id: UserId,
    /// The session that makes requests.
    caller: Session,
    password: &'static str,
}

/// Something pending, as its holder has it.
enum Held {
    Verification(String),
    Reset(String),
    Withdrawal(String),
    Session(Session),
    Access(Session),
    Device(String),
}

impl Account {
    async fn open(pending: Pending, event: Event) -> Self {
        let shop = Shop::open();
        let admin = shop.admin("grace@example.com").await;
        let id = shop.enrol(ADA).await.id;
        let stays_unverified =
            matches!(pending, Pending::Verification | Pending::UnverifiedWithdrawLink) || event == Event::AddressVerified;
        if !stays_unverified {
            assert_eq!(shop.verify_email(&shop.verification_token(id).await).await.status(), 204);
        }
        let caller = shop.enter(id).await;
        let account = Self { shop, admin, id, caller, password: PASSWORD };
        if matches!(event, Event::AddressMoved | Event::ChangeWithdrawn) {
            account.ask(NEW).await;
        }
        account
    }

    async fn ask(&self, email: &str) {
        assert_eq!(self.shop.ask_for_address(&self.caller, email).await.status(), 200);
    }

    /// Sends the link to the registered address again, if another one has taken its place.
    async fn restore_verification(&self) {
        if self.shop.user(self.id).await.verification.is_none_or(|waiting| waiting.email != ADA) {
            assert_eq!(self.shop.edit(&self.caller, &json!({ "email": ADA })).await.status(), 200);
        }
    }

    async fn hold(&self, pending: Pending) -> Held {
        let shop = &self.shop;
        match pending {
            Pending::Verification => {
                self.restore_verification().await;
                Held::Verification(shop.verification_token(self.id).await)
            }
            Pending::AddressChange => {
                self.ask(NEW).await;
                Held::Verification(shop.verification_token(self.id).await)
            }
            Pending::PasswordReset => {
                assert_eq!(shop.request_reset(ADA).await.status(), 202);
                Held::Reset(shop.reset_token(self.id).await)
            }
            Pending::Sessions => Held::Session(shop.enter(self.id).await),
            Pending::AccessTokens => Held::Access(shop.enter(self.id).await),
            Pending::DeviceTokens => {
                let key = shop.users.secrets.keys("users-key").await.unwrap().derive("device-token").map(DeviceTokenKey::new);
                let user = shop.user(self.id).await;
                Held::Device(
                    DeviceToken::issue(&user.email, user.id, user.session_epoch, &Ids::System, shop.clock.now()).text(key.active()),
                )
            }
            Pending::WithdrawLink | Pending::UnverifiedWithdrawLink => {
                self.ask(NEW).await;
                Held::Withdrawal(shop.withdraw_token(self.id).await)
            }
        }
    }

    async fn set_active(&self, is_active: bool) {
        assert_eq!(self.shop.set_active(&self.admin, self.id, is_active).await.status(), 200);
    }

    async fn happen(&mut self, event: Event) {
        let shop = &self.shop;
        let status = match event {
            Event::RegisteredAgain => return assert_eq!(shop.register(ADA).await.status(), 409),
            Event::AddressVerified => {
                self.restore_verification().await;
                shop.verify_email(&shop.verification_token(self.id).await).await.status()
            }
            Event::PasswordReset => {
                assert_eq!(shop.request_reset(ADA).await.status(), 202);
                self.password = NEW_PASSWORD;
                shop.confirm_reset(&shop.reset_token(self.id).await, NEW_PASSWORD).await.status()
            }
            Event::PasswordChanged => {
                self.password = NEW_PASSWORD;
                shop.change_password(&self.caller, PASSWORD, NEW_PASSWORD).await.status()
            }
            Event::AddressChangeAsked => return self.ask(OTHER).await,
            Event::AddressMoved => shop.verify_email(&shop.verification_token(self.id).await).await.status(),
            Event::ChangeWithdrawn => shop.withdraw(&shop.withdraw_token(self.id).await).await.status(),
            Event::Disabled => return self.set_active(false).await,
            Event::Enabled => return self.set_active(true).await,
            Event::Deleted => shop.delete_me(&self.caller).await.status(),
            Event::RoleChanged => {
                let changed = shop.administer(&self.admin, self.id, &json!({ "role": "admin" })).await;
                return assert_eq!(changed.status(), 200);
            }
        };
        assert_eq!(status, 204, "{event:?}");
    }

    /// Whether it still does what it was made for.
    async fn works(&self, held: &Held) -> bool {
        let shop = &self.shop;
        match held {
            Held::Verification(token) => shop.verify_email(token).await.status() == 204,
            Held::Reset(token) => shop.confirm_reset(token, "yet another horse").await.status() == 204,
            Held::Withdrawal(token) => shop.withdraw(token).await.status() == 204,
            Held::Session(session) => shop.refresh(&session.refresh_token).await.status() == 200,
            Held::Access(session) => shop.authorize(&session.access_token).await.answer.is_ok(),
            Held::Device(token) => {
                let address = shop.users.store.user(self.id).await.unwrap().map_or(ADA.to_owned(), |user| user.email);
                let login = shop.login_from("192.0.2.1", Some(token), &address, self.password).await;
                login.status() == 200 && login.header("x-device-token").is_none()
            }
        }
    }
}

#[tokio::test]
async fn every_pending_thing_meets_every_event_as_the_table_says() {
    let mut met = 0;
    for event in Event::ALL {
        for pending in Pending::ALL {
            let expected = fate(pending, event);
            if expected == Fate::Excluded {
                continue;
            }
            let mut account = Account::open(pending, event).await;
            let is_link = matches!(pending, Pending::Verification | Pending::WithdrawLink | Pending::UnverifiedWithdrawLink);
            // What an account loses when it is disabled is acquired afterwards.
            let held = if event == Event::Enabled && !is_link {
                account.set_active(false).await;
                account.hold(pending).await
            } else {
                let held = account.hold(pending).await;
                if event == Event::Enabled {
                    account.set_active(false).await;
                }
                held
            };
            account.happen(event).await;
            if event == Event::Disabled {
                account.set_active(true).await;
            }
            let caller = Held::Access(account.caller.clone());
            if expected == Fate::EndsElsewhere {
                assert!(account.works(&caller).await, "{pending:?} x {event:?}: the caller's session");
            }
            assert_eq!(account.works(&held).await, expected == Fate::Survives, "{pending:?} x {event:?}");
            account.shop.check_accounts();
            met += 1;
        }
    }
    assert_eq!(met, Event::ALL.len() * Pending::ALL.len() - 5);
}
