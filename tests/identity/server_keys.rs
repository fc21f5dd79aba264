//! The secret `users-key` rotates while people come back: tokens, links and cursors of the previous key go on working.

use std::time::Duration;

use serde_json::json;
use shared::secret::KEY_DELAY;
use tests::{
    door::{ADA, Door, PASSWORD, Session},
    events,
};
use users::operations::list_users::list_users;

use crate::{dice::Dice, print};

const MILLISECOND: Duration = Duration::from_millis(1);
const STEP: Duration = Duration::from_secs(20);

/// A shop with three instances of each function, and a customer who is logged in.
struct World {
    door: Door,
    instances: Vec<Door>,
    dice: Dice,
    session: Session,
    exchanges: usize,
}

impl World {
    /// One of the instances, which now and then is new.
    fn instance(&mut self) -> Door {
        let number = self.dice.within(0..self.instances.len());
        if self.dice.chance(5) {
            self.instances[number] = self.door.cold();
        }
        self.instances[number].clone()
    }

    /// Exchanges the refresh token at one instance and, as if the answer was lost, at another one.
    async fn exchange(&mut self, pause: Duration) {
        let shown = self.session.refresh_token.clone();
        let mut answers = Vec::new();
        for _ in 0..2 {
            let called = self.instance().refresh(&shown).await;
            let at = self.door.clock.now();
            answers.push(Session::of(&called).unwrap_or_else(|| panic!("logged out at {at}: {:?}", called.answer)));
            self.door.clock.advance(pause);
        }
        self.session = answers.swap_remove(self.dice.within(0..2));
        self.exchanges += 1;
    }
}

#[tokio::test]
async fn server_key_rotation_invalidates_no_session_device_link_or_cursor() {
    let door = Door::open();
    let user = door.enrol(ADA).await;
    let admin = door.admin("grace@example.com").await;
    let session = door.log_in(ADA).await;
    let mut world = World { instances: vec![door.cold(), door.cold(), door.cold()], door, dice: Dice::new(1), session, exchanges: 0 };
    let door = world.door.clone();
    let mut device = door.login_from("192.0.2.1", None, ADA, PASSWORD).await.header("x-device-token").unwrap();
    for rotation in 0..3 {
        // Each instance has its copy of the key.
        for instance in &world.instances {
            world.session = Session::of(&instance.refresh(&world.session.refresh_token).await).unwrap();
        }
        let idle = door.enter(user.id).await;
        let page = door.http(list_users, admin.request(events::get("/users?limit=1"))).await;
        let cursor = page.json()["next_cursor"].as_str().unwrap().to_owned();
        assert_eq!(door.request_reset(ADA).await.status(), 202);
        let sealed = door.user(user.id).await.reset.unwrap().sealed;

        for key in ["users-key", "mail-token-key"] {
            door.aws.secrets_manager().rotate_server_key(key, &format!("{key} {rotation}"), door.clock.now());
        }
        let takes_effect = door.clock.now().plus(KEY_DELAY);
        while door.clock.now().plus(STEP) < takes_effect {
            world.exchange(STEP / 10).await;
            door.clock.advance(STEP - STEP / 5);
        }
        // The new key begins to make between an exchange and its repetition.
        door.clock.advance(takes_effect.since(door.clock.now()) - MILLISECOND);
        world.exchange(MILLISECOND).await;
        for _ in 0..50 {
            world.exchange(STEP / 10).await;
            door.clock.advance(STEP);
        }

        let strangers = async || while door.login_from("198.51.100.1", None, ADA, "not the password").await.status() == 401 {};
        strangers().await;
        let known = world.instance().login_from("192.0.2.1", Some(&device), ADA, PASSWORD).await;
        let replaced = known.header("x-device-token");
        assert_eq!((known.status(), replaced.is_some()), (200, true), "the device is known, and gets a token of the new key");
        device = replaced.unwrap();
        let again = world.instance().login_from("192.0.2.1", Some(&device), ADA, PASSWORD).await;
        assert_eq!((again.status(), again.header("x-device-token")), (200, None));
        let path = format!("/users?limit=1&cursor={cursor}");
        assert_eq!(world.instance().http(list_users, admin.request(events::get(&path))).await.status(), 200);
        assert!(Session::of(&world.instance().refresh(&idle.refresh_token).await).is_some());
        assert_eq!(door.unseal(&sealed, user.id).await, door.reset_token(user.id).await);
        door.clock.advance(Duration::from_secs(24 * 3600));
    }
    print(&format!("three rotations of the server key: {} exchanges, each repeated, and nobody is logged out", world.exchanges));
    assert!(world.exchanges > 500, "{}", world.exchanges);
}

#[tokio::test]
async fn server_key_without_a_previous_one_ends_every_session() {
    let door = Door::open();
    let user = door.enrol(ADA).await;
    let session = door.enter(user.id).await;
    door.aws.secrets_manager().set("users-key", &json!({ "current": "new", "previous": "", "rotated_at": door.clock.now() }).to_string());
    assert_eq!(door.cold().refresh(&session.refresh_token).await.status(), 401);
    let new = door.cold().log_in(ADA).await;
    assert_eq!(door.cold().refresh(&new.refresh_token).await.status(), 200);
}
