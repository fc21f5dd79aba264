//! The tables as variables in memory: fast enough for tens of thousands of scenarios.
//!
//! The service's own [`Session::token_status`], [`User`] and [`RefreshToken`] are under test. The
//! conditions of `store/sessions.rs` and the order of calls in `operations/refresh_token.rs` are
//! repeated here. One step is one database call, and concurrent requests interleave between steps.
//! The scenarios on the embedded tables verify that this copy is accurate.

use std::time::Duration;

use shared::{
    clock::{Clock, Timestamp},
    ids::Ids,
    seal::SealingKey,
    telemetry::Trace,
};
use tests::{rng::Rng, shop::SESSION_MAX};
use users::{
    domain::{
        AdminEdit, Email, EndReason, FullName, ProfileEdit, Registration, SESSION_LIFETIME,
        Session, TokenStatus, User, Username, VERIFICATION_LIFETIME, session_expiry,
    },
    tokens::{
        one_time::OneTimeToken,
        refresh::{RefreshToken, RefreshTokenKey, TokenSubject},
    },
};

use super::{
    rules::{Act, End, State},
    scenario::{Answer, Asked, Backend, CallFault, Held, Request},
};

/// As in `operations/refresh_token.rs`.
const TRIES: u32 = 5;

/// A flaw in the conditions: the test must detect each one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The exchange does not check whether the token is the current one.
    NoSequence,
    /// The exchange does not check whether the session has ended.
    NoEnd,
    /// The exchange does not check whether the session has expired.
    NoExpiry,
    /// The exchange extends a session beyond its maximum lifetime.
    NoAbsoluteEnd,
    /// The exchange does not check the session epoch of the user.
    NoEpoch,
    /// The exchange does not check the version of the user.
    NoVersion,
    /// A reuse ends the session but does not revoke the access tokens.
    NoTokenVersion,
    /// A reuse revokes the access tokens but does not end the session.
    NoRevocation,
    /// Two requests that detect a reuse at the same time both count it.
    RevokedTwice,
    /// A token of an ended session is treated as a reuse.
    OverIsReuse,
    /// The previous token can be repeated without a time limit.
    EndlessGrace,
    /// The previous token cannot be repeated.
    NoGrace,
    /// An exchange is answered before it is written.
    AnsweredTooSoon,
    /// A logout has no effect.
    NoLogout,
}

pub struct Memory {
    clock: Clock,
    key: RefreshTokenKey,
    trace: Trace,
    first: RefreshToken,
    session: Session,
    user: User,
    flaw: Option<Flaw>,
}

impl Memory {
    pub fn new(flaw: Option<Flaw>) -> Self {
        let (ids, clock) = (Ids::seeded(1), tests::shop::clock());
        let now = clock.now();
        let id = ids.create(now);
        let link = OneTimeToken::create(id, &ids).link(
            &SealingKey::new([3; 32]),
            now,
            VERIFICATION_LIFETIME,
            &ids,
        );
        let registration = Registration {
            email: Email::parse("ada@example.com").unwrap(),
            username: Username::parse("ada").unwrap(),
            full_name: FullName::parse("Ada Lovelace").unwrap(),
        };
        let trace = Trace::start(&ids);
        let user = User::register(id, registration, link, now, trace.clone());
        let first = RefreshToken::first(TokenSubject::from(&user), &ids, now);
        Self {
            session: Session::start(
                user.id,
                user.session_epoch,
                first.generation(),
                session_expiry(first.started_at(), SESSION_MAX, now),
                now,
            ),
            key: RefreshTokenKey::new([1; 32], [2; 32]),
            clock,
            trace,
            first,
            user,
            flaw,
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn held(&self, token: &RefreshToken) -> Held {
        Held {
            number: token.sequence,
            hash: token.secret_hash(),
            text: token.text(&self.key),
            user_version: token.subject.version,
        }
    }

    /// As `Store::rotate_refresh_token`: `None` on success; otherwise the session and the user,
    /// each only if its condition failed.
    fn rotate(
        &mut self,
        presented: &RefreshToken,
        successor: &RefreshToken,
        now: Timestamp,
    ) -> Option<(Option<Session>, Option<User>)> {
        let session = &self.session;
        let session_agrees = (self.has(Flaw::NoSequence)
            || session.sequence == presented.sequence
                && session.secret_hash == presented.secret_hash())
            && session.user_id == successor.subject.user_id
            && (self.has(Flaw::NoEpoch)
                || session.session_epoch == successor.subject.session_epoch)
            && (self.has(Flaw::NoExpiry) || session.expires_at > now)
            && (self.has(Flaw::NoEnd) || session.end_reason.is_none());
        let user_agrees = self.has(Flaw::NoVersion)
            || self.user.version == successor.subject.version && self.user.is_active;
        if !session_agrees || !user_agrees {
            return Some((
                (!session_agrees).then(|| self.session.clone()),
                (!user_agrees).then(|| self.user.clone()),
            ));
        }
        self.session.sequence = successor.sequence;
        self.session.secret_hash = successor.secret_hash();
        self.session.rotated_at = Some(now);
        self.session.expires_at = match self.has(Flaw::NoAbsoluteEnd) {
            true => now.plus(SESSION_LIFETIME),
            false => session_expiry(presented.started_at(), SESSION_MAX, now),
        };
        None
    }

    /// As `Store::update_user` together with the end of the session. Returns whether it was
    /// written.
    fn revoke(&mut self, seen: &User) -> bool {
        let is_over = self.session.end_reason.is_some() && !self.has(Flaw::RevokedTwice);
        if self.user.version != seen.version || is_over {
            return false;
        }
        self.user = seen.with_tokens_revoked(self.trace.clone());
        if self.has(Flaw::NoTokenVersion) {
            self.user.token_version = seen.token_version;
        }
        if !self.has(Flaw::NoRevocation) {
            self.session.end_reason = Some(EndReason::TokenReused);
        }
        true
    }

    /// One database call. `None`: the request continues.
    fn step(&mut self, running: &mut Running, request: &Request) -> Option<Answer> {
        let fault =
            request.fault.filter(|(call, _)| *call == running.calls).map(|(_, fault)| fault);
        running.calls += 1;
        if fault == Some(CallFault::LoseRequest) {
            return Some(Answer::Busy);
        }
        let answer = self.call(running);
        if fault == Some(CallFault::LoseResponse) {
            return Some(Answer::Busy);
        }
        answer
    }

    fn call(&mut self, running: &mut Running) -> Option<Answer> {
        let now = running.now;
        match &mut running.next {
            Next::Rotate { presented, successor, tries } => {
                let is_over = session_expiry(presented.started_at(), SESSION_MAX, now) <= now;
                if is_over && !self.has(Flaw::NoAbsoluteEnd) && !self.has(Flaw::NoExpiry) {
                    return Some(Answer::Refused);
                }
                if self.has(Flaw::AnsweredTooSoon) && presented.sequence == self.session.sequence {
                    return Some(Answer::Token(self.held(successor)));
                }
                let Some((session, user)) = self.rotate(presented, successor, now) else {
                    return Some(Answer::Token(self.held(successor)));
                };
                *tries += 1;
                let user_changed = user.is_some();
                if let Some(user) = user {
                    if !user.is_active {
                        return Some(Answer::Refused);
                    }
                    **successor = presented.successor(TokenSubject::from(&user), &self.key);
                }
                let Some(session) = session else {
                    let again = user_changed && *tries < TRIES;
                    return (!again).then_some(if user_changed {
                        Answer::Busy
                    } else {
                        Answer::Refused
                    });
                };
                let is_alive = session.is_active(
                    successor.subject.user_id,
                    successor.subject.session_epoch,
                    now,
                );
                let token_status =
                    if is_alive || self.has(Flaw::OverIsReuse) && session.end_reason.is_none() {
                        self.token_status(&session, presented, successor, now)
                    } else {
                        TokenStatus::SessionEnded
                    };
                match token_status {
                    TokenStatus::JustRotated => Some(Answer::Token(self.held(successor))),
                    TokenStatus::Current if user_changed && *tries < TRIES => None,
                    TokenStatus::Current if user_changed => Some(Answer::Busy),
                    TokenStatus::Current | TokenStatus::SessionEnded => Some(Answer::Refused),
                    TokenStatus::Reused => {
                        running.next = Next::LookBeforeRevoking { tries: 0 };
                        None
                    }
                }
            }
            Next::LookBeforeRevoking { tries } => {
                if self.session.end_reason.is_some() && !self.has(Flaw::RevokedTwice) {
                    return Some(Answer::Refused);
                }
                running.next = Next::Revoke { seen: Box::new(self.user.clone()), tries: *tries };
                None
            }
            Next::Revoke { seen, tries } => {
                if self.revoke(seen) {
                    return Some(Answer::Refused);
                }
                let tries = *tries + 1;
                running.next = Next::LookBeforeRevoking { tries };
                (tries == TRIES).then_some(Answer::Busy)
            }
            Next::Logout => {
                if self.session.end_reason.is_none() && !self.has(Flaw::NoLogout) {
                    self.session.end_reason = Some(EndReason::LoggedOut);
                }
                Some(Answer::Done)
            }
            Next::LookBeforeChanging(act) => {
                running.next = Next::Change(*act, Box::new(self.user.clone()));
                None
            }
            Next::Change(act, seen) => {
                let keeps = *act == Act::ChangePassword { here: true };
                if self.user.version != seen.version || keeps && self.session.end_reason.is_some() {
                    return Some(Answer::VersionConflict);
                }
                let trace = self.trace.clone();
                self.user = match act {
                    Act::ChangePassword { .. } => seen.with_changed_password(now, trace),
                    Act::SetActive(is_active) => seen.edited_by_admin(
                        AdminEdit { is_active: Some(*is_active), ..Default::default() },
                        now,
                        trace,
                    ),
                    _ => seen
                        .edited(ProfileEdit::default(), now, trace)
                        .expect("no address is asked for"),
                };
                if keeps {
                    self.session.session_epoch = self.user.session_epoch;
                }
                Some(Answer::Done)
            }
        }
    }

    fn token_status(
        &self,
        session: &Session,
        presented: &RefreshToken,
        successor: &RefreshToken,
        now: Timestamp,
    ) -> TokenStatus {
        match session.token_status(&presented.generation(), &successor.generation(), now) {
            TokenStatus::Reused
                if self.has(Flaw::EndlessGrace)
                    && successor.secret_hash() == session.secret_hash =>
            {
                TokenStatus::JustRotated
            }
            TokenStatus::JustRotated if self.has(Flaw::NoGrace) => TokenStatus::Reused,
            TokenStatus::SessionEnded if self.has(Flaw::OverIsReuse) => TokenStatus::Reused,
            token_status => token_status,
        }
    }
}

/// A request between two calls.
struct Running {
    next: Next,
    now: Timestamp,
    calls: usize,
}

enum Next {
    Rotate { presented: Box<RefreshToken>, successor: Box<RefreshToken>, tries: u32 },
    LookBeforeRevoking { tries: u32 },
    Revoke { seen: Box<User>, tries: u32 },
    Logout,
    LookBeforeChanging(Act),
    Change(Act, Box<User>),
}

impl Backend for Memory {
    fn first(&self) -> Held {
        self.held(&self.first)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn wait(&mut self, time: Duration) {
        self.clock.advance(time);
    }

    async fn state(&mut self) -> (State, String) {
        (state(&self.session, &self.user), self.session.secret_hash.clone())
    }

    async fn carry_out(&mut self, requests: &[Request], rng: &mut Rng) -> Vec<Answer> {
        let begin = |request: &Request| {
            let next = match &request.asked {
                Asked::Refresh(token) => {
                    let presented =
                        RefreshToken::open(&token.text, &self.key).expect("it is one of ours");
                    let successor =
                        Box::new(presented.successor(presented.subject.clone(), &self.key));
                    Next::Rotate { presented: Box::new(presented), successor, tries: 0 }
                }
                Asked::Other(Act::Logout) => Next::Logout,
                Asked::Other(act) => Next::LookBeforeChanging(*act),
            };
            Running { next, now: self.clock.now().plus(request.skew), calls: 0 }
        };
        let mut running: Vec<Running> = requests.iter().map(begin).collect();
        let mut answers: Vec<Option<Answer>> = requests.iter().map(|_| None).collect();
        loop {
            let waiting: Vec<usize> =
                (0..requests.len()).filter(|number| answers[*number].is_none()).collect();
            if waiting.is_empty() {
                return answers.into_iter().flatten().collect();
            }
            let next = *rng.one(&waiting);
            answers[next] = self.step(&mut running[next], &requests[next]);
        }
    }
}

/// The relevant state of a session and its user.
pub fn state(session: &Session, user: &User) -> State {
    State {
        sequence: session.sequence,
        exchanged_at: session.rotated_at,
        started_at: session.started_at,
        expires_at: session.expires_at,
        end: match session.end_reason {
            None => End::None,
            Some(EndReason::LoggedOut) => End::LoggedOut,
            _ => End::Reused,
        },
        is_current_epoch: session.session_epoch == user.session_epoch,
        is_active: user.is_active,
        token_version: user.token_version,
        version: user.version,
    }
}
