//! Where a script's sockets are dialled to, from where, and on which way.

use std::net::SocketAddr;

use capacity::Sources;

use super::{
    connect::Connect,
    perform::{ScriptOptions, first_sockets},
    read::Script,
};
use crate::{
    options::OptionsError,
    proxy::{self, Proxy},
    run::{self, LoadError},
    target::Target,
    tls::Tls,
    way::Way,
};

/// Tuples that are prepared, at most; those of users that have left are used again.
const TUPLES_MAX: u64 = 4_000_000;

/// Where a script's sockets are dialled to.
pub(super) struct Resolved {
    /// Of each socket of all scenarios, the place of its server.
    pub(super) servers: Vec<usize>,
    /// Of each server the address and where to dial from.
    pub(super) destinations: Vec<(SocketAddr, Sources)>,
}

/// Looks up the servers of a script's sockets, and says where to dial from.
pub(super) fn resolve(
    script: &Script,
    options: &ScriptOptions,
    arrivals: u64,
) -> Result<Resolved, LoadError> {
    let (mut servers, mut addresses) = (Vec::new(), Vec::new());
    for connect in script.connects() {
        let own = connect.route.source.map(Sources::single);
        let sources = options.sources.clone().or(own);
        let like = sources.as_ref().and_then(|all| all.addresses().next());
        let proxy = proxy_of(connect, options);
        let destination = proxy::destination(&connect.server, proxy, like)?;
        let wanted = (destination, sources);
        let known = addresses.iter().position(|known| *known == wanted);
        servers.push(known.unwrap_or(addresses.len()));
        if known.is_none() {
            addresses.push(wanted);
        }
    }
    let mut destinations = Vec::new();
    for (place, (destination, sources)) in addresses.into_iter().enumerate() {
        let dials = arrivals * u64::from(sockets_towards(script, &servers, place));
        // All may end at once, leave TIME_WAIT and come back.
        let dials = dials * if script.comes_back() { 2 } else { 1 };
        // Each user that leaves keeps its tuples for a minute, so arrivals count and not users.
        let tuples = (dials + dials / 10).clamp(1, TUPLES_MAX);
        let sources = match sources {
            Some(sources) => sources,
            None => run::default_sources(destination, tuples)?,
        };
        run::check_sources(&sources, destination)?;
        destinations.push((destination, sources));
    }
    Ok(Resolved {
        servers,
        destinations,
    })
}

/// How many sockets a user has at most towards a destination.
pub(super) fn sockets_towards(script: &Script, servers: &[usize], destination: usize) -> u32 {
    let firsts = first_sockets(script);
    let counts = script
        .programs
        .iter()
        .zip(&firsts)
        .map(|(program, &first)| {
            let own = &servers[first..first + program.sockets_count()];
            own.iter().filter(|&&place| place == destination).count()
        });
    // A user has few.
    counts.max().unwrap_or(0) as u32
}

/// Through which proxy a socket's server is reached.
fn proxy_of<'a>(connect: &'a Connect, options: &'a ScriptOptions) -> Option<&'a Proxy> {
    options.proxy.as_ref().or(connect.route.proxy.as_ref())
}

/// Of each socket of all scenarios, the way to its server; those that ask for the same share it.
pub(super) fn ways(script: &Script, options: &ScriptOptions) -> Result<Vec<Way>, OptionsError> {
    let mut known: Vec<(Tls, Option<&Proxy>, &Target, Way)> = Vec::new();
    for connect in script.connects() {
        let (proxy, server) = (proxy_of(connect, options), &connect.server);
        let tls = connect.tls.under(&options.tls);
        let same = known.iter().find(|(with, through, to, _)| {
            *with == tls && *through == proxy && to.is_same_server(server)
        });
        let way = match same {
            Some((.., way)) => way.clone(),
            None => Way::to(server, proxy, &tls)?,
        };
        known.push((tls, proxy, server, way));
    }
    Ok(known.into_iter().map(|(.., way)| way).collect())
}
