//! Many machines as one crowd: agents wait, and a coordinator divides a run among them.
//!
//! - what goes over the wire: `wire` (frames and their tags), `secret` (who is genuine), `session`, `link` (TCP,
//!   TLS with `tls`, pipes), `message`;
//! - an agent: `agent` (who is served), `duty` (one run);
//! - the coordinator: `address`, `attendant` (a thread for each agent; `ssh` starts some), `crew` (all of them:
//!   what they can carry, when they start), `division` and `clock`, `muster` (a run of a crowd) and `troupe` (a
//!   run of a script), `seconds` (what all see of a run while it goes on), `machine` (what a report says of each).
//!
//! `probe` lets tests outside of this crate look at the wire.
//!
//! What makes the machines one crowd is elsewhere: [`Part`](crate::part::Part) says whose connections are
//! whose, [`Gate`](crate::gate::Gate) where all wait for each other.

mod address;
mod agent;
mod attendant;
mod clock;
mod crew;
mod division;
mod duty;
mod link;
mod machine;
mod message;
mod muster;
#[doc(hidden)]
pub mod probe;
mod seconds;
mod secret;
mod session;
mod ssh;
mod tls;
mod troupe;
mod wire;

pub use address::{AGENT_PORT, AgentAddress, AgentAddressError, AgentAddresses};
pub use agent::{Agent, AgentError, serve_stdio};
pub use crew::{Agents, AgentsError, OnAgentLoss};
pub use duty::AgentOptions;
pub use machine::MachineReport;
pub(crate) use machine::write_machines;
pub(crate) use message::Capacity;
pub use muster::run_on_agents;
pub use secret::{Secret, SecretError};
pub use tls::TlsError;
pub(crate) use troupe::run_scaled;
pub use troupe::run_script_on_agents;
