//! Users: one account for each address, tokens that count exactly as long as they should, roles that change as a whole, and keys that
//! rotate without logging anybody out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use aws_config::{SdkConfig, retry::RetryConfig};
use serde_json::{Value, json};
use shared::{
    auth::Role,
    clock::Clock,
    http,
    ids::{Ids, sha256_hex},
    invoke,
    lambda::{Failure, Invocation, Lambda},
    table::Table,
};
use tests::{
    aws::{Aws, Called, Fault},
    events,
    shop::{self, SHARDS},
};
use users::{
    Users,
    access_token::LIFETIME,
    domain::{Credentials, Email, FullName, Registration, RoleChange, User, Username},
    error::UsersError,
    operations::{
        authorize_request::authorize_request, get_me::get_me, grant_role::grant_role, login_user::login_user, register_user::register_user,
        rotate_signing_key::rotate_signing_key,
    },
    signing_keys::{RELOAD_PAUSE, RETAINED},
    store::{SESSION_LIFETIME, Store},
};

const PASSWORD: &str = "correct horse battery staple";
const ADA: &str = "ada@example.com";
const FAULTS: [Fault; 4] = [Fault::Throttle, Fault::LoseRequest, Fault::LoseResponse, Fault::Conflict];
const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];
/// How long a function may go on with a secret that it has read.
const KEPT: Duration = Duration::from_secs(300);

/// One instance of the service, and the world around it.
struct Door {
    aws: Aws,
    clock: Clock,
    users: Arc<Users>,
    rotate: Lambda,
}

impl Door {
    fn new() -> Self {
        let aws = Aws::new();
        let config = aws.sdk_config();
        Self::over(aws, &config)
    }

    /// Where somebody can log in.
    async fn open() -> Self {
        let door = Self::new();
        door.rotate("first").await;
        door
    }

    fn over(aws: Aws, config: &SdkConfig) -> Self {
        let clock = shop::clock();
        let users = instance(&aws, config, &clock);
        let rotate = invoke::lambda(Arc::new(shop::rotation(&aws, &clock)), rotate_signing_key);
        Self { aws, clock, users, rotate }
    }

    /// Another instance, which has read no secret yet.
    fn cold(&self) -> Self {
        let users = instance(&self.aws, &self.aws.sdk_config(), &self.clock);
        Self { aws: self.aws.clone(), clock: self.clock.clone(), users, rotate: self.rotate.clone() }
    }

    async fn register(&self, email: &str) -> Called {
        self.aws.call(&http::lambda(self.users.clone(), register_user), registration(email)).await
    }

    async fn login(&self, email: &str, password: &str) -> Called {
        let body = json!({ "email": email, "password": password });
        self.aws.call(&http::lambda(self.users.clone(), login_user), events::post("/users/login", &body).event()).await
    }

    /// Ada's access token.
    async fn token(&self) -> String {
        let called = self.login(ADA, PASSWORD).await;
        assert_eq!(called.status(), 200, "{:?}", called.answer);
        called.json()["access_token"].as_str().unwrap().to_owned()
    }

    async fn authorize(&self, token: &str) -> Called {
        let mut event = events::get("/users/me").header("Authorization", &format!("Bearer {token}")).event();
        event["methodArn"] = "arn:aws:execute-api:us-east-1:000000000000:ferrocart/v1/GET/users/me".into();
        self.aws.call(&invoke::lambda(self.users.clone(), authorize_request), event).await
    }

    async fn grant(&self, email: &str, role: &str) -> Called {
        self.aws.call(&invoke::lambda(self.users.clone(), grant_role), json!({ "email": email, "role": role })).await
    }

    async fn step(&self, step: &str, token: &str) -> Called {
        let event = json!({ "Step": step, "SecretId": "ferrocart/signing-key", "ClientRequestToken": token });
        self.aws.call(&self.rotate, event).await
    }

    async fn rotate(&self, token: &str) {
        self.aws.secrets_manager().begin_rotation("signing-key", token);
        for step in STEPS {
            let called = self.step(step, token).await;
            assert!(called.answer.is_ok(), "{step}: {:?}", called.answer);
        }
    }

    /// The keys as they stand in the secret: `kid` and status.
    fn keys(&self) -> BTreeMap<String, String> {
        let keys: Value = serde_json::from_str(&self.aws.secrets_manager().text("signing-key").unwrap()).unwrap();
        let text = |key: &Value, name: &str| key[name].as_str().unwrap().to_owned();
        keys["keys"].as_array().unwrap().iter().map(|key| (text(key, "kid"), text(key, "status"))).collect()
    }

    fn profiles(&self) -> Vec<Value> {
        self.of_kind("USER#")
    }

    fn credentials(&self) -> Vec<Value> {
        self.of_kind("EMAIL#")
    }

    fn of_kind(&self, prefix: &str) -> Vec<Value> {
        let items = self.aws.items("users").into_iter();
        items.filter(|item| item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with(prefix))).collect()
    }

    /// That profiles and credentials belong together, one to one, and say the same.
    #[track_caller]
    fn check(&self) {
        const SHARED: [&str; 7] = ["user_id", "email", "username", "full_name", "role", "is_active", "tv"];
        let said = |items: Vec<Value>| items.into_iter().map(|item| SHARED.map(|name| item[name].to_string())).collect::<BTreeSet<_>>();
        let (profiles, credentials) = (self.profiles(), self.credentials());
        assert_eq!(profiles.len(), credentials.len());
        assert_eq!(profiles.len() + credentials.len(), self.aws.items("users").len());
        for item in &credentials {
            assert_eq!(item["pk"]["S"], format!("EMAIL#{}", sha256_hex(item["email"]["S"].as_str().unwrap())));
        }
        for item in &profiles {
            assert_eq!(item["pk"]["S"], format!("USER#{}", item["user_id"]["S"].as_str().unwrap()));
        }
        assert_eq!(said(profiles), said(credentials));
    }

    /// Changes Ada's profile behind the service's back.
    fn set(&self, attribute: &str, value: Value) {
        let mut profile = self.profiles().remove(0);
        profile[attribute] = value;
        self.aws.put("users", &profile);
    }

    /// The users of another world; to hash a password takes its time.
    fn with_users_of(self, other: &Self) -> Self {
        for item in other.aws.items("users") {
            self.aws.put("users", &item);
        }
        self
    }
}

fn instance(aws: &Aws, config: &SdkConfig, clock: &Clock) -> Arc<Users> {
    let table = |name: &str| Table::new(aws_sdk_dynamodb::Client::new(config), format!("ferrocart-{name}"));
    let store = Store { users: table("users"), sessions: table("sessions"), shards: SHARDS };
    let parties = shop::users(aws, clock).parties;
    Arc::new(Users::new(store, aws.secrets_at(clock.clone()), clock.clone(), Ids::default(), parties))
}

fn with_retries() -> Door {
    let aws = Aws::new();
    let retry = RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(1));
    let config = aws.sdk_config().to_builder().retry_config(retry).build();
    Door::over(aws, &config)
}

fn registration(email: &str) -> Value {
    let body = json!({ "email": email, "username": "ada", "full_name": "Ada Lovelace", "password": PASSWORD });
    events::post("/users", &body).event()
}

fn code(called: &Called) -> String {
    called.json()["code"].as_str().unwrap_or_default().to_owned()
}

/// The name of a failure; empty if there is none.
fn kind(called: &Called) -> &'static str {
    called.answer.as_ref().err().map_or("", |failure| failure.kind)
}

fn secrets_read(called: &Called) -> usize {
    called.calls.iter().filter(|call| call.service == "secretsmanager").count()
}

#[tokio::test]
async fn a_user_is_registered_with_one_call_as_a_customer() {
    let door = Door::open().await;
    let registered = door.register("Ada@Example.com").await;
    assert_eq!((registered.status(), registered.operations()), (201, vec!["TransactWriteItems"]));
    let view = registered.json();
    assert_eq!((&view["email"], &view["role"], &view["is_active"]), (&json!(ADA), &json!("user"), &json!(true)));
    door.check();
    let everything = door.aws.items("users").iter().map(Value::to_string).collect::<String>();
    assert!(!everything.contains(PASSWORD) && everything.contains("$argon2id$"));
    assert_eq!(door.profiles()[0]["user_id"]["S"], view["id"]);
    for taken in ["ada@example.com", "ADA@EXAMPLE.COM", "ada@ｅｘａｍｐｌｅ.com"] {
        let refused = door.register(taken).await;
        assert_eq!((refused.status(), code(&refused).as_str()), (409, "email_taken"), "{taken}");
    }
    assert_eq!(door.aws.items("users").len(), 2);

    let mut me = events::get("/users/me").caller(view["id"].as_str().unwrap()).event();
    let read = async |me: &Value| door.aws.call(&http::lambda(door.users.clone(), get_me), me.clone()).await;
    assert_eq!((read(&me).await.json(), read(&me).await.header("etag").as_deref()), (view, Some("\"1\"")));
    door.set("is_active", json!({ "BOOL": false }));
    let disabled = read(&me).await;
    me["requestContext"]["authorizer"]["sub"] = events::ADMIN.into();
    assert_eq!((disabled.status(), read(&me).await.status()), (401, 401));
    assert_eq!(disabled.json(), read(&me).await.json());
}

#[tokio::test]
async fn whatever_happens_to_a_call_there_is_one_account_or_none() {
    for fault in FAULTS {
        for call in 0..2 {
            let door = Door::open().await;
            door.aws.fail(call, fault);
            let first = door.register(ADA).await;
            // A throttle or a conflict is tried again by the table itself.
            let is_lost = call == 0 && matches!(fault, Fault::LoseRequest | Fault::LoseResponse);
            assert_eq!(first.status(), if is_lost { 503 } else { 201 }, "{fault:?} at {call}");
            let is_written = !is_lost || fault == Fault::LoseResponse;
            assert_eq!(door.aws.items("users").len(), if is_written { 2 } else { 0 }, "{fault:?} at {call}");
            door.aws.heal();
            let again = door.register(ADA).await;
            assert_eq!(again.status(), if is_written { 409 } else { 201 }, "{fault:?} at {call}");
            door.check();
            assert_eq!(door.profiles().len(), 1);
            assert_eq!(door.login(ADA, PASSWORD).await.status(), 200, "the account is whole");
        }
    }
    let door = with_retries();
    door.aws.fail(0, Fault::LoseResponse);
    let registered = door.register(ADA).await;
    assert_eq!((registered.status(), registered.operations()), (201, vec!["TransactWriteItems"; 2]));
    assert_eq!(door.profiles()[0]["user_id"]["S"], registered.json()["id"]);
}

#[tokio::test]
async fn our_own_registration_is_recognised_and_another_one_is_not() {
    let door = Door::new();
    let user = |number: u64| {
        let registration = Registration {
            email: Email::parse(ADA).unwrap(),
            username: Username::try_from("ada".to_owned()).unwrap(),
            full_name: FullName::try_from("Ada Lovelace".to_owned()).unwrap(),
        };
        User::register(Ids::seeded(number).create(door.clock.now()), registration, door.clock.now())
    };
    let store = &door.users.store;
    assert!(store.register(&user(1), "hash".to_owned()).await.is_ok());
    let before = door.aws.items("users");
    assert!(store.register(&user(1), "hash".to_owned()).await.is_ok(), "the answer to the first write was lost");
    assert!(matches!(store.register(&user(2), "hash".to_owned()).await, Err(UsersError::EmailTaken)));
    assert_eq!(door.aws.items("users"), before);
}

#[tokio::test]
async fn fifty_registrations_of_one_address_at_once_make_one_account() {
    let aws = Aws::new();
    let config = aws.crowded_sdk_config(1);
    let door = Door::over(aws, &config);
    let spellings = [
        "jose\u{301}@m\u{fc}nchen.de",
        "JOS\u{c9}@M\u{dc}NCHEN.DE",
        "jos\u{e9}@xn--mnchen-3ya.de",
        "Jos\u{e9}@mu\u{308}nchen.de",
        "JOS\u{c9}@XN--MNCHEN-3YA.de",
    ];
    let lambda = http::lambda(door.users.clone(), register_user);
    let running: Vec<_> = (0..50).map(|number| tokio::spawn(lambda(Invocation::with_event(registration(spellings[number % 5]))))).collect();
    let (mut created, mut taken) = (Vec::new(), 0);
    for answer in running {
        let answer = answer.await.unwrap().unwrap();
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        match answer["statusCode"].as_u64() {
            Some(201) => created.push(body["id"].clone()),
            Some(409) => taken += usize::from(body["code"] == "email_taken"),
            _ => panic!("{answer}"),
        }
    }
    assert_eq!((created.len(), taken), (1, 49));
    door.check();
    assert_eq!((door.profiles().len(), &door.profiles()[0]["user_id"]["S"]), (1, &created[0]));
}

#[tokio::test]
async fn a_login_gives_tokens_that_count() {
    let door = Door::open().await;
    door.register(ADA).await;
    let login = door.login("ADA@example.com", PASSWORD).await;
    assert_eq!((login.status(), login.operations()), (200, vec!["GetItem", "PutItem"]));
    assert_eq!((&login.json()["token_type"], &login.json()["expires_in"]), (&json!("Bearer"), &json!(900)));
    let authorized = door.authorize(login.json()["access_token"].as_str().unwrap()).await;
    let context = &authorized.ok()["context"];
    let profile = door.profiles().remove(0);
    assert_eq!((&context["sub"], &context["role"], &context["tv"]), (&profile["user_id"]["S"], &json!("user"), &json!("1")));
    assert_eq!(authorized.operations(), ["GetItem"]);

    let refresh_token = login.json()["refresh_token"].as_str().unwrap().to_owned();
    let family = door.aws.items("sessions").remove(0);
    assert_eq!(family["pk"]["S"], format!("FAMILY#{}", refresh_token.split('.').next().unwrap()));
    let expires = door.clock.now().plus(SESSION_LIFETIME).seconds().to_string();
    assert_eq!((&family["user_id"], &family["ttl"]["N"]), (&profile["user_id"], &json!(expires)));
    let secret = refresh_token.split('.').nth(2).unwrap();
    assert_eq!(family["secret_hash"]["S"], sha256_hex(secret));
    assert!(!family.to_string().contains(secret), "the table gives no token away");
}

#[tokio::test]
async fn an_unknown_address_a_wrong_password_and_a_disabled_user_are_one_and_the_same() {
    let door = Door::open().await;
    door.register(ADA).await;
    let wrong = door.login(ADA, "wrong horse battery staple").await;
    assert_eq!((wrong.status(), code(&wrong).as_str()), (401, "invalid_credentials"));
    let unknown = door.login("eve@example.com", PASSWORD).await;
    let malformed = door.login("ada", PASSWORD).await;
    let mut credentials = door.credentials().remove(0);
    credentials["is_active"] = json!({ "BOOL": false });
    door.aws.put("users", &credentials);
    let disabled = door.login(ADA, PASSWORD).await;
    // All but the time that it took, which is the same too: one read and one hash.
    let seen = |called: &Called| {
        let mut answer = called.ok().clone();
        answer["headers"].as_object_mut().unwrap().remove("x-process-time");
        answer
    };
    for other in [&unknown, &malformed, &disabled] {
        assert_eq!((seen(other), other.operations()), (seen(&wrong), vec!["GetItem"]));
    }
    assert!(door.aws.items("sessions").is_empty());
}

#[tokio::test]
async fn whatever_happens_to_a_call_a_login_succeeds_or_may_be_repeated() {
    let registered = Door::open().await;
    registered.register(ADA).await;
    // The signing key, the credentials, the key of refresh tokens, the session; and nothing more.
    for fault in FAULTS {
        for call in 0..5 {
            let door = Door::open().await.with_users_of(&registered);
            door.aws.fail(call, fault);
            let first = door.login(ADA, PASSWORD).await;
            let is_spoiled = if fault == Fault::Conflict { call == 3 } else { call < 4 };
            assert_eq!(first.status(), if is_spoiled { 503 } else { 200 }, "{fault:?} at {call}");
            door.aws.heal();
            let token = door.token().await;
            assert!(door.authorize(&token).await.answer.is_ok(), "{fault:?} at {call}");
            // A session whose tokens nobody got is forgotten in time.
            let lost = usize::from((call, fault) == (3, Fault::LoseResponse));
            assert_eq!(door.aws.items("sessions").len(), 1 + lost + usize::from(!is_spoiled), "{fault:?} at {call}");
        }
    }
    let door = with_retries().with_users_of(&registered);
    door.rotate("first").await;
    door.aws.fail(3, Fault::LoseResponse);
    let login = door.login(ADA, PASSWORD).await;
    assert_eq!((login.status(), login.operations()), (200, vec!["GetItem", "PutItem", "PutItem"]));
    assert_eq!(door.aws.items("sessions").len(), 1);
}

#[tokio::test]
async fn before_the_first_rotation_nobody_can_log_in_and_right_after_it_everybody_can() {
    let door = Door::new();
    door.register(ADA).await;
    for password in [PASSWORD, "wrong horse battery staple"] {
        let early = door.login(ADA, password).await;
        assert_eq!((early.status(), code(&early).as_str()), (503, "no_signing_key"));
        assert_eq!((early.header("retry-after").as_deref(), early.operations().len()), (Some("5"), 0));
    }
    assert_eq!(kind(&door.authorize("a.b.c").await), "Unauthorized");
    door.rotate("first").await;
    assert_eq!(door.login(ADA, PASSWORD).await.status(), 200, "the same instance, which has seen that there is no key");
}

#[tokio::test]
async fn a_role_is_changed_in_both_items_and_makes_the_old_tokens_worthless() {
    let door = Door::open().await;
    door.register(ADA).await;
    let token = door.token().await;
    door.clock.advance(Duration::from_secs(60));
    let granted = door.grant("ADA@Example.com", "admin").await;
    let id = door.profiles()[0]["user_id"]["S"].clone();
    assert_eq!((granted.ok(), granted.operations()), (&json!({ "user_id": id, "role": "admin" }), vec!["GetItem", "TransactWriteItems"]));
    door.check();
    let number = |name: &str| door.profiles()[0][name]["N"].as_str().unwrap().parse::<u64>().unwrap();
    let role = || door.profiles()[0]["role"]["S"].as_str().unwrap().to_owned();
    assert_eq!((role().as_str(), number("tv"), number("version")), ("admin", 2, 2));
    assert_eq!(door.profiles()[0]["updated_at"]["S"], "2026-11-21T10:01:00.000Z");
    assert_eq!(kind(&door.authorize(&token).await), "Unauthorized");
    let new_token = door.token().await;
    assert_eq!(door.authorize(&new_token).await.ok()["context"]["role"], "admin");

    let before = door.aws.items("users");
    let again = door.grant(ADA, "admin").await;
    assert_eq!((again.ok(), again.operations()), (granted.ok(), vec!["GetItem"]));
    assert_eq!(door.aws.items("users"), before);
    assert!(door.authorize(&new_token).await.answer.is_ok(), "what changes nothing logs nobody out");

    assert!(door.grant(ADA, "user").await.answer.is_ok());
    door.check();
    assert_eq!((role().as_str(), number("tv"), number("version")), ("user", 3, 3));
}

#[tokio::test]
async fn a_role_for_nobody_and_no_role_are_refused_and_write_nothing() {
    let door = Door::new();
    door.register(ADA).await;
    let before = door.aws.items("users");
    for (email, role, refused, calls) in [
        ("eve@example.com", "admin", "UnknownEmail", 1),
        ("ada", "admin", "UnknownEmail", 0),
        ("", "admin", "UnknownEmail", 0),
        (ADA, "owner", "UnknownRole", 0),
        (ADA, "Admin", "UnknownRole", 0),
        (ADA, "", "UnknownRole", 0),
    ] {
        let called = door.grant(email, role).await;
        assert_eq!((kind(&called), called.operations().len()), (refused, calls), "{email} {role}");
    }
    assert_eq!(door.aws.items("users"), before);
}

#[tokio::test]
async fn whatever_happens_to_a_call_a_role_changes_in_both_items_or_in_none_and_once() {
    let registered = Door::new();
    registered.register(ADA).await;
    for fault in FAULTS {
        for call in 0..3 {
            let door = Door::new().with_users_of(&registered);
            door.aws.fail(call, fault);
            let first = door.grant(ADA, "admin").await;
            let is_lost = matches!(fault, Fault::LoseRequest | Fault::LoseResponse);
            let is_spoiled = call == 0 && fault != Fault::Conflict || call == 1 && is_lost;
            assert_eq!(kind(&first), if is_spoiled { "Unavailable" } else { "" }, "{fault:?} at {call}");
            door.check();
            door.aws.heal();
            assert!(door.grant(ADA, "admin").await.answer.is_ok());
            door.check();
            let profile = door.profiles().remove(0);
            assert_eq!((&profile["role"]["S"], &profile["tv"]["N"]), (&json!("admin"), &json!("2")), "{fault:?} at {call}");
        }
    }
    // Credentials whose profile is missing are half a user: nothing is written.
    let half = Door::new();
    half.aws.put("users", &registered.credentials()[0]);
    let before = half.aws.items("users");
    assert_eq!(kind(&half.grant(ADA, "admin").await), "Unavailable");
    assert_eq!(half.aws.items("users"), before);
}

#[tokio::test]
async fn a_role_that_was_decided_upon_an_old_state_is_not_written() {
    let door = Door::new();
    door.register(ADA).await;
    let seen = door.users.store.credentials(ADA).await.unwrap().expect("she is registered");
    let change = seen.grant(Role::Admin).expect("it is another role");
    assert!(door.grant(ADA, "admin").await.answer.is_ok());
    assert!(door.grant(ADA, "user").await.answer.is_ok());
    let (before, now) = (door.aws.items("users"), door.clock.now());
    assert!(!door.users.store.change_role(&seen, change, now).await.unwrap());
    let present = RoleChange { seen: 3, next: 4, role: "admin" };
    let other = Credentials { user_id: Ids::seeded(1).create(now), ..seen.clone() };
    assert!(!door.users.store.change_role(&other, present, now).await.unwrap(), "the address is somebody else's by now");
    assert_eq!(door.aws.items("users"), before);
    assert!(door.users.store.change_role(&seen, present, now).await.unwrap());
    door.check();
}

#[tokio::test]
async fn grants_that_race_move_the_token_version_once() {
    let registered = Door::new();
    registered.register(ADA).await;
    let mut races = 0;
    for seed in 0..10 {
        let aws = Aws::new();
        let config = aws.crowded_sdk_config(seed);
        let door = Door::over(aws, &config).with_users_of(&registered);
        let lambda = invoke::lambda(door.users.clone(), grant_role);
        let event = json!({ "email": ADA, "role": "admin" });
        let both: Lambda = Arc::new(move |_| {
            let (one, other) = (lambda(Invocation::with_event(event.clone())), lambda(Invocation::with_event(event.clone())));
            Box::pin(async move {
                let (one, other) = tokio::join!(one, other);
                Ok::<_, Failure>(json!([one?, other?]))
            })
        });
        let called = door.aws.call(&both, Value::Null).await;
        assert_eq!(called.ok()[0], called.ok()[1], "seed {seed}");
        door.check();
        assert_eq!(door.profiles()[0]["tv"]["N"], "2", "seed {seed}");
        races += usize::from(called.operations().iter().filter(|operation| **operation == "TransactWriteItems").count() == 2);
    }
    assert!(races > 0, "no seed lets both read before one of them writes: this test shows nothing");
}

#[tokio::test]
async fn a_user_who_is_gone_or_disabled_or_whose_token_version_moved_on_is_out() {
    let registered = Door::open().await;
    registered.register(ADA).await;
    let token = registered.token().await;
    let authorized = registered.authorize(&token).await;
    assert_eq!(authorized.ok()["policyDocument"]["Statement"][0]["Effect"], "Allow");
    let unauthorized = Err(Failure::refusal("Unauthorized"));

    registered.set("is_active", json!({ "BOOL": false }));
    assert_eq!(registered.authorize(&token).await.answer, unauthorized);
    registered.set("is_active", json!({ "BOOL": true }));
    assert!(registered.authorize(&token).await.answer.is_ok());
    for other in ["2", "0"] {
        registered.set("tv", json!({ "N": other }));
        assert_eq!(registered.authorize(&token).await.answer, unauthorized, "{other}");
    }
    registered.set("tv", json!({ "N": "1" }));
    assert!(registered.authorize(&token).await.answer.is_ok());

    // The same keys in a world without her.
    let without = Door::new();
    without.aws.secrets_manager().set("signing-key", &registered.aws.secrets_manager().text("signing-key").unwrap());
    let gone = without.authorize(&token).await;
    assert_eq!((gone.answer.clone(), gone.operations()), (unauthorized.clone(), vec!["GetItem"]));
    // What is no token of ours costs no read.
    let (head, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    for odd in ["", "a.b.c", head, &format!("{head}."), &format!("{head}.{first}{}", &signature[1..])] {
        let refused = registered.authorize(odd).await;
        assert_eq!((refused.answer.clone(), refused.operations().len()), (unauthorized.clone(), 0), "{odd}");
    }
}

#[tokio::test]
async fn trouble_with_table_or_secret_logs_nobody_out() {
    let registered = Door::open().await;
    registered.register(ADA).await;
    let token = registered.token().await;
    for fault in [Fault::Throttle, Fault::LoseRequest, Fault::LoseResponse] {
        // A cold instance reads the keys first, then the user.
        for call in 0..2 {
            let door = registered.cold();
            door.aws.fail(call, fault);
            assert_eq!(kind(&door.authorize(&token).await), "Unavailable", "{fault:?} at {call}");
            assert!(door.authorize(&token).await.answer.is_ok(), "{fault:?} at {call}");
        }
    }
    // A token of a key that is newer than the copy: the keys cannot be read again.
    let door = registered.cold();
    assert!(door.authorize(&token).await.answer.is_ok());
    registered.rotate("second").await;
    let new_token = registered.cold().token().await;
    door.aws.fail(0, Fault::LoseRequest);
    assert_eq!(kind(&door.authorize(&new_token).await), "Unavailable");
    door.clock.advance(RELOAD_PAUSE);
    assert!(door.authorize(&new_token).await.answer.is_ok());
    registered.aws.secrets_manager().set("signing-key", "nonsense");
    assert_eq!(kind(&registered.cold().authorize(&token).await), "Unavailable");
}

#[tokio::test]
async fn every_step_of_a_rotation_may_be_repeated() {
    let door = Door::open().await;
    let first: Vec<_> = door.keys().into_iter().collect();
    assert_eq!(first.len(), 1);
    door.aws.secrets_manager().begin_rotation("signing-key", "second");
    let mut after_step = Vec::new();
    for (step, calls_of_the_repetition) in STEPS.into_iter().zip([&["GetSecretValue"][..], &[], &["GetSecretValue"], &["DescribeSecret"]]) {
        for repeated in [false, true] {
            let called = door.step(step, "second").await;
            assert!(called.answer.is_ok(), "{step}");
            let calls: Vec<_> = called.calls.iter().map(|call| call.operation.as_str()).collect();
            assert!(!repeated || calls == calls_of_the_repetition, "{step} again: {calls:?}");
            after_step.push(door.keys());
        }
    }
    // Nothing counts before the last step, and its repetition changes nothing.
    assert!(after_step[..6].iter().all(|keys| *keys == after_step[0] && keys.len() == 1));
    assert_eq!(after_step[6], after_step[7]);
    let keys = door.keys();
    assert_eq!((keys.len(), keys[&first[0].0].as_str()), (2, "retired"));
    assert_eq!(keys.values().filter(|status| *status == "current").count(), 1);
    // All of it once more, late.
    for step in STEPS {
        assert!(door.step(step, "second").await.answer.is_ok(), "{step}");
    }
    assert_eq!(door.keys(), keys);
}

#[tokio::test]
async fn whatever_happens_to_a_call_a_rotation_makes_one_key() {
    for fault in [Fault::Throttle, Fault::LoseRequest, Fault::LoseResponse] {
        for step in STEPS {
            for call in 0..4 {
                let door = Door::open().await;
                let before = door.keys();
                door.aws.secrets_manager().begin_rotation("signing-key", "second");
                for now in STEPS {
                    if now == step {
                        door.aws.fail(call, fault);
                        let spoiled = door.step(now, "second").await;
                        assert!(["", "SecretsManagerFailed"].contains(&kind(&spoiled)), "{:?}", spoiled.answer);
                        // Steps make three calls, one and four.
                        let calls = match now {
                            "createSecret" => 3,
                            "setSecret" => 0,
                            "testSecret" => 1,
                            _ => 4,
                        };
                        assert_eq!(kind(&spoiled).is_empty(), call >= calls, "{fault:?} at {call} of {now}");
                        door.aws.heal();
                        let is_moved = now == "finishSecret" && (call, fault) == (3, Fault::LoseResponse);
                        assert_eq!(door.keys() == before, !is_moved, "{fault:?} at {call} of {now}");
                    }
                    let done = door.step(now, "second").await;
                    assert!(done.answer.is_ok(), "{fault:?} at {call} of {step}: {now}: {:?}", done.answer);
                }
                let (old, keys) = (before.keys().next().unwrap(), door.keys());
                assert_eq!((keys.len(), keys[old].as_str()), (2, "retired"), "{fault:?} at {call} of {step}");
                assert_eq!(keys.values().filter(|status| *status == "current").count(), 1);
            }
        }
    }
}

#[tokio::test]
async fn a_rotation_that_another_one_has_overtaken_does_not_throw_its_key_away() {
    let door = Door::open().await;
    door.aws.secrets_manager().begin_rotation("signing-key", "slow");
    assert!(door.step("createSecret", "slow").await.answer.is_ok());
    door.rotate("quick").await;
    let keys = door.keys();
    assert_eq!(kind(&door.step("finishSecret", "slow").await), "Superseded");
    assert_eq!(door.keys(), keys);
    assert_eq!(kind(&door.step("testSecret", "never begun").await), "UnreadableKeys");
    assert_eq!(kind(&door.step("finishSecret", "never begun").await), "UnreadableKeys");
    assert_eq!(door.keys(), keys);
}

#[tokio::test]
async fn tokens_that_were_signed_before_a_rotation_count_until_they_expire() {
    let door = Door::open().await;
    door.register(ADA).await;
    let token = door.token().await;
    door.rotate("second").await;
    // This instance goes on with the key that it knows, as long as it may.
    door.clock.advance(KEPT - Duration::from_millis(1));
    let late_token = door.token().await;
    door.clock.advance(Duration::from_millis(1));
    let new_token = door.token().await;
    let kid = |token: &str| token.split('.').next().unwrap().to_owned();
    assert_eq!(kid(&token), kid(&late_token));
    assert_ne!(kid(&token), kid(&new_token), "the header names the key");
    let counts = async || {
        let mut all = Vec::new();
        for token in [&token, &late_token, &new_token] {
            let (warm, cold) = (door.authorize(token).await, door.cold().authorize(token).await);
            assert_eq!(kind(&warm), kind(&cold));
            all.push(cold.answer.is_ok());
        }
        all
    };
    assert_eq!(counts().await, [true, true, true]);
    door.clock.advance(LIFETIME - KEPT - Duration::from_millis(1));
    assert_eq!(counts().await, [true, true, true]);
    door.clock.advance(Duration::from_millis(1));
    assert_eq!(counts().await, [false, true, true]);
    // A second rotation in a hurry makes the first key no younger.
    door.rotate("third").await;
    door.clock.advance(KEPT - Duration::from_secs(2));
    assert_eq!(counts().await, [false, true, true]);
    // A token's time has whole seconds: that of the late one began one second before the copy of the keys was too old.
    door.clock.advance(Duration::from_secs(1));
    assert_eq!(counts().await, [false, false, true]);
    door.clock.advance(Duration::from_secs(1));
    assert_eq!(counts().await, [false, false, false]);
    assert!(RETAINED > KEPT + LIFETIME);
}

#[tokio::test]
async fn keys_that_nobody_knows_are_looked_for_every_thirty_seconds_at_most() {
    let foreign = Door::open().await;
    foreign.rotate("second").await;
    foreign.register(ADA).await;
    let made_up = foreign.token().await;

    let door = Door::open().await;
    door.register(ADA).await;
    let token = door.token().await;
    let asks = async |token: &str| secrets_read(&door.authorize(token).await);
    assert_eq!(kind(&door.authorize(&made_up).await), "Unauthorized");
    assert_eq!(asks(&made_up).await, 0, "one look just now");
    door.clock.advance(RELOAD_PAUSE - Duration::from_millis(1));
    assert_eq!((asks(&made_up).await, asks(&token).await), (0, 0));
    door.clock.advance(Duration::from_millis(1));
    assert_eq!((asks(&made_up).await, asks(&made_up).await, asks(&token).await), (1, 0, 0));

    // A key that is new is noticed at once, if nothing was looked for of late.
    door.clock.advance(RELOAD_PAUSE);
    door.rotate("third").await;
    let new_token = door.cold().token().await;
    let noticed = door.authorize(&new_token).await;
    assert_eq!((noticed.answer.is_ok(), secrets_read(&noticed)), (true, 1));
    let again = door.authorize(&new_token).await;
    assert_eq!((again.answer.is_ok(), secrets_read(&again)), (true, 0));
}
