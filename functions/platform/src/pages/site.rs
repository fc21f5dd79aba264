//! The pages that are rendered from templates in `pages/`. Askama checks them when the crate is
//! compiled and escapes every value.

use askama::Template;

use crate::{
    problems::{Member, PROBLEMS, ProblemType, RULE_TITLE, RULES, Rule},
    services::{SERVICES, Service},
};

/// The links from a page to the other pages.
struct Site {
    /// Relative path from the page to the API's root.
    root: &'static str,
}

/// Pages directly below the root.
const AT_ROOT: Site = Site { root: "./" };
/// Pages one level below.
const ONE_BELOW: Site = Site { root: "../" };

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    site: Site,
    services: &'static [Service],
}

#[derive(Template)]
#[template(path = "reference.html")]
struct Reference {
    site: Site,
    services: &'static [Service],
    service: Option<&'static Service>,
    /// The name of `service`; empty for the reference of all services.
    current: &'static str,
}

#[derive(Template)]
#[template(path = "problems.html")]
struct Problems {
    site: Site,
    problems: &'static [ProblemType],
    rules: &'static [Rule],
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    site: Site,
    problem: Described,
}

/// The text of a page about a problem, or about a rule that a field can break.
struct Described {
    code: &'static str,
    /// All statuses of the code.
    status: String,
    title: &'static str,
    explanation: &'static str,
    headers: &'static [&'static str],
    members: &'static [Member],
    is_rule: bool,
}

/// A part of a text in which backticks enclose code.
struct Part<'a> {
    text: &'a str,
    is_code: bool,
}

/// The parts of an explanation.
fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    text.split('`').enumerate().map(|(number, text)| Part { text, is_code: number % 2 == 1 })
}

/// The service of this name, if the API document describes operations of it.
pub(super) fn service(name: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.is_public && service.name == name)
}

pub(super) fn overview() -> String {
    render(&Overview { site: AT_ROOT, services: &SERVICES })
}

/// The API reference, of all services or of one.
pub(super) fn reference(service: Option<&'static Service>) -> String {
    let site = if service.is_some() { ONE_BELOW } else { AT_ROOT };
    let current = service.map_or("", |service| service.name);
    render(&Reference { site, services: &SERVICES, service, current })
}

pub(super) fn problems() -> String {
    render(&Problems { site: AT_ROOT, problems: PROBLEMS, rules: RULES })
}

/// The page of a problem or rule, if the code exists.
pub(super) fn problem(code: &str) -> Option<String> {
    let problem = PROBLEMS.iter().find(|problem| problem.code == code).map(Described::of_problem);
    let rule = || RULES.iter().find(|rule| rule.code == code).map(Described::of_rule);
    let problem = problem.or_else(rule)?;
    Some(render(&ProblemPage { site: ONE_BELOW, problem }))
}

impl Described {
    fn of_problem(problem: &ProblemType) -> Self {
        let of_code = PROBLEMS.iter().filter(|other| other.code == problem.code);
        let statuses: Vec<String> = of_code.map(|other| other.status.to_string()).collect();
        Self {
            code: problem.code,
            status: statuses.join(" or "),
            title: problem.title,
            explanation: problem.explanation,
            headers: problem.headers,
            members: problem.members,
            is_rule: false,
        }
    }

    fn of_rule(rule: &Rule) -> Self {
        Self {
            code: rule.code,
            status: "422".to_owned(),
            title: RULE_TITLE,
            explanation: rule.explanation,
            headers: &[],
            members: rule.members,
            is_rule: true,
        }
    }
}

/// # Panics
/// When a string cannot be written to: templates of this crate have no other error.
fn render(page: &impl Template) -> String {
    page.render().expect("a page is written to a string")
}
