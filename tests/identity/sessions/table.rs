//! The same scenarios through the operations themselves, on the embedded DynamoDB.

use std::time::Duration;

use serde_json::json;
use shared::{
    clock::Timestamp,
    lambda::{Invocation, Lambda},
};
use tests::{
    aws::{Called, Fault},
    rng::Rng,
    shop::{
        Shop,
        accounts::{ADA, PASSWORD, Session, request},
    },
};
use users::tokens::refresh::{RefreshToken, RefreshTokenKey};

use super::{
    memory,
    rules::{Act, State},
    scenario::{Answer, Asked, Backend, CallFault, Held, Request},
};

pub struct Tables {
    shop: Shop,
    admin: Option<Session>,
    session: Session,
    key: RefreshTokenKey,
    refresh: Lambda,
    renamed: u32,
}

impl Tables {
    pub async fn new(seed: u64) -> Self {
        let shop = Shop::crowded(seed);
        let user = shop.enrol(ADA).await;
        let session = shop.enter(user.id).await;
        let key = shop.refresh_key().await;
        let refresh = shop.lambda("refresh-token");
        // Secrets are read once, before the scenarios.
        shop.refresh("none of ours").await;
        Self { shop, admin: None, session, key, refresh, renamed: 0 }
    }

    fn held(&self, text: String) -> Held {
        let token = RefreshToken::open(&text, &self.key).expect("it is one of ours");
        Held {
            number: token.sequence,
            hash: token.secret_hash(),
            user_version: token.subject.version,
            text,
        }
    }

    async fn other(&mut self, act: Act) -> Called {
        let id = self.session.user_id();
        match act {
            Act::Logout => self.shop.logout(&self.session).await,
            Act::ChangePassword { here } => {
                let session = if here { self.session.clone() } else { self.shop.enter(id).await };
                self.shop.change_password(&session, PASSWORD, PASSWORD).await
            }
            Act::SetActive(is_active) => {
                if self.admin.is_none() {
                    self.admin = Some(self.shop.admin("grace@example.com").await);
                }
                let admin = self.admin.as_ref().expect("just made");
                self.shop.set_active(admin, id, is_active).await
            }
            Act::Rename | Act::Refresh(_) => {
                self.renamed += 1;
                self.shop
                    .edit(&self.session, &json!({ "username": format!("ada{}", self.renamed) }))
                    .await
            }
        }
    }

    fn answer(&self, called: &Called, has_fault: bool) -> Answer {
        match called.status() {
            200 | 204 => Session::of(called)
                .map_or(Answer::Done, |session| Answer::Token(self.held(session.refresh_token))),
            401 => Answer::Refused,
            // If a fault hit a change, its reads may have failed as well.
            _ if has_fault => Answer::Busy,
            _ => Answer::VersionConflict,
        }
    }
}

impl Backend for Tables {
    fn first(&self) -> Held {
        self.held(self.session.refresh_token.clone())
    }

    fn now(&self) -> Timestamp {
        self.shop.clock.now()
    }

    fn wait(&mut self, time: Duration) {
        self.shop.clock.advance(time);
    }

    async fn state(&mut self) -> (State, String) {
        let found = self
            .shop
            .users
            .store
            .user_and_session(self.session.user_id(), Some(self.session.id()))
            .await
            .unwrap();
        let (Some(user), Some(session)) = found else {
            panic!("the user and the session are there")
        };
        (memory::state(&session, &user), session.secret_hash)
    }

    /// Executes the token exchanges concurrently. It is random which of them a faulty call hits.
    async fn carry_out(&mut self, requests: &[Request], _: &mut Rng) -> Vec<Answer> {
        // Preparing these requests must not hit the injected fault.
        let is_prepared = |request: &Request| {
            matches!(
                request.asked,
                Asked::Other(Act::ChangePassword { here: false } | Act::SetActive(_))
            )
        };
        let faulty = requests.iter().filter(|_| !requests.iter().any(is_prepared));
        for (call, fault) in faulty.filter_map(|request| request.fault) {
            let fault = if fault == CallFault::LoseRequest {
                Fault::LoseRequest
            } else {
                Fault::LoseResponse
            };
            self.shop.aws.fail(call * requests.len(), fault);
        }
        let has_fault = requests.iter().any(|request| request.fault.is_some());
        let mut running = Vec::new();
        for asked in requests {
            if let Asked::Refresh(token) = &asked.asked {
                let request = request("refresh-token", &json!({ "refresh_token": token.text }));
                running.push(tokio::spawn((self.refresh)(Invocation::with_event(request.event()))));
            }
        }
        let mut others = Vec::new();
        for request in requests {
            if let Asked::Other(act) = request.asked {
                others.push(self.other(act).await);
            }
        }
        let (mut running, mut others) = (running.into_iter(), others.into_iter());
        let mut answers = Vec::new();
        for request in requests {
            let called = match request.asked {
                Asked::Refresh(_) => {
                    let answer =
                        running.next().expect("each has begun").await.expect("no operation panics");
                    Called { answer, calls: Vec::new() }
                }
                Asked::Other(_) => others.next().expect("each has begun"),
            };
            answers.push(self.answer(&called, has_fault));
        }
        self.shop.aws.heal();
        answers
    }
}
