//! Every command of the guide in docs/load.md, run as it stands there but for its size: fewer connections and less
//! time, a server and agents of the test instead of those that the page names.

#[path = "../support/mod.rs"]
mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::support::{
    binary::{fourtuple, output_of},
    relay::Relay,
};

/// A fenced block of the page.
struct Block {
    /// What stands behind the fence.
    info: String,
    text: String,
}

/// The blocks of the guide, in their order.
fn blocks() -> Vec<Block> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/load.md");
    let page = fs::read_to_string(page).expect("docs/load.md");
    let guide = page.split_once("\n## Guide\n").expect("a guide").1;
    let guide = guide.split("\n## ").next().expect("its text");
    let parts: Vec<_> = guide.split("```").collect();
    // What is between fences stands at the odd places.
    let blocks = parts.iter().skip(1).step_by(2).map(|part| {
        let (info, text) = part.split_once('\n').expect("a line for the fence");
        Block {
            info: info.to_owned(),
            text: text.to_owned(),
        }
    });
    blocks.collect()
}

/// The commands of a block, with the lines that a backslash continues.
fn commands(block: &Block) -> Vec<String> {
    let joined = block.text.replace("\\\n", " ");
    joined.lines().map(str::to_owned).collect()
}

/// A run of the guide: where its files are, and whom its commands meet.
struct Reader {
    folder: PathBuf,
    relay: Relay,
    agents: Vec<Agent>,
}

/// An agent that ends with the test.
struct Agent {
    child: Child,
    address: SocketAddr,
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It has ended already, or is killed and reaped.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Reader {
    fn new() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guide");
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).expect("a folder");
        Self {
            folder,
            relay: Relay::start_with_admin(&["--shards", "2"]),
            agents: Vec::new(),
        }
    }

    /// Keeps a file as the page shows it, with shorter phases.
    fn keep(&self, name: &str, text: &str) {
        let text = text
            .replace("ws://127.0.0.1:4000/socket", &self.relay.url())
            .replace("duration: 30,", "duration: 1,")
            .replace("duration: 2m,", "duration: 1,")
            .replace("think: 2\n", "think: 20ms\n");
        assert!(!text.contains(":4000"), "{text}");
        fs::write(self.folder.join(name), text).expect("a file");
    }

    /// Does what a line of the page says.
    fn enter(&mut self, line: &str) {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["openssl", "rand", "-hex", "32", ">", file] => {
                fs::write(self.folder.join(file), "0123456789abcdef".repeat(4)).expect("a file");
            }
            ["fourtuple", "load", "agent", flags @ ..] => self.wait_as_agent(flags),
            ["fourtuple", words @ ..] => self.run(line, words),
            _ => panic!("`{line}` is no command that a test can enter"),
        }
    }

    /// Starts as many agents as the page has machines.
    fn wait_as_agent(&mut self, flags: &[&str]) {
        for number in 0..5 {
            let sources = format!("127.0.{}.2-127.0.{}.3", 70 + number, 70 + number);
            let mut command = fourtuple();
            command.args(["load", "agent"]).current_dir(&self.folder);
            for (flag, value) in pairs(flags) {
                let value = match (flag, value) {
                    ("--listen", Some("0.0.0.0:7070")) => Some("127.0.0.1:0"),
                    ("--sources", Some(_)) => Some(&*sources),
                    (_, value) => value,
                };
                command.arg(flag).args(value);
            }
            self.agents.push(Agent::start(&mut command));
        }
    }

    fn run(&self, line: &str, words: &[&str]) {
        let agents: Vec<_> = self
            .agents
            .iter()
            .map(|it| it.address.to_string())
            .collect();
        let agents = agents.join(",");
        let admin = self.relay.admin().to_string();
        let mut command = fourtuple();
        command.current_dir(&self.folder);
        for (word, value) in pairs(words) {
            let word = word
                .replace("ws://127.0.0.1:4000/socket", &self.relay.url())
                .replace("ws://server:4000/socket", &self.relay.url());
            assert!(!word.contains(":4000"), "{line}");
            let value = value.map(|value| match (&*word, value) {
                ("--agents", "a,b,c,d,e") => agents.clone(),
                ("--watch", url) => url.replace("127.0.0.1:4001", &admin),
                // What is only computed is computed as it stands there.
                ("--connections", value) if words[0] == "load" => smaller(value, 200),
                ("--topics", value) => smaller(value, 20),
                ("--rate", value) => smaller(value, 500),
                ("--hold", _) => "1s".to_owned(),
                ("--publish", _) => "5/s".to_owned(),
                (_, value) => value.to_owned(),
            });
            command.arg(word).args(value);
        }
        let output = output_of(&mut command);
        // Doctor may find something in the way here, and noise may be taken for a change.
        let may_say_no = ["doctor", "plan", "compare"];
        let may_say_no = words.iter().any(|word| may_say_no.contains(word));
        let status = output.status.code();
        assert!(
            status == Some(0) || (may_say_no && status == Some(1)),
            "{line}: {status:?}\n{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
    }
}

impl Agent {
    fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = child.spawn().expect("the binary starts");
        let stdout = child.stdout.take().expect("it is piped");
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        read.expect("it says where it listens");
        let address = line.trim().strip_prefix("listening on ");
        let address = address.unwrap_or_else(|| panic!("an agent says: {line}"));
        let address = address.parse().expect("an address");
        Self { child, address }
    }
}

/// Words with the value of each flag, if it has one.
fn pairs<'a>(words: &[&'a str]) -> Vec<(&'a str, Option<&'a str>)> {
    let mut pairs: Vec<(&str, Option<&str>)> = Vec::new();
    for word in words {
        match pairs.last_mut() {
            Some((flag, value @ None)) if flag.starts_with("--") && !word.starts_with("--") => {
                *value = Some(word);
            }
            _ => pairs.push((word, None)),
        }
    }
    pairs
}

/// A number of the page, or what a test has time for.
fn smaller(value: &str, most: u64) -> String {
    let value: u64 = value.parse().expect("a number");
    value.min(most).to_string()
}

#[test]
fn every_command_of_the_guide_works() {
    let mut reader = Reader::new();
    let (mut commands_count, mut files_count) = (0, 0);
    for block in blocks() {
        match block.info.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["yaml", name] => {
                reader.keep(name, &block.text);
                files_count += 1;
            }
            ["sh"] => {
                for line in commands(&block) {
                    reader.enter(&line);
                    commands_count += 1;
                }
            }
            info => panic!("a block of the guide says {info:?}: expected sh, or yaml and a name"),
        }
    }
    assert!(commands_count >= 10, "{commands_count}");
    assert_eq!(files_count, 1);
    for left in [
        "rooms.html",
        "shoppers.html",
        "load.xml",
        "two-million.html",
    ] {
        let file = reader.folder.join(left);
        let bytes = fs::metadata(file).expect(left).len();
        assert!(bytes > 500, "{left} has {bytes} bytes");
    }
}
