//! The values of a declared metric at one moment, for whatever form they are told in.

use std::borrow::Cow;

use engine::Distribution;

use super::{Metric, Scrape, Source};

/// What a metric has at one moment.
#[derive(Debug)]
pub(in crate::admin) enum Values {
    Numbers(Vec<(Labels, Number)>),
    /// Numbers in buckets, in a unit of which so many are one.
    Distribution(Box<Distribution>, f64),
}

/// The labels of a value, each with its name.
pub(in crate::admin) type Labels = Vec<(&'static str, Cow<'static, str>)>;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::admin) enum Number {
    Whole(u64),
    Real(f64),
}

impl Scrape {
    pub(in crate::admin) fn values(&self, metric: &Metric) -> Values {
        let one = |number| Values::Numbers(vec![(Vec::new(), number)]);
        match metric.source {
            Source::Sum(count) => one(Number::Whole(self.reading.sum(count))),
            Source::Once(value) => one(Number::Real(value(self))),
            Source::Micros(of) => Values::Distribution(Box::new(self.reading.total(of)), 1e-6),
            Source::Numbers(of) => Values::Distribution(Box::new(self.reading.total(of)), 1.0),
            Source::Shards(value) => {
                let shards = self.reading.shards.iter().enumerate();
                let numbers = shards.map(|(shard, reading)| {
                    let labels = vec![("shard", shard.to_string().into())];
                    (labels, Number::Real(value(reading)))
                });
                Values::Numbers(numbers.collect())
            }
            Source::By {
                label,
                values,
                count,
            } => {
                let numbers = values.iter().map(|value| {
                    let labels = vec![(label, (*value).into())];
                    (labels, Number::Whole(count(&self.reading, value)))
                });
                Values::Numbers(numbers.collect())
            }
            Source::Told {
                label,
                values,
                count,
            } => {
                let numbers = values.iter().map(|value| {
                    let labels = vec![(label, (*value).into())];
                    (labels, Number::Whole(count(self, value)))
                });
                Values::Numbers(numbers.collect())
            }
            Source::Limits(value) => {
                let entries = self.limits.iter().flat_map(|look| look.bounded());
                let numbers = entries.filter_map(|entry| {
                    let labels = vec![("limit", entry.name.into())];
                    Some((labels, Number::Whole(value(entry)?)))
                });
                Values::Numbers(numbers.collect())
            }
            Source::Info(names) => {
                let labels = names.iter().map(|(name, value)| (*name, (*value).into()));
                Values::Numbers(vec![(labels.collect(), Number::Whole(1))])
            }
        }
    }
}
