//! The bench.
#![forbid(unsafe_code)]
mod client;
mod floor;
mod launch;
mod measure;
mod peer;
mod round;
mod session;

use clap::Parser as _;

#[derive(clap::Parser)]
enum Cli {
    Leash {
        program: std::path::PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
    Server {
        kind: launch::Kind,
        topic: String,
    },
    Run {
        connections: usize,
        rounds: usize,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse() {
        Cli::Leash { program, arguments } => launch::leash(&program, &arguments),
        Cli::Server { kind, topic } => {
            let w = if topic.starts_with("room") {
                session::Workload::Fanout
            } else {
                session::Workload::Echo
            };
            match kind {
                launch::Kind::Floor => floor::serve(w),
                launch::Kind::Tungstenite => peer::serve(w),
            }
        }
        Cli::Run {
            connections,
            rounds,
        } => {
            let plan = round::Plan {
                connections,
                broadcasts: 20,
                echo_connections: 256.min(connections),
                echo_stretch: std::time::Duration::from_secs(3),
            };
            for _ in 0..rounds {
                for kind in [launch::Kind::Floor, launch::Kind::Tungstenite] {
                    let t = std::time::Instant::now();
                    println!(
                        "{} {:.1?} in {:?}",
                        kind.name(),
                        round::run(kind, &plan)?,
                        t.elapsed()
                    );
                }
            }
            Ok(())
        }
    }
}
