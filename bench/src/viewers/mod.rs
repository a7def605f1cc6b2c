//! What people who look at the dashboard cost a busy server: its processor time with and without them,
//! in turns, in one run.
//!
//! ```text
//!  without · with · with · without · without · with …      a window each, so that a drift hits both alike
//! ```

mod viewer;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::json;

use self::viewer::Viewer;
use crate::address::free_address;
use crate::events::Events;
use crate::folder::Folder;
use crate::interrupt::Interrupt;
use crate::leash::{Leashed, Pages};
use crate::measure::{self, Machine};
use crate::numbers::{grouped, median};
use crate::product::{self, Product};

/// How many look, at how many, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Connections of the crowd
    #[arg(long, default_value_t = 15_000)]
    connections: u32,
    /// Topics that the crowd is spread over
    #[arg(long, default_value_t = 150)]
    topics: u32,
    /// Messages per second in each topic, each to all of its members
    #[arg(long, default_value_t = 2)]
    rate: u32,
    /// People with the page open
    #[arg(long, default_value_t = 10)]
    viewers: u16,
    /// Pairs of windows, one with viewers and one without, at least
    #[arg(long, default_value_t = 20)]
    pairs: u16,
    /// Pairs at most: more than `--pairs` are measured only while the verdict is open
    #[arg(long, default_value_t = 120)]
    pairs_max: u16,
    /// Seconds of a window
    #[arg(long, default_value_t = 4)]
    window_s: u16,
    /// A built binary instead of one that is built now
    #[arg(long)]
    product: Option<PathBuf>,
    /// Where every sample is written as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

/// One window.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// Processor time of the server per second.
    server: f64,
    /// That of its admin threads alone.
    admin: f64,
    /// Samples that each viewer got in a second, at the least.
    samples: f64,
}

/// A window without viewers and its neighbour with them.
#[derive(Debug, Clone, Copy)]
struct Pair {
    without: Window,
    with: Window,
}

/// A line of the table: its name, and the part of something that it shows in percent.
type Row = (&'static str, fn(&Pair) -> f64);

/// A part of the server's processor time: more would be a price that somebody notices.
const TARGET: f64 = 0.02;
const NEWS_WINDOW: Duration = Duration::from_millis(100);

/// Runs it and prints what it found. A missed target is printed and does not change the exit code.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::on_signals()?;
    capacity::raise_nofile();
    let binary = product::binary(options.product.as_deref())?;
    let folder = Folder::make()?;
    let product = Product::configure(binary, folder.path())?;
    let machine = Machine::read()?;
    let admin = free_address()?;
    let server = Leashed::spawn(product.binary(), &serve(admin), Pages::AsItShips)?;
    let listens = server.announced_addr()?;
    let mut crowd = Leashed::spawn(
        product.binary(),
        &options.load(listens, &product),
        Pages::AsItShips,
    )?;
    let mut events = Events::follow(product.events());
    while !events.news()?.iter().any(|news| news.is_stage("holding")) {
        if crowd.ended()?.is_some() {
            bail!("the crowd ends before it holds: {}", crowd.last_words());
        }
        interrupt.pause(NEWS_WINDOW)?;
    }
    let mut pairs = Vec::new();
    for number in 0..options.pairs.max(options.pairs_max) {
        if number >= options.pairs
            && (number - options.pairs).is_multiple_of(LOOK_EVERY)
            && Verdict::on(&pairs) != Verdict::Open
        {
            break;
        }
        // The state that ends a pair begins the next.
        let with_first = number % 2 == 1;
        let first = options.window(&server, admin, with_first, &interrupt)?;
        let second = options.window(&server, admin, !with_first, &interrupt)?;
        let (without, with) = if with_first {
            (second, first)
        } else {
            (first, second)
        };
        pairs.push(Pair { without, with });
    }
    print!("{}", report(options, &machine, &pairs));
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&to_json(options, &machine, &pairs))?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn serve(admin: SocketAddrV4) -> Vec<OsString> {
    [
        "serve".to_owned(),
        "--listen=127.0.0.1:0".to_owned(),
        format!("--admin-listen={admin}"),
        "--shards=2".to_owned(),
    ]
    .map(OsString::from)
    .into()
}

impl Options {
    fn load(&self, server: SocketAddrV4, product: &Product) -> Vec<OsString> {
        [
            "load".to_owned(),
            format!("ws://{server}/socket"),
            format!("--events={}", product.events().display()),
            format!("--connections={}", self.connections),
            "--join=room:{}".to_owned(),
            format!("--topics={}", self.topics),
            format!("--publish={}/s", self.rate),
            "--rate=5000".to_owned(),
            // Longer than any measurement; the bench ends it.
            "--hold=1h".to_owned(),
            "--quiet".to_owned(),
        ]
        .map(OsString::from)
        .into()
    }

    /// Measures one window, after the viewers have come or gone.
    fn window(
        &self,
        server: &Leashed,
        admin: SocketAddrV4,
        is_watched: bool,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Window> {
        let count = if is_watched { self.viewers } else { 0 };
        let viewers: Vec<_> = (0..count)
            .map(|_| Viewer::open(admin))
            .collect::<Result<_, _>>()?;
        // What opening the page costs is over, and each is at the next sample.
        interrupt.pause(Duration::from_secs(1))?;
        let seen: Vec<_> = viewers.iter().map(Viewer::samples_count).collect();
        let pid = server.pid();
        let start = Instant::now();
        let before = (measure::cpu_time(pid)?, measure::thread_time(pid, ADMIN)?);
        interrupt.pause(Duration::from_secs(self.window_s.into()))?;
        let after = (measure::cpu_time(pid)?, measure::thread_time(pid, ADMIN)?);
        let seconds = start.elapsed().as_secs_f64();
        let share = |after: Duration, before| after.saturating_sub(before).as_secs_f64() / seconds;
        let counts = viewers.iter().zip(&seen);
        let samples = counts.map(|(viewer, seen)| viewer.samples_count() - seen);
        Ok(Window {
            server: share(after.0, before.0),
            admin: share(after.1, before.1),
            samples: samples.min().unwrap_or(0) as f64 / seconds,
        })
    }
}

/// Pairs between two looks at the verdict.
const LOOK_EVERY: u16 = 20;
/// How many standard deviations of a fair coin's heads the interval of the median leaves on either side. Each look is a
/// chance to be wrong: 2.6 is 99 % for one, and over the six looks that there are by default about 96 % for all.
const DEVIATIONS: f64 = 2.6;
/// How the names of the threads that the control plane lives on begin.
const ADMIN: &str = "admin";

impl Pair {
    /// What viewers add to the processor time of the whole server, as a part of it.
    fn added(&self) -> f64 {
        self.with.server / self.without.server - 1.0
    }

    /// What they add to the threads that serve them, as a part of that of the whole server.
    fn added_to_admin(&self) -> f64 {
        (self.with.admin - self.without.admin) / self.without.server
    }
}

/// What the pairs say of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Met,
    Missed,
    /// Its interval has the target in it.
    Open,
}

impl Verdict {
    /// Judges the median of the whole by its interval, and the threads that serve viewers beside it: these have
    /// little noise, and miss what the shards answer.
    fn on(pairs: &[Pair]) -> Self {
        let Some((low, high)) = interval(&sorted(pairs, Pair::added)) else {
            return Self::Open;
        };
        let admin: Vec<_> = pairs.iter().map(Pair::added_to_admin).collect();
        if low >= TARGET || median(&admin).is_some_and(|added| added >= TARGET) {
            Self::Missed
        } else if high < TARGET {
            Self::Met
        } else {
            Self::Open
        }
    }
}

fn sorted(pairs: &[Pair], of: fn(&Pair) -> f64) -> Vec<f64> {
    let mut values: Vec<_> = pairs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Returns the two of `sorted` between which the median of what they are drawn from lies, with [`DEVIATIONS`],
/// whatever its distribution (the sign test, by the normal approximation); `None` with too few.
fn interval(sorted: &[f64]) -> Option<(f64, f64)> {
    let count = sorted.len() as f64;
    let below = (count / 2.0 - DEVIATIONS * count.sqrt() / 2.0).floor();
    // With fewer the approximation is none.
    if sorted.len() < 10 || below < 1.0 {
        return None;
    }
    let below = below as usize;
    Some((sorted[below - 1], sorted[sorted.len() - below]))
}

fn report(options: &Options, machine: &Machine, pairs: &[Pair]) -> String {
    let mut text = format!(
        "{} connections in {} topics, {} deliveries per second; {} viewers; {} pairs of windows of {} s; \
         {machine}{}\n\n| | median | least | greatest |\n|---|---|---|---|\n",
        grouped(options.connections.into(), 0),
        options.topics,
        grouped(f64::from(options.connections) * f64::from(options.rate), 0),
        options.viewers,
        options.pairs,
        options.window_s,
        if cfg!(debug_assertions) && options.product.is_none() {
            "; DEBUG BUILD, the numbers mean nothing"
        } else {
            ""
        },
    );
    let rows: [Row; 6] = [
        ("server CPU without viewers, % of a core", |it| {
            it.without.server
        }),
        ("server CPU with viewers, % of a core", |it| it.with.server),
        ("admin threads without viewers, % of a core", |it| {
            it.without.admin
        }),
        ("admin threads with viewers, % of a core", |it| {
            it.with.admin
        }),
        ("**viewers add, % of server CPU**", Pair::added),
        (
            "… in the admin threads alone, % of server CPU",
            Pair::added_to_admin,
        ),
    ];
    for (name, of) in rows {
        let values: Vec<_> = pairs.iter().map(|pair| of(pair) * 100.0).collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let middle = median(&values).unwrap_or(f64::NAN);
        // Writing to a String does not fail.
        let _ = writeln!(text, "| {name} | {middle:.2} | {least:.2} | {most:.2} |");
    }
    let samples = pairs.iter().map(|pair| pair.with.samples);
    let samples = samples.fold(f64::INFINITY, f64::min);
    let _ = writeln!(
        text,
        "\nEach viewer got {samples:.2} samples a second or more."
    );
    if let Some((low, high)) = interval(&sorted(pairs, Pair::added)) {
        let _ = writeln!(
            text,
            "What viewers add to the whole lies between {:.2} and {:.2} % (95 %, over all looks).",
            low * 100.0,
            high * 100.0
        );
    }
    let _ = writeln!(
        text,
        "Target: {} viewers cost under {} % of server CPU: {}",
        options.viewers,
        TARGET * 100.0,
        match Verdict::on(pairs) {
            Verdict::Met => "met",
            Verdict::Missed => "MISSED",
            Verdict::Open => "not settled, the machine is too noisy for so many pairs",
        }
    );
    text
}

fn to_json(options: &Options, machine: &Machine, pairs: &[Pair]) -> serde_json::Value {
    let window = |it: &Window| json!({"server_cores": it.server, "admin_cores": it.admin, "samples_per_s": it.samples});
    let pair = |it: &Pair| json!({"without": window(&it.without), "with": window(&it.with), "added": it.added()});
    json!({
        "connections": options.connections,
        "topics": options.topics,
        "publishes_per_s": options.rate * options.topics,
        "viewers": options.viewers,
        "window_s": options.window_s,
        "machine": machine.to_json(),
        "pairs": pairs.iter().map(pair).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_viewers_add_is_a_part_of_what_there_was() {
        let window = |server, admin| Window {
            server,
            admin,
            samples: 1.0,
        };
        let pair = Pair {
            without: window(0.5, 0.01),
            with: window(0.51, 0.015),
        };
        assert!((pair.added() - 0.02).abs() < 1e-9);
        assert!((pair.added_to_admin() - 0.01).abs() < 1e-9);
    }

    #[test]
    fn the_verdict_waits_until_the_interval_of_the_median_is_on_one_side() {
        let pairs = |least: f64, most: f64| -> Vec<Pair> {
            let step = |it: i32| least + (most - least) * f64::from(it) / 39.0;
            let window = |server| Window {
                server,
                admin: 0.0,
                samples: 1.0,
            };
            let pair = |it| Pair {
                without: window(1.0),
                with: window(1.0 + step(it)),
            };
            (0..40).map(pair).collect()
        };
        for (least, most, verdict) in [
            (-0.03, 0.06, Verdict::Open),
            (-0.02, 0.02, Verdict::Met),
            (0.01, 0.09, Verdict::Missed),
        ] {
            assert_eq!(Verdict::on(&pairs(least, most)), verdict);
        }
        assert_eq!(Verdict::on(&pairs(-0.02, 0.02)[..9]), Verdict::Open);
        // Tables of the sign test have the 12th and the 29th of 40 for 99 %: the approximation is on the safe side.
        let sorted: Vec<_> = (1..=40).map(f64::from).collect();
        assert_eq!(interval(&sorted), Some((11.0, 30.0)));
    }
}
