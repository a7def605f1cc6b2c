//! The share of the server's processor that the connections of a plan take.
//!
//! The costs were measured of fourtuple on loopback (docs/two-million.md); another program's are its own.

use std::fmt;

use serde::Serialize;

use super::{
    Program, Question,
    text::{heading, row, sentence},
};
use crate::Grouped;

/// Microseconds of a core for a heartbeat and its answer on io_uring: 0.43 for each connection and second
/// at a heartbeat every 30 s, with 200,000 connections.
pub const HEARTBEAT_MICROS: f64 = 12.9;

/// Microseconds of a core for the delivery of a message to one connection: few of them, and two million,
/// where each finds its socket in a long chain and nothing of it in a cache.
pub const DELIVERY_MICROS: [f64; 2] = [5.0, 12.0];

/// Microseconds of a core for a connect, an upgrade and a join.
pub const OPENING_MICROS: f64 = 60.0;

const MICROS_PER_SECOND: f64 = 1e6;

/// The server's processor. A core is a second of it per second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Processor {
    /// Heartbeats of all connections.
    pub heartbeats_per_second: f64,
    /// Cores that these keep busy.
    pub heartbeat_cores: f64,
    /// Messages that are delivered to all connections together.
    pub deliveries_per_second: f64,
    /// Cores that these keep busy at the lower cost of a delivery.
    pub delivery_cores_min: f64,
    /// The same at the higher cost.
    pub delivery_cores_max: f64,
    /// Cores that are busy with new connections while all are opened.
    pub opening_cores: f64,
    /// Seconds of a core that a message to all takes at the higher cost.
    pub broadcast_core_seconds: f64,
    /// Whole cores that all of this needs at one time, at the higher cost.
    pub cores_needed_count: u64,
    /// Whether the costs are those of the program that is planned.
    pub is_measured_of_program: bool,
}

impl Processor {
    pub(super) fn of(question: &Question) -> Self {
        let connections = question.connections_count() as f64;
        let per_second =
            |seconds: Option<f64>| seconds.map_or(0.0, |seconds| connections / seconds);
        let cores =
            |events_per_second: f64, micros: f64| events_per_second * micros / MICROS_PER_SECOND;
        let heartbeats = per_second(question.heartbeat_seconds());
        let deliveries = per_second(question.message_seconds());
        let heartbeat_cores = cores(heartbeats, HEARTBEAT_MICROS);
        let [delivery_cores_min, delivery_cores_max] =
            DELIVERY_MICROS.map(|micros| cores(deliveries, micros));
        let opening_cores = cores(question.connects_per_second.get() as f64, OPENING_MICROS);
        let all = heartbeat_cores + delivery_cores_max + opening_cores;
        Self {
            heartbeats_per_second: heartbeats,
            heartbeat_cores,
            deliveries_per_second: deliveries,
            delivery_cores_min,
            delivery_cores_max,
            opening_cores,
            broadcast_core_seconds: cores(connections, DELIVERY_MICROS[1]),
            // A cast saturates.
            cores_needed_count: all.ceil() as u64,
            is_measured_of_program: question.program == Program::Fourtuple,
        }
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        heading(f, "Processor of the server")?;
        row(
            f,
            "heartbeats per second",
            Grouped(self.heartbeats_per_second.round() as u64),
            &format!("{} at {HEARTBEAT_MICROS} µs", busy(self.heartbeat_cores)),
        )?;
        if self.deliveries_per_second > 0.0 {
            let [low, high] = DELIVERY_MICROS;
            row(
                f,
                "deliveries per second",
                Grouped(self.deliveries_per_second.round() as u64),
                &format!(
                    "{:.1} to {} at {low} to {high} µs",
                    self.delivery_cores_min,
                    busy(self.delivery_cores_max)
                ),
            )?;
        }
        row(
            f,
            "while they are opened",
            "",
            &format!("{} at {OPENING_MICROS} µs", busy(self.opening_cores)),
        )?;
        row(
            f,
            "a message to all",
            format!("{:.1} s", self.broadcast_core_seconds),
            "of one core, shared by as many as there are",
        )?;
        row(
            f,
            "cores needed",
            Grouped(self.cores_needed_count),
            "for all of this at one time",
        )?;
        if self.is_measured_of_program {
            return Ok(());
        }
        sentence(
            f,
            "These costs were measured of fourtuple; another program's are its own.",
        )
    }
}

fn busy(cores: f64) -> String {
    format!("{cores:.2} cores")
}

#[cfg(test)]
mod tests {
    use std::{num::NonZero, time::Duration};

    use proptest::prelude::*;

    use super::*;
    use crate::plan::PHOENIX_RECORD;

    fn question(connections: u64) -> Question {
        Question::new(NonZero::new(connections).expect("some connections"))
    }

    fn is_near(value: f64, expected: f64) -> bool {
        (value - expected).abs() < 0.005 * expected
    }

    #[test]
    fn a_heartbeat_every_thirty_seconds_is_what_was_measured() {
        let processor = Processor::of(&question(2_000_000));
        assert!(is_near(processor.heartbeats_per_second, 66_667.0));
        // 0.43 µs for each connection and second.
        assert!(is_near(processor.heartbeat_cores, 0.43 * 2.0));
        assert!(is_near(processor.opening_cores, 0.3));
        assert_eq!(processor.cores_needed_count, 2);
        assert!(is_near(processor.broadcast_core_seconds, 24.0));
    }

    #[test]
    fn a_message_a_minute_to_each_is_a_third_of_a_core() {
        let processor = Processor::of(&Question {
            message_interval: Some(Duration::from_secs(60)),
            ..question(2_000_000)
        });
        assert!(is_near(processor.deliveries_per_second, 33_333.0));
        assert!(is_near(processor.delivery_cores_min, 0.1667));
        assert!(is_near(processor.delivery_cores_max, 0.4));
        assert!(
            processor
                .to_string()
                .contains("0.2 to 0.40 cores at 5 to 12 µs"),
            "{processor}"
        );
    }

    #[test]
    fn what_never_comes_costs_nothing() {
        for none in [None, Some(Duration::ZERO)] {
            let processor = Processor::of(&Question {
                heartbeat: none,
                message_interval: none,
                ..question(2_000_000)
            });
            assert_eq!(processor.heartbeat_cores, 0.0);
            assert_eq!(processor.deliveries_per_second, 0.0);
            assert_eq!(processor.cores_needed_count, 1);
            assert!(!processor.to_string().contains("deliveries"));
        }
    }

    #[test]
    fn costs_of_another_program_are_not_known() {
        let processor = Processor::of(&Question {
            program: PHOENIX_RECORD,
            ..question(1)
        });
        assert!(processor.to_string().contains("measured of fourtuple"));
    }

    proptest! {
        #[test]
        fn every_number_is_finite(connections in 1..=u64::MAX, millis in 0..=u64::MAX) {
            let processor = Processor::of(&Question {
                heartbeat: Some(Duration::from_millis(millis)),
                message_interval: Some(Duration::from_nanos(millis)),
                connects_per_second: NonZero::new(connections).expect("not zero"),
                ..question(connections)
            });
            prop_assert!(processor.heartbeat_cores.is_finite());
            prop_assert!(processor.delivery_cores_max.is_finite());
            prop_assert!(processor.cores_needed_count >= 1);
        }
    }
}
