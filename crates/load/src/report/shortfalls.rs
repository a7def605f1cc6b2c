//! The verdict: what was asked and not held.

use capacity::Grouped as G;

use super::Report;
use crate::options::{Audience, Options, Push};

/// What was asked and not done, in sentences.
pub(super) fn of(report: &Report, options: &Options) -> Vec<String> {
    let mut shortfalls = Vec::new();
    if report.interrupted {
        shortfalls.push("the run was ended early".to_owned());
    }
    shortfalls.extend(report.machines.iter().filter_map(|machine| {
        let (name, share) = (&machine.agent, machine.share * 100.0);
        let why = machine.lost.as_ref()?;
        Some(format!(
            "agent {name} was lost with {share:.1} % of the connections: {why}"
        ))
    }));
    shortfalls.extend(of_connections(report));
    shortfalls.extend(of_publishes(report, options));
    shortfalls.extend(of_drop(report));
    shortfalls.extend(of_pushes(report, options));
    shortfalls
}

fn of_connections(report: &Report) -> impl Iterator<Item = String> {
    let all = report.connections;
    let missing = all.asked.saturating_sub(all.ready);
    let sentences = [
        (
            missing,
            format!(
                "connections that did not get up: {} of {}",
                G(missing),
                G(all.asked)
            ),
        ),
        (
            all.dropped,
            format!("connections dropped: {}", G(all.dropped)),
        ),
    ];
    counted(sentences)
}

fn of_publishes(report: &Report, options: &Options) -> impl Iterator<Item = String> {
    let (sent, got) = (report.publishes, report.deliveries);
    let unsent = sent.asked.saturating_sub(sent.sent);
    // In a topic of one there is nobody else to deliver to.
    let alone = options.topics == options.connections && options.audience() == Audience::Others;
    let unheard = u64::from(sent.sent > 0 && got.expected == 0 && !alone);
    let sentences = [
        (
            unsent,
            format!(
                "publishes not sent: {} of {} (no member left on the publisher's thread, or no \
                 time)",
                G(unsent),
                G(sent.asked)
            ),
        ),
        (
            sent.refused,
            format!("publishes refused: {}", G(sent.refused)),
        ),
        (
            got.lost,
            format!("deliveries lost: {} of {}", G(got.lost), G(got.expected)),
        ),
        (
            got.duplicated,
            format!("deliveries duplicated: {}", G(got.duplicated)),
        ),
        (got.late, format!("deliveries late: {}", G(got.late))),
        (
            got.misrouted,
            format!("deliveries misrouted: {}", G(got.misrouted)),
        ),
        (
            unheard,
            "no publish had anybody to be delivered to".to_owned(),
        ),
    ];
    counted(sentences)
}

fn of_drop(report: &Report) -> impl Iterator<Item = String> {
    let drop = report.drop;
    let missing = drop.asked.saturating_sub(drop.dropped);
    // Those that are not back are among the connections dropped.
    let sentence = format!(
        "connections not ended on purpose: {} of {} (they were not up)",
        G(missing),
        G(drop.asked)
    );
    counted([(missing, sentence)])
}

fn of_pushes(report: &Report, options: &Options) -> impl Iterator<Item = String> {
    let pushes = report.pushes;
    let unsent = pushes.asked.saturating_sub(pushes.sent + pushes.skipped);
    let unanswered = pushes.sent.saturating_sub(pushes.answered);
    let is_asked = options.push == Some(Push::Max) && report.connections.ready > 0;
    let none = u64::from(is_asked && pushes.sent == 0);
    let sentences = [
        (
            pushes.refused,
            format!("pushes refused: {}", G(pushes.refused)),
        ),
        (
            unanswered,
            format!("pushes not answered: {}", G(unanswered)),
        ),
        (
            pushes.skipped,
            format!(
                "pushes not sent in time: {} of {}",
                G(pushes.skipped),
                G(pushes.asked)
            ),
        ),
        (
            unsent,
            format!("pushes not sent: {} of {}", G(unsent), G(pushes.asked)),
        ),
        (none, "no push was sent".to_owned()),
    ];
    counted(sentences)
}

/// The sentences whose number is not zero.
fn counted<const N: usize>(sentences: [(u64, String); N]) -> impl Iterator<Item = String> {
    sentences
        .into_iter()
        .filter(|&(count, _)| count > 0)
        .map(|(_, sentence)| sentence)
}
