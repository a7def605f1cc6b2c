//! What the runtime of a program bounds, told from files that real programs had.

use fourtuple_capacity::process::{
    Known, Process, Runtime, RuntimeLimit, Unknown,
    runtime::{Source, nginx::Role},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::tree::Tree;

fn limits(process: &Process) -> Vec<RuntimeLimit> {
    let sockets = process.sockets().ok();
    let limits = Runtime::detect(process).limits(process, sockets.as_ref());
    for limit in &limits {
        for words in [&limit.name, &limit.source, &limit.meaning, &limit.remedy] {
            assert!(!words.is_empty() && !words.contains("  "), "{limit:?}");
            assert!(!words.ends_with('.'), "a clause: {words}");
        }
    }
    limits
}

fn limit(process: &Process, name: &str) -> RuntimeLimit {
    let all = limits(process);
    let names: Vec<_> = all.iter().map(|limit| limit.name.clone()).collect();
    let found = all.into_iter().find(|limit| limit.name == name);
    found.unwrap_or_else(|| panic!("{name} is not among {names:?}"))
}

fn value(process: &Process, name: &str) -> Known<u64> {
    limit(process, name).value
}

const NOFILE: &str = "Max open files            20000                20000                files\n";

/// A tree with one real process, number 60, which has a pipe and 60 sockets.
fn observed(name: &str) -> Tree {
    let tree = Tree::new();
    tree.observed(name, 60)
        .sockets(60, 60)
        .link("proc/60/fd/60", "pipe:[1]");
    tree
}

const PORTS: &str = "+Q (ports)";

#[test]
fn an_erlang_vm_that_was_told_its_ports_explains_the_gauge() {
    let tree = observed("beam_flag");
    let process = tree.read(60);
    assert_eq!(Runtime::detect(&process).name(), Some("Erlang VM"));
    let ports = limit(&process, PORTS);
    assert_eq!((ports.value, ports.used), (Ok(1_024), Some(60)));
    assert_eq!(ports.source, "its arguments");
    for said in [
        "Phoenix LiveDashboard",
        "nothing to do with TCP port numbers",
        "This VM has 1,024 handles (about 60 in use, by the number of its sockets)",
        "They run out before its descriptors, of which it may open 20,000",
    ] {
        assert!(ports.meaning.contains(said), "{said}: {}", ports.meaning);
    }
    assert!(
        ports.remedy.contains("ERL_FLAGS=\"+Q N\""),
        "{}",
        ports.remedy
    );
    let descriptors = limit(&process, "RLIMIT_NOFILE");
    assert_eq!(
        (descriptors.value, descriptors.used),
        (Ok(20_000), Some(61))
    );
    assert_eq!(value(&process, "+P (processes)"), Ok(262_144));
}

#[test]
fn an_erlang_vm_that_was_told_nothing_has_65536() {
    let tree = observed("beam_default");
    let process = tree.read(60);
    let ports = limit(&process, PORTS);
    assert_eq!(ports.value, Ok(65_536));
    assert!(
        ports.source.starts_with("default: 65,536"),
        "{}",
        ports.source
    );
    let said = "Its descriptors run out before them: it may open 1,024";
    assert!(ports.meaning.contains(said), "{}", ports.meaning);
}

#[test]
fn an_erlang_vm_says_who_told_it_last() {
    for (name, ports, source) in [
        ("beam_variables", 2_048, "ERL_FLAGS in its environment"),
        ("beam_max_ports", 8_192, "ERL_MAX_PORTS in its environment"),
        ("beam_release", 8_192, "its arguments"),
    ] {
        let tree = observed(name);
        let limit = limit(&tree.read(60), PORTS);
        assert_eq!((limit.value, &*limit.source), (Ok(ports), source), "{name}");
    }
    let tree = observed("beam_variables");
    let processes = limit(&tree.read(60), "+P (processes)");
    assert_eq!(processes.value, Ok(524_288));
    let tree = observed("beam_release");
    let remedy = limit(&tree.read(60), PORTS).remedy;
    let file = "vm.args (/srv/shop/releases/1.0/vm.args)";
    assert!(remedy.contains(file), "{remedy}");
}

#[test]
fn a_table_that_costs_memory_says_how_much() {
    let tree = observed("beam_default");
    let limits = "Max open files            1073741816           1073741816           files\n";
    tree.file("proc/60/limits", limits);
    let ports = limit(&tree.read(60), PORTS);
    assert_eq!(ports.value, Ok(134_217_727));
    let said = "The table takes 1,535 MB, used or not";
    assert!(ports.meaning.contains(said), "{}", ports.meaning);
}

#[test]
fn node_is_told_by_its_environment() {
    let tree = observed("node");
    let process = tree.read(60);
    assert_eq!(Runtime::detect(&process).name(), Some("Node.js"));
    assert_eq!(value(&process, "UV_THREADPOOL_SIZE"), Ok(64));
    let heap = limit(&process, "--max-old-space-size");
    assert_eq!(heap.value, Ok(512 << 20));
    assert_eq!(heap.source, "NODE_OPTIONS in its environment");
    assert_eq!(value(&process, "event loop"), Ok(1));
    // Started with a soft limit of 1,024, which it has raised.
    assert_eq!(value(&process, "RLIMIT_NOFILE"), Ok(20_000));
}

#[test]
fn java_is_told_by_arguments_before_variables() {
    let tree = observed("java");
    let process = tree.read(60);
    assert_eq!(Runtime::detect(&process).name(), Some("Java VM"));
    let heap = limit(&process, "-Xmx (heap)");
    assert_eq!(
        (heap.value, &*heap.source),
        (Ok(256 << 20), "its arguments")
    );
    assert_eq!(value(&process, "-XX:MaxDirectMemorySize"), Ok(256 << 20));
    let threads = limit(&process, "threads");
    assert_eq!((threads.value, threads.used), (Ok(96_365), Some(21)));
    assert!(threads.meaning.contains("512 KB"), "{}", threads.meaning);
    // Started with a soft limit of 1,024, which it has raised.
    let descriptors = limit(&process, "RLIMIT_NOFILE");
    assert_eq!(descriptors.value, Ok(20_000));
    assert!(descriptors.meaning.contains("has raised"));
    let tree = observed("java_soft_limit");
    let descriptors = limit(&tree.read(60), "RLIMIT_NOFILE");
    assert_eq!(descriptors.value, Ok(1_024));
    assert!(descriptors.meaning.contains("-XX:-MaxFDLimit"));
}

#[test]
fn threads_of_java_are_bounded_by_the_control_group() {
    let tree = observed("java");
    tree.file("proc/60/cgroup", "0::/pod\n")
        .file("sys/fs/cgroup/pod/pids.max", "100\n")
        .file("sys/fs/cgroup/pod/pids.current", "30\n");
    let threads = limit(&tree.read(60), "threads");
    // 21 of its own and the 70 that are left.
    assert_eq!(threads.value, Ok(91));
    assert_eq!(threads.source, "pids.max of its control group");
}

#[test]
fn python_and_go_are_told_by_their_names() {
    let tree = Tree::new();
    tree.link("proc/61/exe", "/usr/bin/python3.11")
        .file(
            "proc/61/cmdline",
            "/usr/bin/python3\0/usr/bin/uvicorn\0app:app\0--limit-concurrency\x00900\0",
        )
        .file("proc/61/limits", NOFILE)
        .link("proc/62/exe", "/usr/bin/caddy")
        .file("proc/62/limits", NOFILE);
    let python = tree.read(61);
    assert_eq!(value(&python, "--limit-concurrency"), Ok(900));
    assert_eq!(value(&python, "--backlog"), Ok(2_048));
    let go = tree.read(62);
    assert_eq!(Runtime::detect(&go), Runtime::Go);
    assert_eq!(value(&go, "RLIMIT_NOFILE"), Ok(20_000));
}

/// A master of nginx with two workers and one that a reload sends home.
fn nginx() -> Tree {
    let tree = Tree::new();
    tree.link("proc/20/exe", "/usr/sbin/nginx")
        .file(
            "proc/20/cmdline",
            "nginx: master process /usr/sbin/nginx -g daemon off; -c /srv/nginx.conf\0",
        )
        .file("proc/20/status", "Name:\tnginx\nPPid:\t1\n")
        .file("proc/20/task/20/children", "21 22 23 24 ")
        .file(
            "proc/23/cmdline",
            "nginx: worker process is shutting down\0",
        )
        .file("proc/24/cmdline", "nginx: cache manager process\0")
        .file("proc/20/limits", NOFILE);
    for worker in [21, 22] {
        tree.link(&format!("proc/{worker}/exe"), "/usr/sbin/nginx")
            .file(
                &format!("proc/{worker}/cmdline"),
                "nginx: worker process\0\0\0",
            )
            .file(
                &format!("proc/{worker}/status"),
                "Name:\tnginx\nPPid:\t20\n",
            )
            .file(&format!("proc/{worker}/limits"), NOFILE)
            .link(&format!("proc/{worker}/fd/4"), "socket:[4]")
            .link(&format!("proc/{worker}/fd/5"), "anon_inode:[eventpoll]")
            .link(&format!("proc/{worker}/fd/9"), "socket:[9]");
    }
    tree.file(
        "srv/nginx.conf",
        "worker_processes auto;\ninclude limits/*.conf;\nhttp { server { } }\n",
    )
    .file("srv/limits/10-files.conf", "worker_rlimit_nofile 30000;\n")
    .file(
        "srv/limits/20-events.conf",
        "events { worker_connections 4096; }\n",
    )
    .file(
        "srv/limits/30-events.conf.old",
        "events { worker_connections 1; }\n",
    );
    tree
}

#[test]
fn a_worker_of_nginx_has_what_its_master_was_told() {
    let tree = nginx();
    let worker = tree.read(21);
    let Runtime::Nginx(nginx) = Runtime::detect(&worker) else {
        panic!("{:?}", worker.exe);
    };
    assert_eq!(nginx.role, Role::Worker);
    assert_eq!(nginx.path.as_deref(), Ok("/srv/nginx.conf"));
    assert_eq!(nginx.workers_count, Ok(2));
    let connections = limit(&worker, "worker_connections");
    assert_eq!(connections.value, Ok(4_096));
    assert_eq!(connections.used, Some(2));
    assert_eq!(connections.source, "/srv/nginx.conf, as it is now");
    let all = limit(&worker, "worker_processes x worker_connections");
    assert_eq!(all.value, Ok(2 * 4_096));
    assert_eq!(all.source, "2 workers that run now");
    assert!(
        all.meaning.ends_with("takes two: 4,096 at most"),
        "{}",
        all.meaning
    );
    let descriptors = limit(&worker, "RLIMIT_NOFILE");
    assert_eq!((descriptors.value, descriptors.used), (Ok(20_000), Some(3)));
    assert!(
        descriptors.meaning.contains("sets it to 30,000"),
        "{}",
        descriptors.meaning
    );
}

#[test]
fn a_master_of_nginx_serves_nobody() {
    let tree = nginx();
    let master = tree.read(20);
    assert_eq!(limit(&master, "worker_connections").used, None);
    let descriptors = limit(&master, "RLIMIT_NOFILE");
    assert!(
        descriptors.meaning.contains("look at a worker"),
        "{}",
        descriptors.meaning
    );
}

#[test]
fn nginx_without_a_file_that_can_be_read_says_so() {
    let tree = nginx();
    std::fs::remove_file(tree.root().join("srv/nginx.conf")).unwrap();
    let worker = tree.read(21);
    let why = value(&worker, "worker_connections").unwrap_err();
    assert_eq!(why, Unknown::Absent("/srv/nginx.conf".to_owned()));
    // A pipe would keep a reader waiting; it is not a configuration.
    let path = tree.root().join("srv/nginx.conf");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
    let why = value(&worker, "worker_connections").unwrap_err();
    assert!(matches!(why, Unknown::Odd { .. }), "{why}");
    let descriptors = limit(&worker, "RLIMIT_NOFILE").meaning;
    assert!(descriptors.contains("is not known"), "{descriptors}");
}

#[test]
fn a_container_has_files_of_its_own() {
    let tree = nginx();
    // What the process sees as / is a directory of the host; an absolute link stays in there.
    for pid in [20, 21] {
        tree.link(&format!("proc/{pid}/root"), "../../container");
    }
    tree.link("container/srv/nginx.conf", "/etc/real.conf")
        .file(
            "container/etc/real.conf",
            "events { worker_connections 77; }\n",
        )
        .file("etc/real.conf", "events { worker_connections 1; }\n");
    assert_eq!(value(&tree.read(21), "worker_connections"), Ok(77));
    // With the mounts that we have it has left our root for that directory, after it read its file.
    tree.link("proc/21/ns/mnt", "mnt:[1]")
        .link("proc/self/ns/mnt", "mnt:[1]");
    assert_eq!(value(&tree.read(21), "worker_connections"), Ok(4_096));
}

#[test]
fn a_container_that_is_closed_is_not_taken_for_the_host() {
    let tree = nginx();
    tree.file("proc/21/status", "Name:\tnginx\nPPid:\t20\nNSpid:\t21\t2\n");
    let why = value(&tree.read(21), "worker_connections").unwrap_err();
    assert_eq!(why, Unknown::Absent("/proc/21/root".to_owned()));
}

fn haproxy(configuration: &str) -> Tree {
    let tree = Tree::new();
    tree.link("proc/30/exe", "/usr/sbin/haproxy")
        .link("proc/30/cwd", "/etc")
        .file(
            "proc/30/cmdline",
            "/usr/sbin/haproxy\0-Ws\0-f\0haproxy/main.cfg\0",
        )
        .file("proc/30/status", "Name:\thaproxy\nPPid:\t1\n")
        .file("proc/30/limits", NOFILE)
        .file("etc/haproxy/main.cfg", configuration);
    for descriptor in 5..15 {
        tree.link(&format!("proc/30/fd/{descriptor}"), "socket:[1]");
    }
    tree
}

#[test]
fn haproxy_has_a_limit_for_the_process_and_for_each_way_in() {
    let tree = haproxy(
        "global\n maxconn 8000\ndefaults\n maxconn 100\nfrontend a\nlisten b\n maxconn 9\n",
    );
    let process = tree.read(30);
    let global = limit(&process, "global maxconn");
    assert_eq!((global.value, global.used), (Ok(8_000), Some(5)));
    assert_eq!(global.source, "/etc/haproxy/main.cfg, as it is now");
    assert_eq!(value(&process, "maxconn of frontend a"), Ok(100));
    assert_eq!(value(&process, "maxconn of listen b"), Ok(9));
}

#[test]
fn haproxy_that_was_not_told_takes_half_of_its_descriptors() {
    let tree = haproxy("frontend a\n bind :80\n");
    let process = tree.read(30);
    let global = limit(&process, "global maxconn");
    assert_eq!(global.value, Ok(10_000));
    assert!(global.source.starts_with("default"), "{}", global.source);
    let frontend = limit(&process, "maxconn of frontend a");
    assert_eq!(frontend.value, Ok(10_000));
    assert_eq!(frontend.source, "default: that of the process");
}

#[test]
fn haproxy_takes_a_directory_of_files() {
    let tree = haproxy("");
    tree.file(
        "proc/30/cmdline",
        "haproxy\0-f\0/etc/haproxy/conf.d/\0-n\x00500\0",
    )
    .file(
        "etc/haproxy/conf.d/10-defaults.cfg",
        "defaults\n maxconn 7\n",
    )
    .file("etc/haproxy/conf.d/20-www.cfg", "frontend www\n")
    .file("etc/haproxy/conf.d/30-old.cfg.bak", "frontend old\n");
    let process = tree.read(30);
    let Runtime::Haproxy(haproxy) = Runtime::detect(&process) else {
        panic!("{:?}", process.exe);
    };
    let folder = "/etc/haproxy/conf.d";
    assert_eq!(
        haproxy.files,
        [
            format!("{folder}/10-defaults.cfg"),
            format!("{folder}/20-www.cfg")
        ]
    );
    assert_eq!(value(&process, "maxconn of frontend www"), Ok(7));
    let global = limit(&process, "global maxconn");
    assert_eq!(
        (global.value, global.source),
        (Ok(500), Source::Arguments.to_string())
    );
}

#[test]
fn our_own_server_is_told_by_its_name() {
    let tree = Tree::new();
    tree.link("proc/40/exe", "/usr/local/bin/fourtuple")
        .file("proc/40/limits", NOFILE)
        .link("proc/40/fd/0", "/dev/null");
    let process = tree.read(40);
    assert_eq!(Runtime::detect(&process), Runtime::Fourtuple);
    let descriptors = limit(&process, "RLIMIT_NOFILE");
    assert_eq!((descriptors.value, descriptors.used), (Ok(20_000), Some(1)));
    assert!(descriptors.meaning.contains("tables of their own"));
}

#[test]
fn a_program_that_nobody_knows_has_no_limits_of_its_own() {
    let tree = Tree::new();
    tree.link("proc/50/exe", "/usr/bin/unheard-of");
    let process = tree.read(50);
    assert_eq!(Runtime::detect(&process), Runtime::Other);
    assert_eq!(Runtime::Other.name(), None);
    assert_eq!(limits(&process), []);
}
