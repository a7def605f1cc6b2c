//! The report for people.

use std::fmt;

use capacity::Grouped as G;

use super::Report;
use crate::{
    agents::write_machines,
    failure::FailureCount,
    latency::{Micros, Percentiles},
};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_connections(f)?;
        self.write_returns(f)?;
        self.write_messages(f)?;
        self.write_broadcasts(f)?;
        self.write_latencies(f)?;
        write_machines(f, &self.machines)?;
        write_failures(f, "did not get up", &self.not_opened)?;
        write_failures(f, "dropped", &self.dropped)?;
        write_failures(f, "disconnected", &self.disconnected)?;
        write_failures(f, "could not come back at once", &self.returns_failed)?;
        if self.held {
            return write!(f, "\nheld: everything that was asked");
        }
        write!(f, "\nNOT held:")?;
        self.shortfalls
            .iter()
            .try_for_each(|shortfall| write!(f, "\n  {shortfall}"))
    }
}

impl Report {
    fn write_connections(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = &self.connections;
        writeln!(f, "{}, {} threads", self.target, self.shards)?;
        if !self.kernel.is_empty() {
            writeln!(f, "{}", self.kernel)?;
        }
        writeln!(f, "\nconnections")?;
        for (name, count) in [
            ("asked", all.asked),
            ("opened", all.opened),
            ("ready", all.ready),
            ("held", all.held),
        ] {
            writeln!(f, "  {name:<18}{:>14}", G(count))?;
        }
        let optional = [
            ("not opened", all.not_opened),
            ("dropped", all.dropped),
            ("busy tuples", all.tuples_busy),
        ];
        for (name, count) in optional.into_iter().filter(|&(_, count)| count > 0) {
            writeln!(f, "  {name:<18}{:>14}", G(count))?;
        }
        if all.ready == 0 {
            return Ok(());
        }
        let opening = Micros(self.opening_ms.saturating_mul(1000));
        let hold = Micros(self.hold_ms.saturating_mul(1000));
        writeln!(
            f,
            "  opened in {opening} ({} per second), held for {hold}",
            G(self.opened_per_second)
        )
    }

    fn write_returns(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (drop, returns) = (&self.drop, &self.returns);
        if drop.dropped > 0 {
            writeln!(
                f,
                "\ndrop        {} ended on purpose, {} back in {} ({} per second, {} tries)",
                G(drop.dropped),
                G(drop.back),
                Micros(drop.back_ms.saturating_mul(1000)),
                G(drop.back_per_second),
                G(drop.attempts),
            )?;
        }
        if returns.disconnected > 0 {
            writeln!(
                f,
                "\nreturns     {} disconnected; {} back in {} tries, all told",
                G(returns.disconnected),
                G(returns.back),
                G(returns.attempts),
            )?;
        }
        Ok(())
    }

    fn write_broadcasts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.broadcasts.is_empty() {
            return Ok(());
        }
        write!(f, "\n{:<12}", "broadcasts")?;
        for name in ["first", "median", "last", "per second"] {
            write!(f, "{name:>12}")?;
        }
        writeln!(f, "{:>14}{:>10}{:>12}", "received", "lost", "duplicated")?;
        for one in &self.broadcasts {
            write!(f, "  {:<10}", one.number)?;
            for micros in [one.first_us, one.median_us, one.last_us] {
                write!(f, "{:>12}", Micros(micros))?;
            }
            let (rate, received) = (G(one.deliveries_per_second), G(one.received));
            write!(f, "{rate:>12}{received:>14}")?;
            writeln!(f, "{:>10}{:>12}", G(one.lost), G(one.duplicated))?;
        }
        let rate = G(self.broadcast_deliveries_per_second);
        writeln!(f, "  {:<46}{rate:>12}", "all")
    }

    fn write_messages(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sent, got) = (&self.publishes, &self.deliveries);
        if sent.asked > 0 {
            writeln!(
                f,
                "\npublishes   {} of {} sent",
                G(sent.sent),
                G(sent.asked)
            )?;
            let gaps = [
                (sent.unmeasured, "answered too late to be measured"),
                (sent.unfollowed, "not followed to their last delivery"),
            ];
            for (count, what) in gaps.into_iter().filter(|&(count, _)| count > 0) {
                writeln!(f, "            {} {what}", G(count))?;
            }
            writeln!(
                f,
                "deliveries  {} expected = {} received + {} lost + {} dropped; {} duplicated",
                G(got.expected),
                G(got.received),
                G(got.lost),
                G(got.dropped),
                G(got.duplicated),
            )?;
            if got.undelivered > 0 {
                writeln!(
                    f,
                    "            {} of the dropped ended with their publisher",
                    G(got.undelivered)
                )?;
            }
            if got.late + got.extra + got.misrouted > 0 {
                writeln!(
                    f,
                    "            {} late, {} extra, {} misrouted",
                    G(got.late),
                    G(got.extra),
                    G(got.misrouted)
                )?;
            }
        }
        let pushes = &self.pushes;
        if pushes.sent > 0 {
            writeln!(
                f,
                "\npushes      {} sent, {} answered ({} per second)",
                G(pushes.sent),
                G(pushes.answered),
                G(self.pushes_answered_per_second),
            )?;
        }
        let beats = &self.heartbeats;
        if beats.sent > 0 {
            writeln!(
                f,
                "\nheartbeats  {} sent, {} answered",
                G(beats.sent),
                G(beats.answered)
            )?;
        }
        Ok(())
    }

    fn write_latencies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latency = &self.latency;
        let all = [
            ("dialled late", &latency.lateness),
            ("connect", &latency.connect),
            ("upgrade", &latency.upgrade),
            ("join", &latency.join),
            ("delivery", &latency.delivery),
            ("last delivery", &latency.last_delivery),
            ("publish reply", &latency.publish_reply),
            ("push reply", &latency.push_reply),
            ("back", &latency.back),
        ];
        let head = ["p50", "p90", "p99", "p99.9", "max"];
        write!(f, "\n{:<16}", "latency")?;
        head.iter().try_for_each(|name| write!(f, "{name:>10}"))?;
        writeln!(f, "{:>14}", "count")?;
        all.into_iter()
            .filter(|(_, seen)| seen.count > 0)
            .try_for_each(|(name, seen)| write_percentiles(f, name, seen))
    }
}

fn write_percentiles(f: &mut fmt::Formatter<'_>, name: &str, seen: &Percentiles) -> fmt::Result {
    write!(f, "  {name:<14}")?;
    for micros in seen.columns() {
        write!(f, "{:>10}", Micros(micros))?;
    }
    writeln!(f, "{:>14}", G(seen.count))
}

fn write_failures(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    failures: &[FailureCount],
) -> fmt::Result {
    if failures.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{title}")?;
    for failure in failures {
        writeln!(f, "  {:>9}  {}", G(failure.count), failure.text)?;
        if let Some(remedy) = failure.remedy {
            writeln!(f, "             -> {remedy}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Failure, Options, Rate, outcome::Outcome, report::End};

    fn options() -> Options {
        let mut options = Options::new("ws://127.0.0.1:4000/socket".parse().expect("a URL"));
        options.connections = 10_000;
        options.join = Some("room:lobby".parse().expect("a topic"));
        options.publish = Rate::per_second(1);
        options
    }

    fn outcome() -> Outcome {
        let mut outcome = Outcome::new();
        (outcome.opened, outcome.readied, outcome.held) = (10_000, 10_000, 10_000);
        outcome.opening = Duration::from_millis(2_000);
        (outcome.publishes.asked, outcome.publishes.sent) = (30, 30);
        (outcome.deliveries.expected, outcome.deliveries.received) = (300_000, 300_000);
        outcome.join.record(Duration::from_micros(250));
        outcome
    }

    fn report(outcome: Outcome, interrupted: bool) -> Report {
        let end = End {
            held: Duration::from_secs(30),
            interrupted,
            ..End::default()
        };
        Report::new(&options(), 2, outcome, end)
    }

    #[test]
    fn everything_held_says_so() {
        let report = report(outcome(), false);
        assert!(report.held);
        let text = report.to_string();
        for line in [
            "ws://127.0.0.1:4000/socket, 2 threads",
            "  held                      10,000",
            "  opened in 2.00 s (5,000 per second), held for 30.0 s",
            "deliveries  300,000 expected = 300,000 received + 0 lost + 0 dropped; 0 duplicated",
            "  join              250 µs    250 µs    250 µs    250 µs    250 µs             1",
            "held: everything that was asked",
        ] {
            assert!(
                text.lines().any(|seen| seen == line),
                "no line `{line}` in\n{text}"
            );
        }
    }

    #[test]
    fn each_shortfall_alone_is_enough_not_to_be_held() {
        type Case = (fn(&mut Outcome), &'static str);
        let cases: [Case; 9] = [
            (
                |o| o.readied -= 1,
                "connections that did not get up: 1 of 10,000",
            ),
            (
                |o| o.dropped.count(Failure::ClosedWith(1012)),
                "connections dropped: 1",
            ),
            (
                |o| o.publishes.sent -= 1,
                "publishes not sent: 1 of 30 (no member left on the publisher's thread, or no time)",
            ),
            (|o| o.publishes.refused += 1, "publishes refused: 1"),
            (|o| o.deliveries.lost += 1, "deliveries lost: 1 of 300,000"),
            (|o| o.deliveries.duplicated += 1, "deliveries duplicated: 1"),
            (|o| o.deliveries.late += 1, "deliveries late: 1"),
            (|o| o.deliveries.misrouted += 1, "deliveries misrouted: 1"),
            (|o| o.pushes.sent += 1, "pushes not answered: 1"),
        ];
        for (change, sentence) in cases {
            let mut outcome = outcome();
            change(&mut outcome);
            let report = report(outcome, false);
            assert!(!report.held);
            assert_eq!(report.shortfalls, [sentence]);
            assert!(
                report
                    .to_string()
                    .ends_with(&format!("NOT held:\n  {sentence}"))
            );
        }
        assert_eq!(
            report(outcome(), true).shortfalls,
            ["the run was ended early"]
        );
    }

    #[test]
    fn failures_come_with_their_remedies() {
        let mut outcome = outcome();
        outcome.readied -= 2;
        outcome.not_opened.count(Failure::Refused);
        outcome.not_opened.count(Failure::Refused);
        let text = report(outcome, false).to_string();
        assert!(
            text.contains("          2  connection refused: nobody listens there\n"),
            "{text}"
        );
        assert!(text.contains("-> start the server"), "{text}");
    }

    /// The names in JSON are promised: removing or renaming one is a breaking change.
    #[test]
    fn json_has_its_promised_names() {
        let value: serde_json::Value =
            serde_json::from_str(&report(outcome(), false).to_json()).expect("its own JSON");
        for pointer in [
            "/held",
            "/shortfalls",
            "/interrupted",
            "/shards",
            "/target",
            "/connections/asked",
            "/connections/opened",
            "/connections/ready",
            "/connections/held",
            "/connections/not_opened",
            "/connections/dropped",
            "/connections/tuples_busy",
            "/kernel",
            "/carrier",
            "/opened_per_second",
            "/stages/opening_ms",
            "/stages/holding_ms",
            "/stages/broadcasting_ms",
            "/stages/dropping_ms",
            "/stages/closing_ms",
            "/broadcasts",
            "/broadcast_deliveries_per_second",
            "/drop/asked",
            "/drop/dropped",
            "/drop/back",
            "/drop/attempts",
            "/drop/back_ms",
            "/drop/back_per_second",
            "/returns/disconnected",
            "/returns/back",
            "/returns/attempts",
            "/latency/back/count",
            "/disconnected",
            "/returns_failed",
            "/opening_ms",
            "/hold_ms",
            "/latency/lateness/p50_us",
            "/latency/connect/p90_us",
            "/latency/upgrade/p99_us",
            "/latency/join/p999_us",
            "/latency/delivery/max_us",
            "/latency/last_delivery/count",
            "/latency/publish_reply/count",
            "/latency/push_reply/count",
            "/publishes/asked",
            "/publishes/sent",
            "/publishes/refused",
            "/publishes/unmeasured",
            "/publishes/unfollowed",
            "/deliveries/expected",
            "/deliveries/received",
            "/deliveries/lost",
            "/deliveries/dropped",
            "/deliveries/undelivered",
            "/deliveries/duplicated",
            "/deliveries/late",
            "/deliveries/extra",
            "/deliveries/misrouted",
            "/pushes/asked",
            "/pushes/sent",
            "/pushes/answered",
            "/pushes/answered_in_hold",
            "/pushes/refused",
            "/pushes/skipped",
            "/pushes_answered_per_second",
            "/heartbeats/sent",
            "/heartbeats/answered",
            "/not_opened",
            "/dropped",
        ] {
            assert!(value.pointer(pointer).is_some(), "{pointer} is missing");
        }
    }
}
