//! What ought to happen: the promises about refresh tokens, said once more and in other words than
//! the service's own code says them.
//!
//! Requests that run at the same time must have come out as if they had run one after the other, in
//! whatever order. One that was answered "busy" may have been carried out, or not.

use std::time::Duration;

use shared::clock::Timestamp;

const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
const HALF_A_YEAR: Duration = Duration::from_secs(180 * 24 * 3600);
const TEN_SECONDS: Duration = Duration::from_secs(10);

/// All that counts about a session and its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The number of the token that counts.
    pub sequence: u64,
    /// Since when.
    pub exchanged_at: Option<Timestamp>,
    pub started_at: Timestamp,
    pub expires_at: Timestamp,
    pub end: End,
    /// Whether the session belongs to the time since the password was last changed elsewhere.
    pub is_of_today: bool,
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

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// To exchange the token with this number.
    Refresh(u64),
    Logout,
    Rename,
    ChangePassword {
        /// From this session, or from another one.
        here: bool,
    },
    SetActive(bool),
}

/// Its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The token with this number.
    Token(u64),
    Refused,
    Done,
    /// A person else was quicker: nothing is done.
    VersionConflict,
    /// The outcome is unknown.
    Busy,
}

impl State {
    fn is_alive(&self, now: Timestamp) -> bool {
        self.end == End::None && now < self.expires_at && self.is_of_today && self.is_active
    }

    /// Whether the answer to a lost exchange of this token would come again.
    pub fn repeats(&self, number: u64, now: Timestamp) -> bool {
        let fresh = self.exchanged_at.is_some_and(|at| now.since(at) <= TEN_SECONDS);
        self.is_alive(now) && number + 1 == self.sequence && fresh
    }

    /// Whether this token would be exchanged.
    pub fn counts(&self, number: u64, now: Timestamp) -> bool {
        self.is_alive(now) && number == self.sequence
    }

    /// Carries out `act`.
    pub fn after(mut self, act: Act, now: Timestamp) -> (Self, Told) {
        let told = match act {
            Act::Refresh(number) if self.counts(number, now) => {
                self.sequence += 1;
                self.exchanged_at = Some(now);
                self.expires_at = now.plus(MONTH).min(self.started_at.plus(HALF_A_YEAR));
                Told::Token(self.sequence)
            }
            Act::Refresh(number) if self.repeats(number, now) => Told::Token(self.sequence),
            Act::Refresh(number) => {
                // A person has a token who should not: a session that is over already has nothing
                // left to lose.
                if self.is_alive(now) && number < self.sequence {
                    self.end = End::Reused;
                    self.token_version += 1;
                    self.version += 1;
                }
                Told::Refused
            }
            Act::Logout => {
                if self.end == End::None {
                    self.end = End::LoggedOut;
                }
                Told::Done
            }
            Act::Rename => {
                self.version += 1;
                Told::Done
            }
            Act::ChangePassword { here } => {
                self.version += 1;
                self.is_of_today = here;
                Told::Done
            }
            Act::SetActive(is_active) => {
                self.version += 1;
                if is_active != self.is_active {
                    self.is_active = is_active;
                    self.token_version += 1;
                    self.is_of_today = false;
                }
                Told::Done
            }
        };
        (self, told)
    }
}

/// Whether concurrent requests can have these answers and this final state.
pub fn explains(before: &State, asked: &[(Act, Timestamp)], told: &[Told], after: &State) -> bool {
    let mut left: Vec<usize> = (0..asked.len()).collect();
    some_order(before, asked, told, after, &mut left)
}

fn some_order(
    before: &State,
    asked: &[(Act, Timestamp)],
    told: &[Told],
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
        let holds = match told[next] {
            Told::Busy => {
                some_order(&done, asked, told, after, left)
                    || some_order(before, asked, told, after, left)
            }
            Told::VersionConflict => {
                asked.len() > 1 && some_order(before, asked, told, after, left)
            }
            said => said == expected && some_order(&done, asked, told, after, left),
        };
        left.insert(position, next);
        if holds {
            return true;
        }
    }
    false
}
