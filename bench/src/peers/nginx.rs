//! nginx with nchan: two workers, and a location where who connects is subscribed and what is sent
//! is published.
//!
//! nginx cannot say which port the kernel chose, so the bench looks for a free one first. Between that
//! and the start somebody else may take it; then another is tried.

use std::fs;
use std::net::{SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::address::free_address;
use crate::leash::{Leashed, Pages};
use crate::session::Workload;

use super::tools::{NCHAN, NGINX, find};

/// An installed nginx, and a folder that it has for itself.
#[derive(Debug)]
pub(super) struct Nginx {
    program: PathBuf,
    module: PathBuf,
    folder: PathBuf,
    connections_max: usize,
}

impl Nginx {
    /// Takes the machine's nginx for up to `connections_max`, with a folder of its own in `folder`.
    pub(super) fn prepare(connections_max: usize, folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("nginx");
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self {
            program: find(NGINX).context("nginx is missing")?,
            module: find(NCHAN).context("nchan is missing")?,
            folder,
            connections_max,
        })
    }

    /// Starts it and returns where it listens.
    pub(super) fn start(
        &self,
        workload: Workload,
        pages: Pages,
    ) -> anyhow::Result<(Leashed, SocketAddrV4)> {
        let mut tries_left = TRIES;
        loop {
            tries_left -= 1;
            let addr = free_address()?;
            let started = self.start_on(addr, workload, pages);
            match started {
                Ok(process) => return Ok((process, addr)),
                Err(error) if tries_left == 0 => return Err(error),
                Err(_) => {}
            }
        }
    }

    fn start_on(
        &self,
        addr: SocketAddrV4,
        workload: Workload,
        pages: Pages,
    ) -> anyhow::Result<Leashed> {
        let config = self.folder.join("nginx.conf");
        fs::write(&config, self.config(addr, workload))
            .with_context(|| format!("cannot write {}", config.display()))?;
        let mut arguments = ["-p".into(), self.folder.clone().into(), "-c".into()].to_vec();
        arguments.push(config.into());
        let process = Leashed::spawn_family(&self.program, &arguments, pages)?;
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(addr).is_err() {
            if Instant::now() > deadline {
                let words = process.last_words();
                bail!("nginx does not listen on {addr}; it says:{words}");
            }
            // Nothing is answered; it is the end of the process that is listened for.
            process.answer(Instant::now() + BETWEEN_LOOKS)?;
        }
        Ok(process)
    }

    fn config(&self, addr: SocketAddrV4, workload: Workload) -> String {
        let channel = match workload {
            Workload::Fanout => "room",
            // A number that no other connection has.
            Workload::Echo => "$connection",
        };
        let module = self.module.display();
        // One worker may get all of them.
        let connections_max = self.connections_max + CONNECTIONS_SPARE;
        format!(
            "load_module {module};
daemon off;
worker_processes {WORKERS};
pid nginx.pid;
error_log stderr;
events {{ worker_connections {connections_max}; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    nchan_shared_memory_size {SHARED_MEBIBYTES}M;
    server {{
        listen {addr} reuseport backlog=4096;
        location = /socket/websocket {{
            nchan_pubsub websocket;
            nchan_channel_id {channel};
            nchan_subscriber_first_message newest;
            nchan_message_buffer_length 0;
        }}
    }}
}}
"
        )
    }
}

/// As many as the other servers have threads.
const WORKERS: usize = 2;
/// What else takes a place among a worker's connections: its listener and its channels to others.
const CONNECTIONS_SPARE: usize = 64;
/// For channels and messages. A message stays there for a while after it was delivered, and where it
/// finds no room its publisher is cut off.
const SHARED_MEBIBYTES: usize = 1024;
const TRIES: u32 = 3;
const START_TIMEOUT: Duration = Duration::from_secs(10);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
