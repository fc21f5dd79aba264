//! The actions of users on their accounts: register, log in, change and recover them.
//!
//! Password hashing is slow. [`Shop::enrol`] and [`Shop::enter`] write the items of a registration
//! and a login, with a hash that is computed once per test program. [`Shop::register`] and
//! [`Shop::login`] invoke the operations.

mod session;
mod tables;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use aws_config::{SdkConfig, retry::RetryConfig};
use serde_json::{Value, json};
use shared::{
    ids::{Ids, UserId, Uuid},
    seal::SealingKey,
    secret::KeyRing,
    telemetry::Trace,
};
use users::{
    domain::{Email, FullName, Registration, User, Username, VERIFICATION_LIFETIME},
    password_hash::PasswordHasher,
    tokens::{
        access::Claims,
        one_time::OneTimeToken,
        refresh::{RefreshToken, RefreshTokenKey, TokenSubject},
        signing_keys::SigningKeys,
    },
};

pub use self::session::Session;
use super::{Shop, clock, operations, users_over};
use crate::{
    aws::{Aws, Called},
    events,
    harness::Harness,
};

pub const PASSWORD: &str = "correct horse battery staple";
/// The address of the first customer.
pub const ADA: &str = "ada@example.com";
/// The steps of a rotation by Secrets Manager, in order.
pub const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];

/// Shops and instances of the users service.
impl Shop {
    /// A shop where users can log in: it has a signing key, the same in every such shop.
    ///
    /// # Panics
    /// If the key cannot be created.
    pub fn open() -> Self {
        static KEYS: OnceLock<String> = OnceLock::new();
        let keys = || {
            SigningKeys::default()
                .rotated(&Ids::System, clock().now())
                .expect("a key can be made")
                .text()
        };
        let aws = Aws::new();
        aws.secrets_manager().set("signing-key", KEYS.get_or_init(keys));
        Self::over(aws, clock()).cold()
    }

    /// Like [`Shop::open`], for concurrent operations; see [`Aws::crowded_sdk_config`].
    pub fn crowded(seed: u64) -> Self {
        let shop = Self::open();
        shop.with_instance(&shop.aws.crowded_sdk_config(seed), None)
    }

    /// The same shop with a new instance of the users service that has not read any secret.
    #[must_use]
    pub fn cold(&self) -> Self {
        self.with_instance(&self.aws.sdk_config(), None)
    }

    /// Like [`Shop::cold`], where the SDK retries each call once, as it does when deployed.
    #[must_use]
    pub fn retrying(&self) -> Self {
        let retry = RetryConfig::standard()
            .with_max_attempts(2)
            .with_initial_backoff(Duration::from_millis(1));
        self.with_instance(&self.aws.sdk_config().to_builder().retry_config(retry).build(), None)
    }

    /// Like [`Shop::cold`], with this rate limit per network.
    #[must_use]
    pub fn with_network_burst(&self, burst: u32) -> Self {
        self.with_instance(&self.aws.sdk_config(), Some(burst))
    }

    /// Uses system ids, so that instances over the same AWS create different ids and tokens.
    fn with_instance(&self, config: &SdkConfig, network_burst: Option<u32>) -> Self {
        let mut users = users_over(config, &self.clock, Ids::System);
        users.network_burst = network_burst.unwrap_or(users.network_burst);
        Self { users: Arc::new(users), lambdas: Arc::default(), ..self.clone() }
    }

    /// The publisher of the users service, which has not published anything yet.
    pub fn users_publisher(&self) -> Harness {
        Harness::new(&self.aws).publisher("users", self.lambda("publish-user-events"))
    }
}

/// Users that are created without recorded calls.
impl Shop {
    /// Creates a registered user.
    ///
    /// # Panics
    /// If the address is invalid or taken.
    pub async fn enrol(&self, email: &str) -> User {
        self.enrol_with(email, hash()).await
    }

    /// Like [`Shop::enrol`], with this password hash.
    ///
    /// # Panics
    /// If the address is invalid or taken.
    pub async fn enrol_with(&self, email: &str, password_hash: &str) -> User {
        let (now, ids) = (self.clock.now(), &Ids::System);
        let id = ids.create(now);
        let registration = Registration {
            email: Email::parse(email).expect("an address"),
            username: Username::parse("ada").expect("a name"),
            full_name: FullName::parse("Ada Lovelace").expect("a name"),
        };
        let link = OneTimeToken::create(id, ids).link(
            self.mail_keys().await.active(),
            now,
            VERIFICATION_LIFETIME,
            ids,
        );
        let user = User::register(id, registration, link, now, Trace::start(ids));
        self.users
            .store
            .register(&user, password_hash.to_owned())
            .await
            .expect("the address is free");
        user
    }

    /// Creates another session of a user, like a login.
    ///
    /// # Panics
    /// If the user or the signing key does not exist.
    pub async fn enter(&self, id: UserId) -> Session {
        let (now, ids) = (self.clock.now(), &Ids::System);
        let user = self.user(id).await;
        let token = RefreshToken::first(TokenSubject::from(&user), ids, now);
        let end = self.users.session_expiry(&token, now);
        self.users
            .store
            .start_session(&token, end, now, Vec::new())
            .await
            .expect("the table takes a session");
        let keys =
            SigningKeys::parse(&self.aws.secrets_manager().text("signing-key").expect("a secret"))
                .expect("keys");
        let claims = Claims::new(&token.subject, token.session_id, &self.users.issuer, ids, now);
        let access_token =
            claims.sign(&keys.current().expect("a key that signs")).expect("a token");
        Session { access_token, refresh_token: token.text(&self.refresh_key().await) }
    }

    /// Creates an admin and returns their session.
    ///
    /// # Panics
    /// If the address is invalid or taken.
    pub async fn admin(&self, email: &str) -> Session {
        let user = self.enrol(email).await;
        assert!(self.grant(email, "admin").await.answer.is_ok(), "{email} is registered");
        self.enter(user.id).await
    }

    /// The key that authenticates refresh tokens.
    ///
    /// # Panics
    /// If the secret does not exist.
    pub async fn refresh_key(&self) -> RefreshTokenKey {
        let keys = self.users.secrets.keys("users-key").await.expect("a secret");
        let key = |purpose| keys.active().derive(purpose);
        RefreshTokenKey::new(key("refresh-token"), key("refresh-token-successor"))
    }

    /// The keys that seal one-time tokens.
    ///
    /// # Panics
    /// If the secret does not exist.
    pub async fn mail_keys(&self) -> KeyRing<SealingKey> {
        self.users
            .secrets
            .keys("mail-token-key")
            .await
            .expect("a secret")
            .derive("one-time-token")
            .map(SealingKey::new)
    }
}

/// Requests of users. Each comes from the same network unless it names another one, and is answered
/// by the operation itself.
#[allow(clippy::missing_panics_doc, reason = "each sends what the operation takes")]
impl Shop {
    /// Calls an operation with this body and without an access token.
    pub async fn send(&self, operation: &str, body: &Value) -> Called {
        self.call(operation, request(operation, body).event()).await
    }

    /// Calls an operation with this body as this user.
    pub async fn send_as(&self, session: &Session, operation: &str, body: &Value) -> Called {
        self.call(operation, session.request(request(operation, body))).await
    }

    pub async fn register(&self, email: &str) -> Called {
        self.call("register-user", registration(email)).await
    }

    pub async fn login(&self, email: &str, password: &str) -> Called {
        self.send("login-user", &json!({ "email": email, "password": password })).await
    }

    /// Logs in from a network address, with or without a device token.
    pub async fn login_from(
        &self,
        source: &str,
        device: Option<&str>,
        email: &str,
        password: &str,
    ) -> Called {
        let request = request("login-user", &json!({ "email": email, "password": password }))
            .source_ip(source);
        let request = device
            .into_iter()
            .fold(request, |request, token| request.header("X-Device-Token", token));
        self.call("login-user", request.event()).await
    }

    pub async fn log_in(&self, email: &str) -> Session {
        let called = self.login(email, PASSWORD).await;
        Session::of(&called).unwrap_or_else(|| panic!("{:?}", called.answer))
    }

    pub async fn refresh(&self, token: &str) -> Called {
        self.send("refresh-token", &json!({ "refresh_token": token })).await
    }

    pub async fn logout(&self, session: &Session) -> Called {
        self.send_as(session, "logout-user", &Value::Null).await
    }

    pub async fn change_password(&self, session: &Session, present: &str, new: &str) -> Called {
        self.send_as(
            session,
            "change-password",
            &json!({ "current_password": present, "new_password": new }),
        )
        .await
    }

    pub async fn me(&self, session: &Session) -> Called {
        self.send_as(session, "get-me", &Value::Null).await
    }

    /// Updates the current version of the caller's profile.
    pub async fn edit(&self, session: &Session, body: &Value) -> Called {
        let tag = self.me(session).await.header("etag").unwrap_or_default();
        self.edit_if(session, &tag, body).await
    }

    /// Updates the caller's profile with this `If-Match`.
    pub async fn edit_if(&self, session: &Session, tag: &str, body: &Value) -> Called {
        self.call("update-me", session.request(request("update-me", body).header("If-Match", tag)))
            .await
    }

    /// Requests an address change, with [`PASSWORD`].
    pub async fn ask_for_address(&self, session: &Session, email: &str) -> Called {
        self.edit(session, &json!({ "email": email, "current_password": PASSWORD })).await
    }

    pub async fn withdraw(&self, token: &str) -> Called {
        self.send("withdraw-email-change", &json!({ "token": token })).await
    }

    pub async fn delete_me(&self, session: &Session) -> Called {
        self.send_as(session, "delete-me", &Value::Null).await
    }

    pub async fn request_reset(&self, email: &str) -> Called {
        self.send("request-password-reset", &json!({ "email": email })).await
    }

    pub async fn confirm_reset(&self, token: &str, new: &str) -> Called {
        self.send("confirm-password-reset", &json!({ "token": token, "new_password": new })).await
    }

    pub async fn verify_email(&self, token: &str) -> Called {
        self.send("verify-email", &json!({ "token": token })).await
    }

    /// Asks the authorizer about an access token.
    pub async fn authorize(&self, token: &str) -> Called {
        self.call("authorize-request", events::authorize(token)).await
    }

    /// Updates the current version of a user's profile as an admin.
    pub async fn administer(&self, admin: &Session, id: UserId, body: &Value) -> Called {
        let tag = format!("\"{}\"", self.user(id).await.version);
        self.administer_if(admin, id, &tag, body).await
    }

    /// Updates a user's profile as an admin, with this `If-Match`.
    pub async fn administer_if(
        &self,
        admin: &Session,
        id: UserId,
        tag: &str,
        body: &Value,
    ) -> Called {
        let request = request("update-user", body)
            .path_parameter("user_id", &id.to_string())
            .header("If-Match", tag);
        self.call("update-user", admin.request(request)).await
    }

    pub async fn set_active(&self, admin: &Session, id: UserId, is_active: bool) -> Called {
        self.administer(admin, id, &json!({ "is_active": is_active })).await
    }

    /// Grants a role, as an operator.
    pub async fn grant(&self, email: &str, role: &str) -> Called {
        self.call("grant-role", json!({ "email": email, "role": role })).await
    }

    /// Runs one step of a signing-key rotation.
    pub async fn rotation_step(&self, step: &str, token: &str) -> Called {
        let event = json!({ "Step": step, "SecretId": "ferrocart/signing-key", "ClientRequestToken": token });
        self.call("rotate-signing-key", event).await
    }

    /// Rotates the signing key: the four steps of Secrets Manager, with a new client request token.
    pub async fn rotate_signing_key(&self) {
        let token = Uuid::from_bytes(Ids::System.bytes()).to_string();
        self.aws.secrets_manager().begin_rotation("signing-key", &token);
        for step in STEPS {
            let called = self.rotation_step(step, &token).await;
            assert!(called.answer.is_ok(), "{step} fails: {:?}", called.answer);
        }
    }

    /// Revokes a signing key as an operator, by its `kid` or as `current`.
    pub async fn revoke_key(&self, key: &str) -> Called {
        self.call("rotate-signing-key", json!({ "revoke": key })).await
    }

    /// The signing keys in the secret: `kid` and status.
    pub fn signing_keys(&self) -> BTreeMap<String, String> {
        let secret = self.aws.secrets_manager().text("signing-key").expect("a secret");
        let keys: Value = serde_json::from_str(&secret).expect("keys are JSON");
        let text = |key: &Value, name: &str| key[name].as_str().unwrap_or_default().to_owned();
        keys["keys"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|key| (text(key, "kid"), text(key, "status")))
            .collect()
    }
}

/// The hash of [`PASSWORD`], computed once.
///
/// # Panics
/// If it cannot be computed.
pub fn hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| {
        PasswordHasher::default().hash(PASSWORD, [7; 16]).expect("a password can be hashed")
    })
}

/// A request on the route of an operation; without a body if `body` is null.
///
/// # Panics
/// If the operation has no route.
pub fn request(operation: &str, body: &Value) -> events::Http {
    let found = operations()
        .find(|found| found.name() == operation)
        .and_then(|found| found.routes().first());
    let route = found.unwrap_or_else(|| panic!("{operation} has no route"));
    let request = events::http(route.method, route.path);
    if body.is_null() {
        request
    } else {
        request.header("content-type", "application/json").body(&body.to_string())
    }
}

/// The registration request of a user named Ada.
pub fn registration(email: &str) -> Value {
    let body = json!({ "email": email, "username": "ada", "full_name": "Ada Lovelace", "password": PASSWORD });
    request("register-user", &body).event()
}

/// The `code` of a problem; empty if absent.
pub fn code(called: &Called) -> String {
    called.json()["code"].as_str().unwrap_or_default().to_owned()
}

/// The kind of a failure; empty if absent.
pub fn kind(called: &Called) -> &'static str {
    called.answer.as_ref().err().map_or("", |failure| failure.kind)
}

/// An answer without its duration, the only part that differs between runs. All test requests have
/// the same request id.
pub fn seen(called: &Called) -> Value {
    let mut answer = called.ok().clone();
    if let Some(headers) = answer["headers"].as_object_mut() {
        headers.remove("x-process-time");
        // The way to the page of the problem depends on the path.
        headers.remove("link");
    }
    answer
}
