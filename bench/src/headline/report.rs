//! The numbers of a run next to the floor's and to the targets, for people and for programs.

use std::fmt::Write as _;

use capacity::Kernel;
use serde_json::{Value, json};

use super::bare::Bare;
use super::broadcasts::{Broadcast, deliveries_per_second, median_of};
use super::crowds::SMALL_CROWD;
use super::duet::Duet;
use super::kernel_memory::Distress;
use super::needs::product_pair_bytes;
use super::options::Options;
use super::row::{Row, Target};
use crate::measure::Machine;
use crate::numbers::grouped;

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Report {
    head: String,
    json_head: Value,
    rows: Vec<Row>,
    bare: Option<Value>,
    duet: Value,
    held: bool,
}

impl Report {
    pub(super) fn new(
        options: &Options,
        machine: &Machine,
        date: String,
        distress: Distress,
        bare: Option<Bare>,
        duet: Duet,
    ) -> Self {
        let pairs = f64::from(options.connections);
        let mut rows = connection_rows(&duet, bare.as_ref(), pairs);
        rows.extend(memory_rows(&duet, bare.as_ref(), pairs));
        rows.extend(idle_rows(&duet, pairs));
        rows.extend(duet.checkup.rows(pairs));
        rows.extend(broadcast_rows(&duet, bare.as_ref()));
        rows.extend(end_rows(&duet, distress, pairs));
        let kernel = duet.report["kernel"]
            .as_str()
            .unwrap_or("not named")
            .to_owned();
        let debug = if cfg!(debug_assertions) {
            "\nDEBUG BUILD, the numbers mean nothing"
        } else {
            ""
        };
        let strangers = strangers(&duet, bare.as_ref(), pairs);
        let [server, crowd] = &duet.commands;
        let [server_threads, crowd_threads] = duet.threads;
        let head = format!(
            "{} connections, both ends on this machine; {date} UTC; {machine}{debug}{strangers}\n\
             crowd on {kernel}; threads: server {server_threads}, crowd {crowd_threads}; heartbeat every \
             {} s, idle timeout {} s, hold {} s\n  {server}\n  {crowd}\n",
            grouped(pairs, 0),
            options.heartbeat().as_secs(),
            options.idle_timeout().as_secs(),
            options.hold().as_secs(),
        );
        Self {
            json_head: json!({
                "connections": options.connections,
                "date": date,
                "machine": machine.to_json(),
                "debug_build": cfg!(debug_assertions),
                "kernel": kernel,
                "commands": duet.commands,
                "threads": { "server": server_threads, "crowd": crowd_threads },
                "heartbeat_s": options.heartbeat().as_secs_f64(),
                "idle_timeout_s": options.idle_timeout().as_secs_f64(),
                "hold_s": options.hold().as_secs_f64(),
            }),
            head,
            held: is_held(&duet, distress),
            rows,
            bare: bare.map(|bare| bare.to_json(pairs)),
            duet: json!({
                "kernel_bytes_per_pair": duet.kernel[1].per_pair(&duet.kernel[0], pairs),
                "hold": duet.hold.to_json(),
                "broadcasts": duet.broadcasts_spent.to_json(),
                "crowd": duet.report,
            }),
        }
    }

    /// Says whether nothing was lost, repeated or refused, and everything ended as it should.
    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// Returns the table for a terminal.
    pub(super) fn render(&self) -> String {
        let mut text = self.head.clone();
        let titles = ["", "fourtuple", "floor", "ratio", "target", ""].map(str::to_owned);
        for [title, value, floor, ratio, target, verdict] in
            std::iter::once(titles).chain(self.rows.iter().map(Row::cells))
        {
            let line =
                format!("{title:<46}{value:>16}{floor:>16}{ratio:>8}  {target:<12}{verdict}");
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    pub(super) fn to_json(&self) -> Value {
        let numbers: serde_json::Map<_, _> = self
            .rows
            .iter()
            .map(|row| (row.key.to_owned(), row.to_json()))
            .collect();
        json!({
            "run": self.json_head,
            "held": self.held,
            "numbers": numbers,
            "floor": self.bare,
            "product": self.duet,
        })
    }
}

fn is_held(duet: &Duet, distress: Distress) -> bool {
    let held = duet.report["held"].as_bool() == Some(true);
    held && duet.drain.code == Some(0) && distress.swapped_out + distress.out_of_memory == 0
}

fn connection_rows(duet: &Duet, bare: Option<&Bare>, pairs: f64) -> Vec<Row> {
    let count = |key: &str| duet.report["connections"][key].as_f64();
    let opening = duet.report["opening_ms"].as_f64().map(|it| it / 1e3);
    let floor = bare.map(|bare| bare.opening.as_secs_f64());
    vec![
        Row::new("opened", "connections opened", 0, count("opened")).target(Target::AtLeast(pairs)),
        Row::new("joined", "  joined", 0, count("ready")).target(Target::AtLeast(pairs)),
        Row::new("held", "  there at the end", 0, count("held")).target(Target::AtLeast(pairs)),
        Row::new("lost_connections", "  lost for good", 0, count("dropped"))
            .target(Target::AtMost(0.0)),
        Row::new("opening_s", "connect, upgrade and join all, s", 1, opening).beside(floor),
        Row::new(
            "joins_per_second",
            "  per second",
            0,
            opening.map(|it| pairs / it),
        )
        .beside(floor.map(|it| pairs / it))
        .target(Target::OfFloorAtLeast(0.8)),
    ]
}

fn memory_rows(duet: &Duet, bare: Option<&Bare>, pairs: f64) -> Vec<Row> {
    let slope =
        |[before, after]: [u64; 2], count: f64| Some((after as f64 - before as f64) / count);
    let kernel = |[before, idle]: &[super::kernel_memory::KernelMemory; 2]| {
        slope([before.in_all, idle.in_all], pairs)
    };
    let slab = |[before, idle]: &[super::kernel_memory::KernelMemory; 2]| {
        slope([before.slab, idle.slab], pairs)
    };
    let peak = duet.broadcasts_peak;
    vec![
        Row::new(
            "server_bytes",
            "server, bytes per connection",
            0,
            slope(duet.server_bytes, pairs),
        )
        .target(of_memory(pairs, Target::AtMost(300.0))),
        Row::new(
            "crowd_bytes",
            "crowd, bytes per connection",
            0,
            slope(duet.crowd_bytes, pairs - f64::from(SMALL_CROWD)),
        )
        .target(of_memory(pairs, Target::AtMost(300.0))),
        Row::new(
            "kernel_bytes",
            "kernel, bytes per pair",
            0,
            kernel(&duet.kernel),
        )
        .beside(bare.and_then(|bare| kernel(&bare.kernel)))
        .target(of_memory(pairs, Target::OfFloorAtMost(1.1))),
        Row::new("slab_bytes", "  in slab caches", 0, slab(&duet.kernel))
            .beside(bare.and_then(|bare| slab(&bare.kernel))),
        ledger_row(duet, pairs),
        Row::new(
            "server_mib_at_broadcasts",
            "server in broadcasts, MiB at most",
            0,
            Some(peak.server_bytes as f64 / MIB),
        ),
        Row::new(
            "crowd_mib_at_broadcasts",
            "crowd in broadcasts, MiB at most",
            0,
            Some(peak.crowd_bytes as f64 / MIB),
        ),
        Row::new(
            "tcp_mib_at_broadcasts",
            "buffers of TCP in broadcasts, MiB at most",
            0,
            Some(peak.tcp_bytes as f64 / MIB),
        ),
    ]
}

/// All that one pair takes, beside what the ledger says.
fn ledger_row(duet: &Duet, pairs: f64) -> Row {
    let of = |before: u64, after: u64| (after as f64 - before as f64) / pairs;
    let [empty, idle] = &duet.kernel;
    let measured = of(empty.slab, idle.slab)
        + of(duet.server_bytes[0], duet.server_bytes[1])
        + of(duet.crowd_bytes[0], duet.crowd_bytes[1]);
    let ledger = product_pair_bytes(duet.carrier) as f64;
    let title = "  with both programs, and by the ledger";
    let row = Row::new("pair_bytes", title, 0, Some(measured));
    row.target(of_memory(pairs, Target::Near(ledger, 0.05)))
}

/// Returns a warning when the sockets of the machine have not grown by those of the run: then others
/// had connections, too, and the kernel's memory is theirs as well, as the processors were.
fn strangers(duet: &Duet, bare: Option<&Bare>, pairs: f64) -> String {
    let measured = [
        ("fourtuple", Some(&duet.kernel)),
        ("the floor", bare.map(|it| &it.kernel)),
    ];
    let mut warning = String::new();
    for (name, kernel) in measured {
        let Some([before, idle]) = kernel else {
            continue;
        };
        let more = idle.tcp_sockets as f64 - before.tcp_sockets as f64 - 2.0 * pairs;
        if more.abs() > 2.0 * pairs * STRANGERS_SHARE {
            // Writing to a string cannot fail.
            let _ = write!(
                warning,
                "\nOTHER PROGRAMS' CONNECTIONS changed by {} sockets while {name} was measured: its \
                 kernel memory and its speeds are not its own",
                grouped(more, 0),
            );
        }
    }
    warning
}

/// Returns `target` where there are pairs enough to judge the memory of one.
///
/// The kernel's is that of the whole machine, which other programs change by tens of megabytes: with few
/// pairs the difference is theirs, even its sign. That of a program comes in huge pages, each of which
/// is 100 bytes for every one of 20,000 pairs.
fn of_memory(pairs: f64, target: Target) -> Target {
    if pairs < MEMORY_JUDGED_PAIRS_MIN {
        Target::None
    } else {
        target
    }
}

fn idle_rows(duet: &Duet, pairs: f64) -> Vec<Row> {
    let [server, crowd] = duet.hold.cpu.map(|cpu| {
        let second = duet.hold.time.as_secs_f64();
        (second > 0.0).then(|| cpu.as_secs_f64() * 1e6 / second / pairs)
    });
    vec![
        Row::new(
            "server_idle_us",
            "server CPU, µs per connection and second",
            2,
            server,
        ),
        Row::new(
            "crowd_idle_us",
            "crowd CPU, µs per connection and second",
            2,
            crowd,
        ),
    ]
}

fn broadcast_rows(duet: &Duet, bare: Option<&Bare>) -> Vec<Row> {
    let own = &duet.broadcasts;
    let floor = bare.map(|bare| bare.broadcasts.as_slice());
    let both = |key, title, decimals, of: &dyn Fn(&[Broadcast]) -> Option<f64>| {
        Row::new(key, title, decimals, of(own)).beside(floor.and_then(of))
    };
    let each_us = |seconds: f64, broadcasts: &[Broadcast]| {
        let received: u64 = broadcasts.iter().map(|it| it.received).sum();
        (received > 0).then(|| seconds * 1e6 / received as f64)
    };
    let gross_s = duet.broadcasts_spent.cpu[0].as_secs_f64();
    let net_s = duet.broadcasts_spent.server_net_s(&duet.hold);
    let floor_cpu = bare.and_then(|bare| {
        let seconds = bare.broadcasts_cpu.as_secs_f64();
        each_us(seconds, &bare.broadcasts)
    });
    let cpu_target = match duet.carrier {
        Kernel::Uring => 0.85,
        Kernel::Epoll => 1.05,
    };
    let sum = |of: fn(&Broadcast) -> u64| Some(own.iter().map(of).sum::<u64>() as f64);
    vec![
        both(
            "broadcast_first_s",
            "broadcast, first delivery, s",
            3,
            &|all| median_of(all, |it| it.first),
        ),
        both("broadcast_median_s", "  median delivery, s", 2, &|all| {
            median_of(all, |it| it.median)
        }),
        both("broadcast_last_s", "  last delivery, s", 2, &|all| {
            median_of(all, |it| it.last)
        })
        .target(Target::OfFloorAtMost(1.0)),
        both(
            "deliveries_per_second",
            "  deliveries per second",
            0,
            &deliveries_per_second,
        ),
        Row::new(
            "cpu_us_per_delivery",
            "  server CPU, µs per delivery",
            2,
            net_s.and_then(|net_s| each_us(net_s, own)),
        )
        .beside(floor_cpu)
        .target(Target::OfFloorAtMost(cpu_target)),
        Row::new(
            "cpu_us_per_delivery_gross",
            "    with the heartbeats meanwhile",
            2,
            each_us(gross_s, own),
        ),
        Row::new("lost", "  lost", 0, sum(|it| it.lost)).target(Target::AtMost(0.0)),
        Row::new("duplicated", "  duplicated", 0, sum(|it| it.duplicated))
            .target(Target::AtMost(0.0)),
    ]
}

fn end_rows(duet: &Duet, distress: Distress, pairs: f64) -> Vec<Row> {
    let drop = |key: &str| duet.report["drop"][key].as_f64();
    vec![
        Row::new("dropped", "dropped on purpose", 0, drop("dropped")),
        Row::new("back", "  back", 0, drop("back"))
            .target(drop("dropped").map_or(Target::None, Target::AtLeast)),
        Row::new(
            "back_s",
            "  seconds until all were back",
            1,
            drop("back_ms").map(|it| it / 1e3),
        ),
        Row::new(
            "drain_s",
            "drain of all, s",
            1,
            Some(duet.drain.time.as_secs_f64()),
        ),
        Row::new(
            "drain_told",
            "  told to come back (1012)",
            0,
            Some(duet.drain.told as f64),
        )
        .target(Target::AtLeast(pairs)),
        Row::new(
            "drain_code",
            "  exit code",
            0,
            duet.drain.code.map(f64::from),
        )
        .target(Target::AtMost(0.0)),
        Row::new(
            "swapped_out",
            "pages swapped out",
            0,
            Some(distress.swapped_out as f64),
        )
        .target(Target::AtMost(0.0)),
        Row::new(
            "out_of_memory",
            "processes killed for memory",
            0,
            Some(distress.out_of_memory as f64),
        )
        .target(Target::AtMost(0.0)),
    ]
}

/// Of the sockets of a run, so many may be somebody else's.
const STRANGERS_SHARE: f64 = 0.01;
const MEMORY_JUDGED_PAIRS_MIN: f64 = 100_000.0;
const MIB: f64 = 1_048_576.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn row(target: Target, value: f64, floor: Option<f64>) -> Row {
        Row::new("key", "title", 1, Some(value))
            .beside(floor)
            .target(target)
    }

    #[test]
    fn a_target_is_met_at_its_bound_and_not_beyond() {
        let [few, many] = [99_999.0, 100_000.0].map(|it| of_memory(it, Target::AtMost(300.0)));
        for (target, value, floor, met) in [
            (Target::AtMost(300.0), 300.0, None, Some(true)),
            (Target::AtMost(300.0), 300.1, None, Some(false)),
            (Target::AtLeast(2.0), 1.0, None, Some(false)),
            (Target::OfFloorAtMost(1.1), 11.0, Some(10.0), Some(true)),
            (Target::OfFloorAtMost(1.1), 11.1, Some(10.0), Some(false)),
            (Target::OfFloorAtLeast(0.8), 7.9, Some(10.0), Some(false)),
            (Target::OfFloorAtLeast(0.8), 8.0, None, None),
            (Target::OfFloorAtMost(1.1), -16.0, Some(10.0), None),
            (few, 301.0, None, None),
            (many, 301.0, None, Some(false)),
            (Target::None, 1.0, Some(1.0), None),
        ] {
            assert_eq!(
                row(target, value, floor).is_met(),
                met,
                "{target:?} {value}"
            );
        }
    }

    #[test]
    fn a_row_shows_its_ratio_and_its_verdict() {
        let cells = row(Target::OfFloorAtLeast(0.8), 12_345.67, Some(10_000.0)).cells();
        assert_eq!(
            cells,
            [
                "title",
                "12,345.7",
                "10,000.0",
                "1.23",
                "≥ 0.8 × floor",
                " met"
            ]
        );
    }
}
