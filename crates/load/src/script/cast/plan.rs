//! What all shards of a run know alike, and what follows from a user's number.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{OnceLock, atomic::AtomicU32},
};

use serde_json::Value;

use crate::{
    script::{
        links::{Links, Owner},
        memory::Scene,
        part::ScriptPart,
        program::Program,
        read::Script,
        user::User,
    },
    way::Way,
};

/// Where the sockets of one kind are dialled to.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// The place of its address, or its proxy's, among the destinations.
    pub(crate) destination: usize,
    /// How it is reached from there.
    pub(crate) way: Way,
}

/// What all shards of a run know alike.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) script: Script,
    /// The servers of each scenario's sockets, in the order of [`Script::connects`].
    pub(crate) servers: Box<[Server]>,
    pub(crate) destinations: Box<[(SocketAddr, capacity::Sources)]>,
    /// The seed of what is left to chance.
    pub(crate) run: u64,
    /// Which of the users are this machine's.
    pub(crate) part: ScriptPart,
    pub(crate) shards: u16,
    /// Connections of one shard at once, at most.
    pub(crate) slots_max: u32,
    /// Users that are there, of all shards.
    pub(crate) active: AtomicU32,
    /// Of these, those that are to come back.
    pub(crate) away: AtomicU32,
    /// WebSockets that are open, of all shards.
    pub(crate) open: AtomicU32,
    /// Where one user is alone: what it has captured, at its end.
    pub(crate) captured: OnceLock<BTreeMap<String, Value>>,
    /// Of each scenario, the place of its first step among all.
    pub(crate) first_steps: Box<[usize]>,
    /// Of each scenario, the place of its users' own socket among all.
    pub(crate) first_sockets: Box<[usize]>,
}

impl Plan {
    /// What decides about everything that the user `number` has of several.
    pub(crate) fn seed(&self, number: u32) -> u64 {
        (self.run ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// A scenario.
    pub(super) fn program(&self, number: u16) -> &Program {
        &self.script.programs[usize::from(number)]
    }

    /// The server of a scenario's socket.
    pub(super) fn server(&self, program: u16, socket: u8) -> &Server {
        &self.servers[self.first_sockets[usize::from(program)] + usize::from(socket)]
    }

    /// Whose a connection of a user's socket is.
    pub(super) fn owner(&self, program: u16, user: u32, socket: u8) -> Owner {
        Owner {
            user,
            // There are fewer: scenarios and their sockets are bounded.
            destination: self.server(program, socket).destination as u16,
            socket,
        }
    }

    /// What says whose connections are whose, if that is not plain.
    pub(super) fn links(&self) -> Option<Box<Links>> {
        let width = self.script.sockets_max();
        let is_plain = width == 1 && !self.script.comes_back();
        (!is_plain).then(|| Box::new(Links::new(width)))
    }

    /// The scenario of the user `number`, by weight.
    pub(super) fn choose(&self, number: u32) -> u16 {
        let programs = &self.script.programs;
        let total: f64 = programs.iter().map(|program| program.weight).sum();
        let mut left = fastrand::Rng::with_seed(self.seed(number)).f64() * total;
        for (number, program) in programs.iter().enumerate() {
            if left < program.weight {
                return number as u16;
            }
            left -= program.weight;
        }
        let last = programs.iter().rposition(|program| program.weight > 0.0);
        last.unwrap_or(0) as u16
    }
}

/// What a template sees of one user; not a method, so that the rest of the cast stays free.
pub(super) fn scene<'a>(
    plan: &'a Plan,
    user: &'a User,
    random: &'a mut fastrand::Rng,
) -> Scene<'a> {
    Scene {
        variables: &plan.script.variables,
        payloads: &plan.script.payloads,
        memory: user.memory.as_deref(),
        seed: plan.seed(user.number),
        number: user.number,
        random,
    }
}
