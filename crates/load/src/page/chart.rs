//! A line chart over time as SVG: axes with units, a legend, the values where one points, and the same in
//! words for those who do not see it.

use std::{borrow::Cow, fmt::Write as _};

use super::markup::{Text, number, short};

/// One line of a chart.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    /// A value for each time, or a gap.
    pub(super) values: Vec<Option<f64>>,
}

/// A chart.
#[derive(Clone, Debug)]
pub(super) struct Chart<'a> {
    pub(super) title: Cow<'a, str>,
    /// What the values are: `""`, `/s`, `us`, `B`, `%`.
    pub(super) unit: &'a str,
    /// Seconds since the start of the run, one for each value.
    pub(super) times: &'a [f64],
    pub(super) series: Vec<Series>,
    /// Where the axis must reach at least.
    pub(super) top_min: f64,
}

/// Lines that are told apart by colour and dashes.
pub(super) const SERIES_MAX: usize = 8;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 236.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;

impl Chart<'_> {
    /// Whether there is anything to draw.
    pub(super) fn is_empty(&self) -> bool {
        let mut values = self.series.iter().flat_map(|series| &series.values);
        !values.any(|value| value.is_some())
    }

    /// The chart with its caption and legend.
    pub(super) fn figure(&self) -> String {
        let mut out = String::new();
        let unit = match self.unit {
            "" => String::new(),
            "/s" => "per second".to_owned(),
            "us" => "time".to_owned(),
            "B" => "bytes".to_owned(),
            unit => unit.to_owned(),
        };
        // Writing to a String does not fail.
        let _ = write!(
            out,
            "<figure><figcaption>{} <span class=\"soft\">{}</span></figcaption>",
            Text(&self.title),
            Text(&unit)
        );
        out += &self.svg();
        out += &self.legend();
        out += "</figure>";
        out
    }

    fn svg(&self) -> String {
        let (step, top) = self.scale();
        let last = self.times.last().copied().unwrap_or(0.0).max(1.0);
        let x = |time: f64| LEFT + time / last * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
        let mut out = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            Text(&self.words())
        );
        let lines = (top / step).round() as u32;
        for line in 0..=lines {
            let value = step * f64::from(line);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 7.0,
                y(value) + 4.0,
                Text(&short(value, self.unit)),
                y = y(value),
            );
        }
        for time in marks(last) {
            let anchor = if time == 0.0 { "start" } else { "middle" };
            let _ = write!(
                out,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
                x(time),
                HEIGHT - 9.0,
                clock(time)
            );
        }
        for (place, series) in self.series.iter().take(SERIES_MAX).enumerate() {
            out += &self.line(place, series, &x, &y);
        }
        out += &self.tips(&x, last);
        out += "</svg>";
        out
    }

    /// One line, with a dot where a value stands alone between gaps.
    fn line(
        &self,
        place: usize,
        series: &Series,
        x: &dyn Fn(f64) -> f64,
        y: &dyn Fn(f64) -> f64,
    ) -> String {
        let (mut path, mut out) = (String::new(), String::new());
        let mut run: Vec<(f64, f64)> = Vec::new();
        let values = series.values.iter().map(Some).chain([None]);
        let mut times = self.times.iter();
        for value in values {
            let time = times.next();
            if let (Some(Some(value)), Some(&time)) = (value, time) {
                run.push((x(time), y(*value)));
                continue;
            }
            match run.as_slice() {
                [] => {}
                [(cx, cy)] => {
                    let _ = write!(
                        out,
                        "<circle class=\"dot s{place}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3\"/>"
                    );
                }
                [first, rest @ ..] => {
                    let _ = write!(path, "M{:.1} {:.1}", first.0, first.1);
                    for (px, py) in rest {
                        let _ = write!(path, "L{px:.1} {py:.1}");
                    }
                }
            }
            run.clear();
        }
        if !path.is_empty() {
            let dash = place % 4;
            let _ = write!(
                out,
                "<path class=\"series s{place} d{dash}\" d=\"{path}\"/>"
            );
        }
        out
    }

    /// What is shown where one points: one strip for each time.
    fn tips(&self, x: &dyn Fn(f64) -> f64, last: f64) -> String {
        let mut out = String::new();
        let width = (WIDTH - LEFT - RIGHT) / (self.times.len().max(2) - 1) as f64;
        for (place, &time) in self.times.iter().enumerate() {
            let mut lines = vec![clock(time)];
            for series in self.series.iter().take(SERIES_MAX) {
                if let Some(Some(value)) = series.values.get(place) {
                    lines.push(format!("{}: {}", series.name, number(*value, self.unit)));
                }
            }
            let (at, from) = (x(time), (x(time) - width / 2.0).max(LEFT));
            let wide = lines.iter().map(|line| line.chars().count()).max();
            let wide = (wide.unwrap_or(0) as f64 * 7.2 + 16.0).min(WIDTH - LEFT - RIGHT);
            // On the side where there is room.
            let left = if time > last / 2.0 {
                at - wide - 8.0
            } else {
                at + 8.0
            };
            let left = left.clamp(2.0, (WIDTH - wide - 2.0).max(2.0));
            let high = lines.len() as f64 * 16.0 + 10.0;
            let _ = write!(
                out,
                "<g class=\"at\"><title>{}</title><rect class=\"hit\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" \
                 height=\"{}\"/><g class=\"tip\"><line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{}\"/>\
                 <rect x=\"{left:.1}\" y=\"{TOP}\" width=\"{wide:.1}\" height=\"{high}\" rx=\"5\"/>",
                Text(&lines.join(", ")),
                HEIGHT - TOP - BOTTOM,
                HEIGHT - BOTTOM,
            );
            for (line, text) in lines.iter().enumerate() {
                let _ = write!(
                    out,
                    "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                    left + 8.0,
                    TOP + 17.0 + line as f64 * 16.0,
                    Text(text)
                );
            }
            out += "</g></g>";
        }
        out
    }

    fn legend(&self) -> String {
        let mut out = "<p class=\"soft\">".to_owned();
        for (place, series) in self.series.iter().take(SERIES_MAX).enumerate() {
            let _ = write!(
                out,
                "<span style=\"white-space:nowrap\"><svg style=\"display:inline-block;width:26px;vertical-align:middle\" \
                 viewBox=\"0 0 26 8\" aria-hidden=\"true\"><path class=\"series s{place} d{}\" d=\"M1 4H25\"/></svg> {} </span> ",
                place % 4,
                Text(&series.name)
            );
        }
        out += "</p>";
        out
    }

    /// The step of the axis and where it ends.
    fn scale(&self) -> (f64, f64) {
        let values = self
            .series
            .iter()
            .flat_map(|series| &series.values)
            .flatten();
        let most = values.fold(self.top_min, |most, &value| most.max(value));
        let rough = most.max(f64::MIN_POSITIVE) / 4.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .into_iter()
            .map(|times| times * power);
        let mut step = step
            .into_iter()
            .find(|step| *step >= rough * 0.999)
            .unwrap_or(1.0);
        if matches!(self.unit, "" | "us" | "B") {
            // Half a connection is none.
            step = step.max(1.0).ceil();
        }
        let top = ((most / step).ceil() * step).max(step);
        (step, top)
    }

    /// The chart in words.
    fn words(&self) -> String {
        let mut words = format!("{} over {} periods", self.title, self.times.len());
        for series in self.series.iter().take(SERIES_MAX) {
            let values: Vec<f64> = series.values.iter().flatten().copied().collect();
            let Some(last) = values.last() else { continue };
            let most = values.iter().copied().fold(f64::MIN, f64::max);
            let least = values.iter().copied().fold(f64::MAX, f64::min);
            let _ = write!(
                words,
                "; {}: {} to {}, {} at the end",
                series.name,
                number(least, self.unit),
                number(most, self.unit),
                number(*last, self.unit)
            );
        }
        words
    }
}

/// Times to mark on an axis of so many seconds.
fn marks(last: f64) -> impl Iterator<Item = f64> {
    const STEPS: [f64; 14] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0,
        21_600.0,
    ];
    let step = STEPS.into_iter().find(|step| last / step <= 6.0);
    let step = step.unwrap_or_else(|| (last / 6.0 / 86_400.0).ceil() * 86_400.0);
    (0..=6)
        .map(move |mark| f64::from(mark) * step)
        .filter(move |&time| time <= last * 0.97)
}

/// A time since the start of the run.
fn clock(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{}:{:02} min", whole / 60, whole % 60),
        _ => format!("{}:{:02} h", whole / 3_600, whole % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[Option<f64>], unit: &'static str) -> String {
        let times: Vec<_> = (0..values.len()).map(|second| second as f64).collect();
        let chart = Chart {
            title: "a <chart>".into(),
            unit,
            times: &times,
            series: vec![Series {
                name: "one & only".to_owned(),
                values: values.to_vec(),
            }],
            top_min: 0.0,
        };
        chart.figure()
    }

    #[test]
    fn it_says_in_words_what_it_shows() {
        let svg = chart(&[Some(1.0), Some(1_500.0), None, Some(7.0)], "us");
        assert!(svg.contains("role=\"img\""));
        assert!(
            svg.contains("one &amp; only: 1 µs to 1.50 ms, 7 µs at the end"),
            "{svg}"
        );
        assert!(!svg.contains("a <chart>"), "{svg}");
        // A line up to the gap and a dot behind it.
        assert_eq!(
            svg.matches("<path class=\"series s0 d0\" d=\"M72").count(),
            1
        );
        assert_eq!(svg.matches("<circle").count(), 1);
    }

    #[test]
    fn axes_are_round_and_never_empty() {
        for (values, unit, step, top) in [
            (vec![Some(0.0)], "", 1.0, 1.0),
            (vec![Some(3.0)], "", 1.0, 3.0),
            (vec![Some(97.0)], "/s", 25.0, 100.0),
            (vec![Some(0.4)], "/s", 0.1, 0.4),
            (vec![Some(10_000.0)], "", 2_500.0, 10_000.0),
        ] {
            let chart = Chart {
                title: "".into(),
                unit,
                times: &[0.0],
                series: vec![Series {
                    name: String::new(),
                    values,
                }],
                top_min: 0.0,
            };
            let (found_step, found_top) = chart.scale();
            assert!((found_step - step).abs() < 1e-9, "{chart:?}: {found_step}");
            assert!((found_top - top).abs() < 1e-9, "{chart:?}: {found_top}");
        }
        for svg in [
            chart(&[], ""),
            chart(&[None], "/s"),
            chart(&[Some(f64::from(u32::MAX))], "B"),
        ] {
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn marks_of_time_are_few_and_round() {
        for (last, count) in [
            (1.0, 1),
            (12.0, 6),
            (61.0, 4),
            (600.0, 5),
            (86_400.0, 4),
            (1e7, 6),
        ] {
            let marks: Vec<_> = marks(last).collect();
            assert_eq!(marks.len(), count, "{last}: {marks:?}");
        }
        assert_eq!(clock(61.0), "1:01 min");
        assert_eq!(clock(3_600.0), "1:00 h");
    }
}
