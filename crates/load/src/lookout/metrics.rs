//! Limits in a page of metrics in Prometheus's text format.
//!
//! | metrics | limit |
//! |---|---|
//! | `fourtuple_limit_value`, `fourtuple_limit_ceiling` | each limit of a fourtuple |
//! | `node_filefd_allocated`, `_maximum`; `node_nf_conntrack_entries`, `_limit`; `node_memory_…`; `node_cpu_seconds_total` | the machine, as a node_exporter tells it |
//! | `process_open_fds`, `process_max_fds`, `process_resident_memory_bytes`, `process_cpu_seconds_total` | any process |

use std::{collections::BTreeMap, time::Instant};

use crate::timeline::Used;

/// Whose limits these are.
const WHOSE: &str = "target";
/// The most limits of one page.
const LIMITS_MAX: usize = 32;

/// Reads pages, one after the other.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    /// When the page before was read, and its seconds of processors: idle ones of the machine, busy ones of the
    /// process.
    before: Option<(Instant, f64, f64)>,
}

/// What a page says, by name.
#[derive(Debug, Default)]
struct Page {
    numbers: BTreeMap<String, f64>,
    ceilings: BTreeMap<String, f64>,
    values: BTreeMap<String, f64>,
    cores: u32,
    idle: f64,
}

impl Sheet {
    /// The limits of the page `text`, which was read just `now`.
    pub(super) fn look(&mut self, text: &str, now: Instant) -> Vec<Used> {
        let page = Page::read(text);
        let mut all: Vec<_> = page
            .values
            .iter()
            .map(|(name, &used)| limit(name, used, page.ceilings.get(name).copied()))
            .collect();
        let number = |name: &str| page.numbers.get(name).copied();
        for (name, used, ceiling) in [
            (
                "open files",
                number("node_filefd_allocated"),
                number("node_filefd_maximum"),
            ),
            (
                "connection tracking",
                number("node_nf_conntrack_entries"),
                number("node_nf_conntrack_entries_limit"),
            ),
            (
                "memory",
                number("node_memory_MemTotal_bytes")
                    .and_then(|total| Some(total - number("node_memory_MemAvailable_bytes")?)),
                number("node_memory_MemTotal_bytes"),
            ),
            (
                "file descriptors of the process",
                number("process_open_fds"),
                number("process_max_fds"),
            ),
            (
                "memory of the process",
                number("process_resident_memory_bytes"),
                None,
            ),
        ] {
            if let Some(used) = used {
                all.push(limit(name, used, ceiling));
            }
        }
        all.extend(self.processors(&page, now));
        all.truncate(LIMITS_MAX);
        all
    }

    fn processors(&mut self, page: &Page, now: Instant) -> Option<Used> {
        let busy = page.numbers.get("process_cpu_seconds_total").copied();
        let seen = (now, page.idle, busy.unwrap_or(0.0));
        let before = self.before.replace(seen)?;
        // Longer than from one look to the next where pages between could not be read.
        let seconds = now.duration_since(before.0).as_secs_f64().max(0.001);
        if page.cores > 0 {
            let cores = f64::from(page.cores);
            let used = cores - (seen.1 - before.1) / seconds;
            return Some(limit("processors", used.clamp(0.0, cores), Some(cores)));
        }
        busy?;
        let used = ((seen.2 - before.2) / seconds).max(0.0);
        Some(limit("processors of the process", used, None))
    }
}

fn limit(name: &str, used: f64, ceiling: Option<f64>) -> Used {
    Used {
        whose: WHOSE.to_owned(),
        name: name.to_owned(),
        used,
        ceiling: ceiling.filter(|&ceiling| ceiling > 0.0 && ceiling < 1e18),
    }
}

impl Page {
    fn read(text: &str) -> Self {
        let mut page = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, labels, value)) = split(line) else {
                continue;
            };
            match name {
                "fourtuple_limit_value" => {
                    page.values
                        .extend(label(labels, "limit").map(|l| (l, value)));
                }
                "fourtuple_limit_ceiling" => {
                    page.ceilings
                        .extend(label(labels, "limit").map(|l| (l, value)));
                }
                "node_cpu_seconds_total" if labels.contains("mode=\"idle\"") => {
                    page.cores += 1;
                    page.idle += value;
                }
                _ if labels.is_empty()
                    && (name.starts_with("node_") || name.starts_with("process_")) =>
                {
                    page.numbers.insert(name.to_owned(), value);
                }
                _ => {}
            }
        }
        page
    }
}

/// The parts of `name{labels} value`.
fn split(line: &str) -> Option<(&str, &str, f64)> {
    let (name, labels, rest) = match line.find('{') {
        Some(open) => {
            let close = line.rfind('}')?;
            (
                &line[..open],
                line.get(open + 1..close)?,
                &line[close + 1..],
            )
        }
        None => {
            let (name, rest) = line.split_once(' ')?;
            (name, "", rest)
        }
    };
    let value: f64 = rest.split_whitespace().next()?.parse().ok()?;
    value.is_finite().then_some((name, labels, value))
}

fn label(labels: &str, name: &str) -> Option<String> {
    let (_, rest) = labels.split_once(&format!("{name}=\""))?;
    Some(rest.split_once('"')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NODE: &str = "# HELP node_filefd_allocated x\nnode_filefd_allocated 1056\n\
        node_filefd_maximum 9.223372036854776e+18\nnode_memory_MemTotal_bytes 8e9\n\
        node_memory_MemAvailable_bytes 6e9\nnode_nf_conntrack_entries 5\n\
        node_nf_conntrack_entries_limit 262144\n\
        node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 100.5\n\
        node_cpu_seconds_total{cpu=\"1\",mode=\"idle\"} 200\n\
        node_cpu_seconds_total{cpu=\"1\",mode=\"user\"} 9\nnode_nan NaN\n";

    fn of<'a>(all: &'a [Used], name: &str) -> &'a Used {
        let found = all.iter().find(|one| one.name == name);
        found.unwrap_or_else(|| panic!("no {name} in {all:?}"))
    }

    #[test]
    fn a_node_exporter_tells_of_its_machine() {
        let mut sheet = Sheet::default();
        let began = Instant::now();
        let first = sheet.look(NODE, began);
        assert_eq!(
            of(&first, "open files").ceiling,
            None,
            "no limit is no ceiling"
        );
        assert_eq!(of(&first, "memory").used, 2e9);
        assert_eq!(of(&first, "connection tracking").ceiling, Some(262_144.0));
        assert!(first.iter().all(|one| one.name != "processors"));
        // Half a second of one of two cores was idle.
        let later = NODE.replace("100.5", "101");
        let second = sheet.look(&later, began + Duration::from_secs(1));
        let cores = of(&second, "processors");
        assert_eq!((cores.used, cores.ceiling), (1.5, Some(2.0)));
        // Nine seconds without an answer, in each of which that core was idle for as long.
        let later = NODE.replace("100.5", "105.5");
        let third = sheet.look(&later, began + Duration::from_secs(10));
        assert_eq!(of(&third, "processors").used, 1.5);
    }

    #[test]
    fn a_fourtuple_tells_of_its_limits() {
        let text = "fourtuple_limit_value{limit=\"file descriptors\"} 120\n\
            fourtuple_limit_ceiling{limit=\"file descriptors\"} 20000\n\
            fourtuple_limit_value{limit=\"memory\"} 5\nprocess_open_fds 9\nprocess_max_fds 20\n";
        let seen = Sheet::default().look(text, Instant::now());
        assert_eq!(of(&seen, "file descriptors").ceiling, Some(20_000.0));
        assert_eq!(of(&seen, "memory").ceiling, None);
        assert_eq!(of(&seen, "file descriptors of the process").used, 9.0);
    }

    #[test]
    fn what_is_no_metric_is_passed_over() {
        for text in [
            "",
            "}{ 1",
            "a{",
            "a} 5",
            "a{b=\"c\" 5",
            "\u{0}",
            "fourtuple_limit_value{limit=\"} 5",
        ] {
            assert_eq!(Sheet::default().look(text, Instant::now()), []);
        }
    }
}
