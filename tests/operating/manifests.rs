//! What `deploy/` tells Kubernetes, systemd and Docker, held against the real binary: its flags, its settings,
//! its ports and the paths that it answers.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use fourtuple::config::{AdminListen, settings};
use serde_json::Value;

use crate::{
    http::server,
    support::binary::{fourtuple, output_of},
    yaml::documents,
};

const MANIFEST: &str = "deploy/kubernetes/fourtuple.yaml";
const UNIT: &str = "deploy/systemd/fourtuple.service";
const IMAGE: &str = "deploy/docker/Dockerfile";
/// Where the unit, the image and the manifest have the configuration.
const CONFIG: &str = "/etc/fourtuple/fourtuple.toml";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn written(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A file of these tests.
pub(crate) fn kept(name: &str, text: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("deployed");
    fs::create_dir_all(&folder).expect("a folder of these tests");
    let path = folder.join(name);
    fs::write(&path, text).expect("a file of this test");
    path
}

/// Every file below a folder of `deploy/`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path());
    let deeper = |path: PathBuf| {
        if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    };
    entries.flat_map(deeper).collect()
}

fn is_yaml(path: &Path) -> bool {
    path.extension()
        .is_some_and(|end| end == "yml" || end == "yaml")
}

#[track_caller]
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

#[track_caller]
pub(crate) fn texts(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .unwrap_or_else(|| panic!("no list: {value}"))
        .iter()
        .map(text)
        .collect()
}

/// The objects of the manifest of one kind, of which there is one.
#[track_caller]
fn object(kind: &str) -> Value {
    let mut all = documents(&written(MANIFEST))
        .into_iter()
        .filter(|it| it["kind"] == kind);
    let one = all.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(all.next().is_none(), "one {kind}");
    one
}

/// The pod's only container.
fn container() -> Value {
    let containers = &object("Deployment")["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers.as_array().map(Vec::len), Some(1));
    containers[0].clone()
}

/// Runs the binary with arguments as they are deployed, but with a configuration of this test, and has it print
/// what they come to: so they are accepted, and nothing is started.
#[track_caller]
fn settled(arguments: &[&str], config: &Path) -> toml::Table {
    let arguments = arguments.iter().map(|argument| match *argument {
        CONFIG => config.to_str().expect("UTF-8"),
        other => other,
    });
    let mut command = fourtuple();
    // What is deployed decides, not what tests decide.
    command.env_remove("FOURTUPLE_ADMIN_LISTEN");
    let output = output_of(command.args(arguments).arg("--print-config"));
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    printed
        .parse()
        .unwrap_or_else(|error| panic!("{error}\n{printed}"))
}

/// The port of the WebSockets and where the admin side is, as the binary decides it by itself.
fn defaults() -> (u64, toml::Value) {
    let table = settled(&["serve"], Path::new(""));
    let listen: SocketAddr = table["listen"]
        .as_str()
        .expect("a text")
        .parse()
        .expect("an address");
    (listen.port().into(), table["admin"]["listen"].clone())
}

#[test]
fn every_document_can_be_read() {
    let all = files(&root().join("deploy"));
    let yaml: Vec<_> = all.iter().filter(|path| is_yaml(path)).collect();
    assert!(yaml.len() >= 4, "{yaml:?}");
    for path in yaml {
        let text = fs::read_to_string(path).expect("UTF-8");
        let documents = documents(&text);
        assert!(!documents.is_empty(), "{path:?}");
        assert!(
            documents.iter().all(Value::is_object),
            "{path:?}: {documents:?}"
        );
    }
}

#[test]
fn objects_are_of_known_kinds_and_find_each_other() {
    let all = documents(&written(MANIFEST));
    let kinds: Vec<_> = all
        .iter()
        .map(|it| (text(&it["apiVersion"]), text(&it["kind"])))
        .collect();
    assert_eq!(
        kinds,
        [
            ("v1", "Service"),
            ("v1", "ConfigMap"),
            ("apps/v1", "Deployment")
        ]
    );
    for object in &all {
        assert_eq!(object["metadata"]["name"], "fourtuple", "{object}");
    }
    let (service, deployment) = (object("Service"), object("Deployment"));
    let pod = &deployment["spec"]["template"];
    assert_eq!(service["spec"]["selector"], pod["metadata"]["labels"]);
    assert_eq!(
        deployment["spec"]["selector"]["matchLabels"],
        pod["metadata"]["labels"]
    );
    let container = container();
    let mounts = container["volumeMounts"].as_array().expect("mounts");
    let volumes = pod["spec"]["volumes"].as_array().expect("volumes");
    for mount in mounts {
        let volume = volumes
            .iter()
            .find(|volume| volume["name"] == mount["name"]);
        let map = &volume.unwrap_or_else(|| panic!("{mount}"))["configMap"]["name"];
        assert_eq!(*map, object("ConfigMap")["metadata"]["name"]);
    }
    // What the arguments name is where the map is mounted.
    let (folder, file) = CONFIG.rsplit_once('/').expect("a path");
    assert!(
        mounts.iter().any(|mount| mount["mountPath"] == folder),
        "{mounts:?}"
    );
    assert!(object("ConfigMap")["data"][file].is_string());
}

#[test]
fn a_pod_is_started_and_reached_as_the_binary_is() {
    let map = object("ConfigMap");
    let config = kept("pod.toml", text(&map["data"]["fourtuple.toml"]));
    let container = container();
    let arguments = texts(&container["args"]);
    let table = settled(&arguments, &config);
    let listen: SocketAddr = table["listen"]
        .as_str()
        .expect("a text")
        .parse()
        .expect("an address");
    let (port, admin) = defaults();
    assert_eq!(u64::from(listen.port()), port);
    assert_eq!(
        table["admin"]["listen"], admin,
        "probes ask where it is by default"
    );
    let ports = container["ports"].as_array().expect("ports");
    assert_eq!(ports.len(), 1);
    assert_eq!(ports[0]["containerPort"].as_u64(), Some(port));
    let service = object("Service")["spec"]["ports"][0].clone();
    assert_eq!(
        (&service["port"], &service["targetPort"]),
        (&port.into(), &ports[0]["name"])
    );
    // Whatever is said by the environment is a setting.
    let variables: Vec<_> = settings()
        .iter()
        .map(|setting| setting.variable())
        .collect();
    for variable in container["env"].as_array().into_iter().flatten() {
        let name = text(&variable["name"]).to_owned();
        assert!(variables.contains(&name), "{name} is no setting");
    }
    // The wait of preStop, then the drain, and a moment to end.
    let seconds = |value: &toml::Value| {
        let text = value
            .as_str()
            .expect("a text")
            .strip_suffix('s')
            .expect("seconds");
        text.parse::<u64>().expect("a number")
    };
    let wait: u64 = texts(&container["lifecycle"]["preStop"]["exec"]["command"])[1]
        .parse()
        .expect("seconds");
    let grace =
        object("Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64();
    assert!(
        grace > Some(wait + seconds(&table["drain"]["timeout"])),
        "{grace:?}"
    );
}

/// A probe's command, asking a server at another port than the usual one.
fn probe(command: &[&str], admin: SocketAddr) -> bool {
    let usual = format!("/{}", AdminListen::USUAL.port());
    let at = format!("{}{usual}", AdminListen::USUAL.ip());
    assert!(
        command.iter().any(|word| word.contains(&at)),
        "{command:?} does not ask at {at}"
    );
    let words = command
        .iter()
        .map(|word| word.replace(&at, &format!("{}/{}", admin.ip(), admin.port())));
    let words: Vec<_> = words.collect();
    let output = output_of(Command::new(&words[0]).args(&words[1..]));
    output.status.success()
}

#[test]
fn probes_ask_what_the_server_answers() {
    let container = container();
    let of_pod = ["startupProbe", "livenessProbe", "readinessProbe"];
    let mut probes: Vec<_> = of_pod
        .map(|name| texts(&container[name]["exec"]["command"]))
        .into();
    let image = instructions();
    let health = image
        .iter()
        .find(|(name, _)| name == "HEALTHCHECK")
        .expect("a health check");
    let (_, command) = health.1.split_once(" CMD ").expect("a command");
    let command: Value = serde_json::from_str(command).expect("a list");
    probes.push(texts(&command));
    for (command, path) in probes.iter().zip(["live", "live", "ready", "ready"]) {
        let asked = format!("GET /health/{path} HTTP/1.0");
        assert!(
            command.iter().any(|word| word.contains(&asked)),
            "{command:?}"
        );
    }
    let (relay, admin) = server(&["--max-connections", "1", "--shards", "1"]);
    assert!(probes.iter().all(|command| probe(command, admin)));
    let _full = crate::support::wire::Wire::open(relay.addr());
    let answers = probes.iter().map(|command| probe(command, admin));
    assert_eq!(
        answers.collect::<Vec<_>>(),
        [true, true, false, false],
        "it is full and lives"
    );
    drop(relay);
    assert!(!probes.iter().any(|command| probe(command, admin)));
}

#[test]
fn a_unit_starts_the_binary_with_as_many_descriptors_as_are_planned() {
    let unit = written(UNIT);
    let value = |key: &str| {
        let found = unit
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {key}"))
    };
    let start: Vec<_> = value("ExecStart").split_whitespace().collect();
    // docs/operating.md installs the binary and the example there.
    assert_eq!(start[0], "/usr/local/bin/fourtuple");
    let example = root().join("examples/fourtuple.toml");
    assert!(start.contains(&CONFIG), "{start:?}");
    settled(&start[1..], &example);
    assert_eq!(value("ConfigurationDirectory"), "fourtuple", "{CONFIG}");
    let plan = output_of(fourtuple().args(["plan", "--json", "--connections", "1000000"]));
    let plan: Value = serde_json::from_slice(&plan.stdout).expect("JSON");
    let planned = plan["files"]["server_one_process_count"]
        .as_u64()
        .expect("a number");
    // To the next power of two, which is what fs.nr_open is where nobody has set it.
    assert_eq!(
        value("LimitNOFILE"),
        planned.next_power_of_two().to_string()
    );
    let guide = written("docs/operating.md");
    let nofile = format!("nofile={0}:{0}", value("LimitNOFILE"));
    assert!(
        guide.contains(&nofile) && written(IMAGE).contains(&nofile),
        "{nofile}"
    );
}

/// The instructions of the Dockerfile, those that are continued put together.
fn instructions() -> Vec<(String, String)> {
    let text = written(IMAGE).replace("\\\n", " ");
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let split = |line: &str| {
        let (name, rest) = line.split_once(' ').expect("an instruction");
        (name.to_owned(), rest.to_owned())
    };
    lines.map(split).collect()
}

fn instruction(name: &str) -> Vec<String> {
    let all = instructions().into_iter();
    all.filter(|(own, _)| own == name)
        .map(|(_, rest)| rest)
        .collect()
}

/// What cargo says of the workspace as its lock file has it.
fn metadata() -> Value {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args([
            "metadata",
            "--locked",
            "--offline",
            "--no-deps",
            "--format-version",
            "1",
        ])
        .current_dir(root());
    let output = output_of(&mut cargo);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn an_image_is_built_from_what_there_is() {
    let build = instruction("RUN")
        .into_iter()
        .find(|run| run.starts_with("cargo "))
        .expect("cargo");
    let words: Vec<_> = build.split_whitespace().collect();
    let (["cargo", "build"], flags) = words.split_at(2) else {
        panic!("{build}")
    };
    // Without what it asks for, cargo says at once which flag it does not know.
    let unknown = output_of(
        Command::new(env!("CARGO"))
            .arg("build")
            .args(flags)
            .arg("--help"),
    );
    assert!(unknown.status.success(), "{unknown:?}");
    let known = ["--release", "--locked", "--bin"];
    assert!(
        flags
            .iter()
            .all(|flag| !flag.starts_with('-') || known.contains(flag)),
        "{build}"
    );
    let bin = flags
        .iter()
        .skip_while(|flag| **flag != "--bin")
        .nth(1)
        .expect("a name");
    let metadata = metadata();
    let members = texts(&metadata["workspace_default_members"]);
    let packages = metadata["packages"].as_array().expect("packages").iter();
    let built = packages.filter(|package| members.contains(&text(&package["id"])));
    let targets = built.flat_map(|package| package["targets"].as_array().expect("targets"));
    let is_bin = |target: &&Value| target["name"] == **bin && target["kind"][0] == "bin";
    assert_eq!(targets.filter(is_bin).count(), 1, "{bin}");

    let copies = instruction("COPY");
    let [all, binary] = &copies[..] else {
        panic!("{copies:?}")
    };
    assert_eq!(all, ". .");
    let [from, source, target] = binary.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{binary}")
    };
    let stages = instruction("FROM");
    assert_eq!(from.strip_prefix("--from="), stages[0].rsplit(' ').next());
    let workdir = &instruction("WORKDIR")[0];
    assert_eq!(source, format!("{workdir}/target/release/{bin}"));
    assert_eq!(target, format!("/usr/local/bin/{bin}"));
    // Nothing that cargo needs stays outside of the build.
    let ignored = written("deploy/docker/Dockerfile.dockerignore");
    for needed in [
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "crates",
        "bench",
        "rust-toolchain.toml",
    ] {
        assert!(
            !ignored.lines().any(|line| line.trim_matches('/') == needed),
            "{needed}"
        );
    }
    let rust = metadata["packages"][0]["rust_version"]
        .as_str()
        .expect("a version");
    let image = stages[0].split([':', '-']).nth(1).expect("a version");
    assert_eq!(image, rust, "{}", stages[0]);
}

#[test]
fn an_image_runs_as_the_binary_does() {
    let list = |name: &str| -> Vec<String> {
        serde_json::from_str(&instruction(name)[0]).expect("a list, not a shell's line")
    };
    let (entry, arguments) = (list("ENTRYPOINT"), list("CMD"));
    assert_eq!(entry, ["fourtuple"]);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    settled(&arguments, Path::new(""));
    let (port, _) = defaults();
    assert_eq!(instruction("EXPOSE"), [port.to_string()]);
    assert_eq!(instruction("STOPSIGNAL"), ["SIGTERM"]);
    let pod = &object("Deployment")["spec"]["template"]["spec"]["securityContext"];
    let user = format!("{}:{}", pod["runAsUser"], pod["runAsGroup"]);
    assert_eq!(instruction("USER"), [user]);
    assert_eq!(pod["runAsNonRoot"], true);
}
