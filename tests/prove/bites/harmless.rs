//! Defects without an effect that a client, a buyer or an operator can observe.

/// Each defect in a line, with the reason in the line below it. Blank lines separate them.
const HARMLESS: &str = include_str!("../harmless.txt");

/// The listed defects with their reasons.
fn entries() -> impl Iterator<Item = (&'static str, &'static str)> {
    HARMLESS.split("\n\n").map(str::trim).filter(|entry| !entry.is_empty()).map(|entry| {
        let (name, reason) = entry.split_once('\n').unwrap_or((entry, ""));
        assert!(!reason.is_empty() && !reason.contains('\n'), "no reason in one line for {name}");
        (name, reason.trim())
    })
}

/// The names of the listed defects.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    entries().map(|(name, _)| name)
}

/// The reason why a defect is harmless, if it is listed.
pub(super) fn reason(name: &str) -> Option<&'static str> {
    entries().find(|(listed, _)| *listed == name).map(|(_, reason)| reason)
}
