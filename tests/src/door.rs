//! The door of the shop: the service `users` with a clock that a test holds, and people who go in and out.
//!
//! To hash a password takes its time. [`Door::enrol`] and [`Door::enter`] write what a registration and a login would have written, with a
//! hash that is computed once for all tests of a program; [`Door::register`] and [`Door::login`] are the operations themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use aws_config::{SdkConfig, retry::RetryConfig};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use shared::{
    clock::Clock,
    http::{self, Request, Response},
    ids::{Ids, PrefixedId, UserId, sha256_hex},
    invoke,
    lambda::Lambda,
    problem::Problem,
    seal::SealingKey,
    secret::{KeyRing, Secrets},
    stream,
    table::Table,
    telemetry::Trace,
};
use users::{
    Users,
    domain::{Email, FullName, Registration, User, Username, VERIFICATION_LIFETIME},
    operations::{
        authorize_request::authorize_request, change_password::change_password, confirm_password_reset::confirm_password_reset,
        delete_me::delete_me, get_me::get_me, grant_role::grant_role, login_user::login_user, logout_user::logout_user,
        publish_user_events, refresh_token::refresh_token, register_user::register_user, request_password_reset::request_password_reset,
        rotate_signing_key::rotate_signing_key, update_me::update_me, update_user::update_user, verify_email::verify_email,
        withdraw_email_change::withdraw_email_change,
    },
    password_hash::PasswordHasher,
    publish,
    store::Store,
    tokens::{
        access::{Claims, Parties},
        one_time::OneTimeToken,
        refresh::{Bearer, FamilyId, RefreshToken, RefreshTokenKey},
        signing_keys::SigningKeys,
    },
};

use crate::{
    aws::{Aws, Called},
    events,
    pump::Pump,
    shop::{self, SESSION_MAX, SHARDS},
    template::STACK,
};

/// Everybody's password.
pub const PASSWORD: &str = "correct horse battery staple";
/// The first customer.
pub const ADA: &str = "ada@example.com";
/// How much one network may try at once: as much as the template says, so that it is in no test's way by chance.
pub const NETWORK_BURST: u32 = 300;
/// What Secrets Manager asks for, one after the other.
pub const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];

/// One instance of the service, and the world around it.
#[derive(Clone)]
pub struct Door {
    /// The world.
    pub aws: Aws,
    /// The clock of all instances.
    pub clock: Clock,
    /// The instance.
    pub users: Arc<Users>,
}

/// What a login gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// For the gateway.
    pub access_token: String,
    /// For the next access token.
    pub refresh_token: String,
}

impl Session {
    /// The tokens of an answer, if it holds any.
    pub fn of(called: &Called) -> Option<Self> {
        let body = called.json();
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        Some(Self { access_token: text("access_token")?, refresh_token: text("refresh_token")? })
    }

    /// What the access token says.
    ///
    /// # Panics
    /// When it is none of ours.
    pub fn claims(&self) -> Value {
        let part = self.access_token.split('.').nth(1).expect("a token has three parts");
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).expect("a part is base64url")).expect("claims are JSON")
    }

    /// Whose it is.
    ///
    /// # Panics
    /// When the token is none of ours.
    pub fn user_id(&self) -> UserId {
        self.claims()["sub"].as_str().and_then(UserId::parse).expect("a token names its user")
    }

    /// The session's id.
    ///
    /// # Panics
    /// When the token is none of ours.
    pub fn family(&self) -> FamilyId {
        self.claims()["sid"].as_str().and_then(FamilyId::parse).expect("a token names its session")
    }

    /// A request with the context that the authorizer would give it. Its time is over in a hundred years: functions read the machine's
    /// clock there, which no test holds.
    pub fn request(&self, request: events::Http) -> Value {
        let claims = self.claims();
        let mut event = request.event();
        let text = |name: &str| claims[name].as_str().map_or_else(|| claims[name].to_string(), str::to_owned);
        event["requestContext"]["authorizer"] = json!({ "exp": "4102444800" });
        for name in ["sub", "role", "name", "email", "tv", "sid"] {
            event["requestContext"]["authorizer"][name] = text(name).into();
        }
        event
    }
}

impl Door {
    /// Where nobody can log in yet: there is no key.
    pub fn closed() -> Self {
        let aws = Aws::new();
        let config = aws.sdk_config();
        Self::over(aws, &config)
    }

    /// Where somebody can log in.
    pub fn open() -> Self {
        Self::closed().unlocked()
    }

    /// As [`Door::open`], for operations that run at the same time; see [`Aws::crowded_sdk_config`].
    pub fn crowded(seed: u64) -> Self {
        let aws = Aws::new();
        let config = aws.crowded_sdk_config(seed);
        Self::over(aws, &config).unlocked()
    }

    /// As [`Door::closed`], where the SDK tries each call once more, as it does deployed.
    pub fn with_retries() -> Self {
        Self::closed().retrying()
    }

    /// Another instance in the same world, where the SDK tries each call once more.
    #[must_use]
    pub fn retrying(&self) -> Self {
        let retry = RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(1));
        let config = self.aws.sdk_config().to_builder().retry_config(retry).build();
        Self { users: instance(&config, &self.clock), ..self.clone() }
    }

    /// In a world of the caller's own.
    pub fn over(aws: Aws, config: &SdkConfig) -> Self {
        let clock = shop::clock();
        let users = instance(config, &clock);
        Self { aws, clock, users }
    }

    /// With a key that signs, the same for all doors.
    ///
    /// # Panics
    /// When no key can be made.
    #[must_use]
    pub fn unlocked(self) -> Self {
        static KEYS: OnceLock<String> = OnceLock::new();
        let keys = || SigningKeys::default().rotated(&Ids::System, shop::clock().now()).expect("a key can be made").text();
        self.aws.secrets_manager().set("signing-key", KEYS.get_or_init(keys));
        self
    }

    /// Another instance in the same world, which has read no secret yet.
    #[must_use]
    pub fn cold(&self) -> Self {
        let users = instance(&self.aws.sdk_config(), &self.clock);
        Self { aws: self.aws.clone(), clock: self.clock.clone(), users }
    }

    /// Another instance in the same world, with another limit for each network.
    #[must_use]
    pub fn with_network_burst(&self, burst: u32) -> Self {
        let mut users = Arc::into_inner(instance(&self.aws.sdk_config(), &self.clock)).expect("nobody else has it");
        users.network_burst = burst;
        Self { users: Arc::new(users), ..self.clone() }
    }

    /// An HTTP operation.
    pub async fn http<F, Fut>(&self, operation: F, event: Value) -> Called
    where
        F: Fn(Arc<Users>, Request) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        self.aws.call(&self.lambda(operation), event).await
    }

    /// The function of an HTTP operation, for what runs at the same time.
    pub fn lambda<F, Fut>(&self, operation: F) -> Lambda
    where
        F: Fn(Arc<Users>, Request) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        http::lambda(self.users.clone(), operation)
    }

    /// Somebody who is registered, without a call that is counted.
    ///
    /// # Panics
    /// When the address is none, or taken.
    pub async fn enrol(&self, email: &str) -> User {
        self.enrol_with(email, hash()).await
    }

    /// As [`Door::enrol`], with a hash of another kind.
    ///
    /// # Panics
    /// When the address is none, or taken.
    pub async fn enrol_with(&self, email: &str, password_hash: &str) -> User {
        let (now, ids) = (self.clock.now(), &Ids::System);
        let id = ids.create(now);
        let registration = Registration {
            email: Email::parse(email).expect("an address"),
            username: Username::parse("ada").expect("a name"),
            full_name: FullName::parse("Ada Lovelace").expect("a name"),
        };
        let link = OneTimeToken::create(id, ids).link(&self.mail_key().await, now, VERIFICATION_LIFETIME, ids);
        let user = User::register(id, registration, link, now, Trace::start(ids));
        self.users.store.register(&user, password_hash.to_owned()).await.expect("nobody has the address");
        user
    }

    /// Another session of somebody, as a login begins it.
    ///
    /// # Panics
    /// When there is no such user, or no key that signs.
    pub async fn enter(&self, id: UserId) -> Session {
        let (now, ids) = (self.clock.now(), &Ids::System);
        let user = self.user(id).await;
        let token = RefreshToken::first(Bearer::from(&user), ids, now);
        self.users
            .store
            .begin_family(&token, self.users.session_end(&token, now), now, Vec::new())
            .await
            .expect("the table takes a session");
        let keys = SigningKeys::parse(&self.aws.secrets_manager().text("signing-key").expect("a secret")).expect("keys");
        let claims = Claims::new(&token.bearer, token.family, &self.users.parties, ids, now);
        let access_token = claims.sign(&keys.current().expect("a key that signs")).expect("a token");
        Session { access_token, refresh_token: token.text(&self.refresh_key().await) }
    }

    /// Somebody's profile as it stands.
    ///
    /// # Panics
    /// When there is none.
    pub async fn user(&self, id: UserId) -> User {
        self.users.store.user(id).await.expect("the table answers").expect("there is such a user")
    }

    /// The key under which refresh tokens are made.
    ///
    /// # Panics
    /// When the secret is missing.
    pub async fn refresh_key(&self) -> RefreshTokenKey {
        let keys = self.users.secrets.keys("users-key").await.expect("a secret");
        let key = |purpose| keys.making().derive(purpose);
        RefreshTokenKey::new(key("refresh-token"), key("refresh-token-successor"))
    }

    /// The key that seals one-time tokens.
    ///
    /// # Panics
    /// When the secret is missing.
    pub async fn mail_key(&self) -> SealingKey {
        self.mail_keys().await.making().clone()
    }

    async fn mail_keys(&self) -> KeyRing<SealingKey> {
        self.users.secrets.keys("mail-token-key").await.expect("a secret").derive("one-time-token").map(SealingKey::new)
    }

    /// The one-time token that stands sealed in a profile or in a message, as the mail shows it.
    ///
    /// # Panics
    /// When it is none of this user's.
    pub async fn unseal(&self, sealed: &str, id: UserId) -> String {
        let keys = self.mail_keys().await;
        keys.open(|key| key.open(sealed, &["one-time-token", &id.to_string()])).expect("it was sealed for this user")
    }

    /// What the link says that resets somebody's password.
    ///
    /// # Panics
    /// When there is none.
    pub async fn reset_token(&self, id: UserId) -> String {
        self.unseal(&self.user(id).await.reset.expect("a link was asked for").sealed, id).await
    }

    /// What the link says that withdraws an address change.
    ///
    /// # Panics
    /// When there is none.
    pub async fn withdraw_token(&self, id: UserId) -> String {
        self.unseal(&self.user(id).await.withdrawal.expect("a change was asked for").link.sealed, id).await
    }

    /// What the link says that verifies somebody's address.
    ///
    /// # Panics
    /// When there is none.
    pub async fn verification_token(&self, id: UserId) -> String {
        self.unseal(&self.user(id).await.verification.expect("an address waits").link.sealed, id).await
    }

    /// `POST /users`.
    pub async fn register(&self, email: &str) -> Called {
        self.http(register_user, registration(email)).await
    }

    /// `POST /users/login`, from the network that all requests of tests come from.
    pub async fn login(&self, email: &str, password: &str) -> Called {
        self.http(login_user, login_request(email, password)).await
    }

    /// `POST /users/login` from some network, with a device token or without.
    pub async fn login_from(&self, source: &str, device: Option<&str>, email: &str, password: &str) -> Called {
        let mut event = login_request(email, password);
        event["requestContext"]["identity"]["sourceIp"] = source.into();
        if let Some(device) = device {
            event["headers"]["X-Device-Token"] = device.into();
        }
        self.http(login_user, event).await
    }

    /// A session by the login operation.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn log_in(&self, email: &str) -> Session {
        let called = self.login(email, PASSWORD).await;
        Session::of(&called).unwrap_or_else(|| panic!("{:?}", called.answer))
    }

    /// `POST /users/token/refresh`.
    pub async fn refresh(&self, token: &str) -> Called {
        self.http(refresh_token, refresh_request(token)).await
    }

    /// `POST /users/logout`.
    pub async fn logout(&self, session: &Session) -> Called {
        self.http(logout_user, session.request(events::http("POST", "/users/logout"))).await
    }

    /// `POST /users/me/password`.
    pub async fn change_password(&self, session: &Session, present: &str, new: &str) -> Called {
        let body = json!({ "current_password": present, "new_password": new });
        self.http(change_password, session.request(events::post("/users/me/password", &body))).await
    }

    /// `GET /users/me`.
    pub async fn me(&self, session: &Session) -> Called {
        self.http(get_me, session.request(events::get("/users/me"))).await
    }

    /// `PATCH /users/me` of the version that stands.
    pub async fn edit(&self, session: &Session, body: &Value) -> Called {
        let tag = self.me(session).await.header("etag").unwrap_or_default();
        self.edit_if(session, &tag, body).await
    }

    /// `PATCH /users/me` with this `If-Match`.
    pub async fn edit_if(&self, session: &Session, tag: &str, body: &Value) -> Called {
        self.http(update_me, session.request(patch("/users/me", body).header("If-Match", tag))).await
    }

    /// `PATCH /users/me` with another address and the password of everybody.
    pub async fn ask_for_address(&self, session: &Session, email: &str) -> Called {
        self.edit(session, &json!({ "email": email, "current_password": PASSWORD })).await
    }

    /// `POST /users/email-change/withdraw`.
    pub async fn withdraw(&self, token: &str) -> Called {
        self.http(withdraw_email_change, events::post("/users/email-change/withdraw", &json!({ "token": token })).event()).await
    }

    /// `DELETE /users/me`.
    pub async fn delete_me(&self, session: &Session) -> Called {
        self.http(delete_me, session.request(events::http("DELETE", "/users/me"))).await
    }

    /// `POST /users/password-reset`.
    pub async fn request_reset(&self, email: &str) -> Called {
        self.http(request_password_reset, events::post("/users/password-reset", &json!({ "email": email })).event()).await
    }

    /// `POST /users/password-reset` from some network.
    pub async fn request_reset_from(&self, source: &str, email: &str) -> Called {
        let mut event = events::post("/users/password-reset", &json!({ "email": email })).event();
        event["requestContext"]["identity"]["sourceIp"] = source.into();
        self.http(request_password_reset, event).await
    }

    /// `POST /users/verify-email` or `POST /users/password-reset/confirm` from some network.
    pub async fn use_link_from(&self, source: &str, path: &str, body: &Value) -> Called {
        let mut event = events::post(path, body).event();
        event["requestContext"]["identity"]["sourceIp"] = source.into();
        match path {
            "/users/verify-email" => self.http(verify_email, event).await,
            _ => self.http(confirm_password_reset, event).await,
        }
    }

    /// `POST /users/password-reset/confirm`.
    pub async fn confirm_reset(&self, token: &str, new: &str) -> Called {
        let body = json!({ "token": token, "new_password": new });
        self.http(confirm_password_reset, events::post("/users/password-reset/confirm", &body).event()).await
    }

    /// `POST /users/verify-email`.
    pub async fn verify_email(&self, token: &str) -> Called {
        self.http(verify_email, events::post("/users/verify-email", &json!({ "token": token })).event()).await
    }

    /// What the gateway asks about an access token.
    pub async fn authorize(&self, token: &str) -> Called {
        self.authorize_header(&format!("Bearer {token}")).await
    }

    /// What the gateway asks about a whole `Authorization` header.
    pub async fn authorize_header(&self, header: &str) -> Called {
        let mut event = events::get("/users/me").header("Authorization", header).event();
        event["methodArn"] = METHOD_ARN.into();
        self.aws.call(&invoke::lambda(self.users.clone(), authorize_request), event).await
    }

    /// `PUT /users/{user_id}` of the version that stands, by an admin.
    pub async fn administer(&self, admin: &Session, id: UserId, body: &Value) -> Called {
        let tag = format!("\"{}\"", self.user(id).await.version);
        self.administer_if(admin, id, &tag, body).await
    }

    /// `PUT /users/{user_id}` with this `If-Match`.
    pub async fn administer_if(&self, admin: &Session, id: UserId, tag: &str, body: &Value) -> Called {
        let request = put(&format!("/users/{id}"), body).path_parameter("user_id", &id.to_string()).header("If-Match", tag);
        self.http(update_user, admin.request(request)).await
    }

    /// Takes the shop away from somebody, or gives it back.
    pub async fn set_active(&self, admin: &Session, id: UserId, is_active: bool) -> Called {
        self.administer(admin, id, &json!({ "is_active": is_active })).await
    }

    /// Gives a role, as an operator does.
    pub async fn grant(&self, email: &str, role: &str) -> Called {
        self.aws.call(&invoke::lambda(self.users.clone(), grant_role), json!({ "email": email, "role": role })).await
    }

    /// Somebody who runs the shop, and their session.
    ///
    /// # Panics
    /// When the address is none, or taken.
    pub async fn admin(&self, email: &str) -> Session {
        let user = self.enrol(email).await;
        assert!(self.grant(email, "admin").await.answer.is_ok(), "{email} is registered");
        self.enter(user.id).await
    }

    /// One step of a rotation of the signing key.
    pub async fn step(&self, step: &str, token: &str) -> Called {
        self.signing_key_function(json!({ "Step": step, "SecretId": "ferrocart/signing-key", "ClientRequestToken": token })).await
    }

    /// Revokes a signing key, as an operator does: by its `kid`, or the `current` one.
    pub async fn revoke_key(&self, key: &str) -> Called {
        self.signing_key_function(json!({ "revoke": key })).await
    }

    async fn signing_key_function(&self, event: Value) -> Called {
        self.aws.call(&invoke::lambda(self.users.clone(), rotate_signing_key), event).await
    }

    /// A whole rotation of the signing key, under a token of its own.
    ///
    /// # Panics
    /// When a step fails.
    pub async fn rotate(&self, token: &str) {
        self.aws.secrets_manager().begin_rotation("signing-key", token);
        for step in STEPS {
            let called = self.step(step, token).await;
            assert!(called.answer.is_ok(), "{step}: {:?}", called.answer);
        }
    }

    /// The keys as they stand in the secret: `kid` and status.
    ///
    /// # Panics
    /// When the secret holds something else.
    pub fn keys(&self) -> BTreeMap<String, String> {
        let secret = self.aws.secrets_manager().text("signing-key").expect("a secret");
        let keys: Value = serde_json::from_str(&secret).expect("keys are JSON");
        let text = |key: &Value, name: &str| key[name].as_str().unwrap_or_default().to_owned();
        keys["keys"].as_array().into_iter().flatten().map(|key| (text(key, "kid"), text(key, "status"))).collect()
    }

    /// The publisher of this service's messages, which has published nothing yet.
    pub fn publisher(&self) -> Pump {
        let sender = self.aws.sender(publish_user_events::QUEUES, "publish-user-dead-letter");
        let lambda = stream::lambda("publish-user-events", publish_user_events::PUBLISHED, publish::messages, sender);
        Pump::new(&self.aws).publisher("users", lambda)
    }

    /// Every profile, as it stands in the table.
    pub fn profiles(&self) -> Vec<Value> {
        self.of_kind("USER#")
    }

    /// Everybody's credentials, as they stand in the table.
    pub fn credentials(&self) -> Vec<Value> {
        self.of_kind("EMAIL#").into_iter().filter(|item| item.get("reserved_until").is_none()).collect()
    }

    /// Addresses that are reserved for the withdrawal of a change.
    pub fn reservations(&self) -> Vec<Value> {
        self.of_kind("EMAIL#").into_iter().filter(|item| item.get("reserved_until").is_some()).collect()
    }

    fn of_kind(&self, prefix: &str) -> Vec<Value> {
        let items = self.aws.items("users").into_iter();
        items.filter(|item| item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with(prefix))).collect()
    }

    /// That profiles and credentials belong together, one to one, and say the same; nothing but what is left of those who have gone
    /// stands beside them.
    ///
    /// # Panics
    /// When they do not.
    #[track_caller]
    pub fn check(&self) {
        const SHARED: [&str; 7] = ["user_id", "email", "full_name", "role", "is_active", "tv", "session_epoch"];
        let said = |items: &[Value]| items.iter().map(|item| SHARED.map(|name| item[name].to_string())).collect::<BTreeSet<_>>();
        let (profiles, credentials) = (self.profiles(), self.credentials());
        let (gone, profiles): (Vec<_>, Vec<_>) = profiles.into_iter().partition(|item| item.get("deleted_at").is_some());
        assert_eq!(profiles.len(), credentials.len(), "profiles and credentials");
        let all = gone.len() + profiles.len() + credentials.len() + self.reservations().len();
        assert_eq!(all, self.aws.items("users").len(), "nothing else stands there");
        for item in &credentials {
            let email = item["email"]["S"].as_str().unwrap_or_default();
            assert_eq!(item["pk"]["S"], format!("EMAIL#{}", sha256_hex(email)));
        }
        for item in profiles.iter().chain(&gone) {
            assert_eq!(item["pk"]["S"], format!("USER#{}", item["user_id"]["S"].as_str().unwrap_or_default()));
        }
        assert_eq!(said(&profiles), said(&credentials));
    }

    /// Changes the first profile behind the service's back.
    ///
    /// # Panics
    /// When there is none.
    pub fn set(&self, attribute: &str, value: Value) {
        let mut profile = self.profiles().remove(0);
        profile[attribute] = value;
        self.aws.put("users", &profile);
    }
}

/// Which request the gateway asks about.
const METHOD_ARN: &str = "arn:aws:execute-api:us-east-1:000000000000:ferrocart/v1/GET/users/me";

fn instance(config: &SdkConfig, clock: &Clock) -> Arc<Users> {
    let table = |name: &str| Table::new(aws_sdk_dynamodb::Client::new(config), format!("ferrocart-{name}"));
    let store = Store { users: table("users"), sessions: table("sessions"), shards: SHARDS };
    let parties = Parties { issuer: "urn:ferrocart:tests".to_owned(), audience: "urn:ferrocart:tests:api".to_owned() };
    let secrets = Secrets::new(aws_sdk_secretsmanager::Client::new(config), format!("{STACK}/"), clock.clone());
    Arc::new(Users::new(store, secrets, clock.clone(), Ids::System, parties, NETWORK_BURST, SESSION_MAX))
}

/// What [`PASSWORD`] hashes to, computed once.
///
/// # Panics
/// When it cannot be hashed.
pub fn hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| PasswordHasher::default().hash(PASSWORD, [7; 16]).expect("a password can be hashed"))
}

/// `POST /users` for somebody called Ada.
pub fn registration(email: &str) -> Value {
    let body = json!({ "email": email, "username": "ada", "full_name": "Ada Lovelace", "password": PASSWORD });
    events::post("/users", &body).event()
}

/// `POST /users/login`.
pub fn login_request(email: &str, password: &str) -> Value {
    events::post("/users/login", &json!({ "email": email, "password": password })).event()
}

/// `POST /users/token/refresh`.
pub fn refresh_request(token: &str) -> Value {
    events::post("/users/token/refresh", &json!({ "refresh_token": token })).event()
}

/// `PATCH path` with a JSON body.
pub fn patch(path: &str, body: &Value) -> events::Http {
    events::http("PATCH", path).header("content-type", "application/json").body(&body.to_string())
}

/// `PUT path` with a JSON body.
pub fn put(path: &str, body: &Value) -> events::Http {
    events::http("PUT", path).header("content-type", "application/json").body(&body.to_string())
}

/// The `code` of a problem; empty if it is none.
pub fn code(called: &Called) -> String {
    called.json()["code"].as_str().unwrap_or_default().to_owned()
}

/// The name of a failure; empty if there is none.
pub fn kind(called: &Called) -> &'static str {
    called.answer.as_ref().err().map_or("", |failure| failure.kind)
}

/// An answer without the one thing that differs each time: how long it took. (Requests of tests all have the same id.)
pub fn seen(called: &Called) -> Value {
    let mut answer = called.ok().clone();
    if let Some(headers) = answer["headers"].as_object_mut() {
        headers.remove("x-process-time");
    }
    answer
}
