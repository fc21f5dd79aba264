//! The descriptions of problems and of rules.

#[derive(Clone, Copy, Debug)]
pub struct ProblemType {
    /// Stable name: the last segment of `type`.
    pub code: &'static str,
    pub status: u16,
    pub title: &'static str,
    /// Meaning, and what the client should do.
    pub explanation: &'static str,
    /// Headers besides those of every response.
    pub headers: &'static [&'static str],
    /// Members besides those of every problem document.
    pub members: &'static [Member],
}

/// An additional member of a problem document.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    pub name: &'static str,
    pub description: &'static str,
    /// Example, as JSON.
    pub example: &'static str,
    /// Schema in the API document, as JSON.
    pub schema: &'static str,
}

/// A rule that a single field can break. Its code is both that of the 422 problem and that of the
/// entry in `errors` for the field.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub code: &'static str,
    /// What the rule requires.
    pub explanation: &'static str,
    /// Members besides those of every problem document.
    pub members: &'static [Member],
}

/// Title of the problem for every broken [`Rule`].
pub const RULE_TITLE: &str = "Invalid request";

pub(super) const fn problem(
    status: u16,
    code: &'static str,
    title: &'static str,
    explanation: &'static str,
) -> ProblemType {
    ProblemType { code, status, title, explanation, headers: &[], members: &[] }
}

impl ProblemType {
    pub(super) const fn headers(self, headers: &'static [&'static str]) -> Self {
        Self { headers, ..self }
    }

    pub(super) const fn members(self, members: &'static [Member]) -> Self {
        Self { members, ..self }
    }
}
