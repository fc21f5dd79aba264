//! The expected behaviour of refresh tokens, specified independently of the service's code.
//!
//! Concurrent requests must have the same outcome as in some serial order. A request that was
//! answered "busy" may have been executed or not.

use std::time::Duration;

use shared::clock::Timestamp;

const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
const HALF_A_YEAR: Duration = Duration::from_secs(180 * 24 * 3600);
const TEN_SECONDS: Duration = Duration::from_secs(10);

/// The relevant state of a session and its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The number of the current token.
    pub sequence: u64,
    /// When the current token was issued; `None` for the first one.
    pub exchanged_at: Option<Timestamp>,
    pub started_at: Timestamp,
    pub expires_at: Timestamp,
    pub end: End,
    /// Whether the session started after the last password change elsewhere.
    pub is_current_epoch: bool,
    pub is_active: bool,
    pub token_version: u64,
    pub version: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    None,
    LoggedOut,
    Reused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Exchanges the token with this number.
    Refresh(u64),
    Logout,
    Rename,
    ChangePassword {
        /// Whether the change is made from this session.
        here: bool,
    },
    SetActive(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// The token with this number.
    Token(u64),
    Refused,
    Done,
    /// Another request wrote first: nothing changes.
    VersionConflict,
    /// The outcome is unknown.
    Busy,
}

impl State {
    fn is_alive(&self, now: Timestamp) -> bool {
        self.end == End::None && now < self.expires_at && self.is_current_epoch && self.is_active
    }

    /// Whether a repeated exchange of this token would get the same response again.
    pub fn repeats(&self, number: u64, now: Timestamp) -> bool {
        let fresh = self.exchanged_at.is_some_and(|at| now.since(at) <= TEN_SECONDS);
        self.is_alive(now) && number + 1 == self.sequence && fresh
    }

    /// Whether this token would be exchanged.
    pub fn counts(&self, number: u64, now: Timestamp) -> bool {
        self.is_alive(now) && number == self.sequence
    }

    /// Applies `act`. Returns the new state and the response.
    pub fn after(mut self, act: Act, now: Timestamp) -> (Self, Response) {
        let response = match act {
            Act::Refresh(number) if self.counts(number, now) => {
                self.sequence += 1;
                self.exchanged_at = Some(now);
                self.expires_at = now.plus(MONTH).min(self.started_at.plus(HALF_A_YEAR));
                Response::Token(self.sequence)
            }
            Act::Refresh(number) if self.repeats(number, now) => Response::Token(self.sequence),
            Act::Refresh(number) => {
                // A reused token may be stolen. A session that has already ended is not revoked
                // again.
                if self.is_alive(now) && number < self.sequence {
                    self.end = End::Reused;
                    self.token_version += 1;
                    self.version += 1;
                }
                Response::Refused
            }
            Act::Logout => {
                if self.end == End::None {
                    self.end = End::LoggedOut;
                }
                Response::Done
            }
            Act::Rename => {
                self.version += 1;
                Response::Done
            }
            Act::ChangePassword { here } => {
                self.version += 1;
                self.is_current_epoch = here;
                Response::Done
            }
            Act::SetActive(is_active) => {
                self.version += 1;
                if is_active != self.is_active {
                    self.is_active = is_active;
                    self.token_version += 1;
                    self.is_current_epoch = false;
                }
                Response::Done
            }
        };
        (self, response)
    }
}

/// Whether concurrent requests can have these responses and this final state.
pub fn explains(
    before: &State,
    asked: &[(Act, Timestamp)],
    responses: &[Response],
    after: &State,
) -> bool {
    let mut left: Vec<usize> = (0..asked.len()).collect();
    some_order(before, asked, responses, after, &mut left)
}

fn some_order(
    before: &State,
    asked: &[(Act, Timestamp)],
    responses: &[Response],
    after: &State,
    left: &mut Vec<usize>,
) -> bool {
    if left.is_empty() {
        return before == after;
    }
    for position in 0..left.len() {
        let next = left.remove(position);
        let (act, now) = asked[next];
        let (done, expected) = before.clone().after(act, now);
        let holds = match responses[next] {
            Response::Busy => {
                some_order(&done, asked, responses, after, left)
                    || some_order(before, asked, responses, after, left)
            }
            Response::VersionConflict => {
                asked.len() > 1 && some_order(before, asked, responses, after, left)
            }
            said => said == expected && some_order(&done, asked, responses, after, left),
        };
        left.insert(position, next);
        if holds {
            return true;
        }
    }
    false
}
