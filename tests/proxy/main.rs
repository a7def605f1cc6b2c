//! `fourtuple load --proxy` and `config.ws.proxy` of a script: the crowd reaches its server through an HTTP proxy that
//! nobody here wrote, in the clear and with TLS, and says what is wrong with those that lead nowhere.

#[allow(dead_code, reason = "other tests ask more of it")]
#[path = "../scripts/echo.rs"]
mod echo;
mod proxies;
#[allow(dead_code, reason = "other tests ask more of it")]
#[path = "../tls/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use echo::{Echo, Ways};
use proxies::{Proxy, rogue};
use server::{Authority, Server};
use support::binary::{assert_status, fourtuple, on_epoll, output_of};

/// The kernels that this machine is asked for: both, unless one is chosen by `TEST_KERNEL`.
fn kernels() -> &'static [&'static str] {
    if on_epoll() {
        &["epoll"]
    } else {
        &["epoll", "auto"]
    }
}

fn file(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("proxy");
    fs::create_dir_all(&folder).expect("the folder of this target is ours");
    folder.join(name)
}

/// Runs a crowd or a script; returns what it printed and its JSON report.
fn run(name: &str, aim: &str, flags: &[&str]) -> (Output, serde_json::Value) {
    let report = file(&format!("{name}.report.json"));
    drop(fs::remove_file(&report));
    let kind = if aim.contains("://") { "--json" } else { "-o" };
    let mut command = fourtuple();
    command.args(["load", aim, kind]).arg(&report);
    let output = output_of(command.args(flags));
    let text = fs::read_to_string(&report).unwrap_or_default();
    (output, serde_json::from_str(&text).unwrap_or_default())
}

/// All that a program has printed.
fn said(output: &Output) -> String {
    let bytes = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

const HELD: [&str; 9] = [
    "--raw", "-c", "40", "--rate", "400", "--hold", "500ms", "--push", "5/s",
];

#[test]
fn a_crowd_is_held_through_a_proxy_on_both_kernels() {
    let (echo, proxy) = (Echo::start(Ways::default()), Proxy::start(None));
    let server = echo.url().replace("ws://", "").replace('/', "");
    let url = proxy.url("");
    for kernel in kernels() {
        let flags = [&HELD[..], &["--kernel", kernel, "--proxy", &url]].concat();
        let (output, report) = run("held", &echo.url(), &flags);
        assert_status(&output, 0);
        assert_eq!(report["target"], echo.url());
        let answered = report["pushes"]["answered"].as_u64().unwrap_or(0);
        assert!(answered >= 40, "{report:#}");
    }
    let asked = format!("connect {server} host {server} from 127.0.0.2");
    let asked = vec![asked; 40 * kernels().len()];
    assert_eq!(proxy.asked(asked.len()), asked);
}

#[test]
fn tls_goes_through_the_tunnel_and_the_proxy_resolves_the_name() {
    let authority = Authority::new("proxied");
    let server = Server::start(&authority.server_pass(), "1.3", None);
    let proxy = Proxy::start(Some("me:s3cret@home"));
    let ca = authority.file().display().to_string();
    let aim = format!("wss://localhost:{}/", server.port());
    let page = file("tls.html");
    let shown = page.display().to_string();
    for kernel in kernels() {
        let own = [
            "--html",
            &shown,
            "--ca",
            &ca,
            "--kernel",
            kernel,
            "--proxy",
            &proxy.url("me:s3cret%40home@"),
        ];
        let (output, report) = run("tls", &aim, &[&HELD[..], &own].concat());
        assert_status(&output, 0);
        let text = fs::read_to_string(&page).expect("a page") + &report.to_string();
        assert!(
            text.contains("***@127.0.0.1") && !text.contains("s3cret"),
            "{text}"
        );
    }
    let all = 40 * kernels().len();
    server.wait_for(all, "open TLSv1.3 new");
    server.wait_for(all, "goodbye clean");
    let name = format!("localhost:{}", server.port());
    assert_eq!(
        proxy.asked(all),
        vec![format!("connect {name} host {name} from 127.0.0.2"); all]
    );
    // Of a name that only a proxy could know, this machine asks nobody: the proxy says what it thinks of it.
    let own = ["--proxy", &proxy.url("me:s3cret%40home@")];
    let (output, report) = run(
        "unknown",
        "ws://server.invalid:80/",
        &[&FEW[..], &own].concat(),
    );
    assert_status(&output, 1);
    let class = report["not_opened"][0]["class"]
        .as_str()
        .unwrap_or_default();
    assert!(class.starts_with("proxy_"), "{report:#}");
    assert!(proxy.asked(all + 1)[all].starts_with("connect server.invalid:80 "));
}

const FEW: [&str; 9] = [
    "--raw",
    "-c",
    "3",
    "--rate",
    "100",
    "--hold",
    "0s",
    "--connect-timeout",
    "2s",
];

#[test]
fn proxies_that_lead_nowhere_are_told_apart_each_with_its_remedy() {
    let (echo, proxy) = (
        Echo::start(Ways::default()),
        Proxy::start(Some("me:secret")),
    );
    for (url, class, words) in [
        (proxy.url(""), "proxy_407", "http://user:password@host:port"),
        (proxy.url("me:wrong@"), "proxy_407", "status 407"),
        (rogue(proxies::forbid), "proxy_refused", "status 403"),
        (rogue(proxies::hang_up), "proxy_cut", "before it answered"),
        (
            rogue(proxies::keep_silent),
            "proxy_timeout",
            "did not answer in time",
        ),
        (
            rogue(proxies::speak_ssh),
            "proxy_not_spoken",
            "HTTP is not spoken there",
        ),
        ("http://127.0.0.1:1".to_owned(), "refused", "(or the proxy)"),
    ] {
        for kernel in kernels() {
            let own = ["--kernel", kernel, "--proxy", &url];
            let (output, report) = run("nowhere", &echo.url(), &[&FEW[..], &own].concat());
            assert_status(&output, 1);
            let failures = &report["not_opened"];
            assert_eq!(failures[0]["class"], class, "{report:#}");
            assert_eq!(failures[0]["count"], 3, "{report:#}");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(text.contains(words) && !text.contains("wrong"), "{text}");
        }
    }
    assert!(echo.heads().is_empty(), "nobody came to the server");
}

#[test]
fn the_environment_names_the_proxy_where_no_flag_does() {
    let (echo, proxy) = (Echo::start(Ways::default()), Proxy::start(None));
    for (variable, flags, status, words, tunnels) in [
        (&*proxy.url(""), &[][..], 0, "", 3),
        ("", &[], 0, "", 3),
        (
            "https://u:s3cret@h",
            &[],
            2,
            "FOURTUPLE_PROXY: `https://***@h`: the proxy itself",
            3,
        ),
        ("https://h", &["--proxy", &*proxy.url("")], 0, "", 6),
    ] {
        let mut command = fourtuple();
        command.env("FOURTUPLE_PROXY", variable).arg("load");
        let output = output_of(command.arg(echo.url()).args(FEW).args(flags));
        assert_status(&output, status);
        let text = said(&output);
        assert!(text.contains(words) && !text.contains("s3cret"), "{text}");
        assert_eq!(proxy.asked(tunnels).len(), tunnels);
    }
}

#[test]
fn a_proxy_that_dribbles_is_a_proxy() {
    let (echo, proxy) = (Echo::start(Ways::default()), rogue(proxies::dribble));
    for kernel in kernels() {
        let flags = [&HELD[..], &["--kernel", kernel, "--proxy", &proxy]].concat();
        let (output, _) = run("dribble", &echo.url(), &flags);
        assert_status(&output, 0);
    }
}

/// A script such as Artillery's own test of proxies, with other words.
fn script(name: &str, target: &str, config: &str, connect: &str) -> String {
    let path = file(name);
    let text = format!(
        r#"{{ "config": {{ "target": "{target}", {config} "phases": [{{ "duration": 1, "arrivalCount": 5 }}] }},
            "scenarios": [{{ "engine": "ws", "flow": [ {connect} {{ "send": "hello" }}, {{ "think": 0.1 }} ] }}] }}"#
    );
    fs::write(&path, text).expect("our folder");
    path.display().to_string()
}

#[test]
fn a_script_names_its_proxy_for_all_or_for_one_scenario() {
    let (echo, proxy) = (Echo::start(Ways::default()), Proxy::start(None));
    let closed = Proxy::start(Some("a:b"));
    let of = |proxy: &Proxy, who: &str| format!(r#""proxy": {{ "url": "{}" }}"#, proxy.url(who));
    let config = format!(r#""ws": {{ {} }},"#, of(&proxy, ""));
    let connect = format!(r#"{{ "connect": {{ {} }} }},"#, of(&closed, "a:b@"));
    for (config, connect, flags, tunnels) in [
        (&*config, "", &[][..], [5, 0]),
        ("", &*connect, &[], [5, 5]),
        // The scenario's own goes before that of all, and a flag before both.
        (&config, &connect, &[], [5, 10]),
        (&config, &connect, &["--proxy", &*proxy.url("")], [10, 10]),
    ] {
        let path = script("named.json", &echo.url(), config, connect);
        let (output, report) = run("named", &path, &[&["-q"], flags].concat());
        assert_status(&output, 0);
        assert_eq!(
            report["aggregate"]["counters"]["vusers.completed"], 5,
            "{report:#}"
        );
        assert!(!report.to_string().contains("a:b@"), "{report:#}");
        let asked = [(&proxy, tunnels[0]), (&closed, tunnels[1])];
        assert_eq!(
            asked.map(|(proxy, count)| proxy.asked(count).len()),
            tunnels
        );
    }
    // As in Artillery's own test, by names, and from an address of the script's choice.
    let by_name = config
        .replace("127.0.0.1", "localhost")
        .replace("\" }", "\", \"localAddress\": \"127.0.0.77\" }");
    let target = echo.url().replace("127.0.0.1", "localhost");
    let path = script("from.json", &target, &by_name, "");
    let (output, report) = run("from", &path, &["-q"]);
    assert_status(&output, 0);
    assert_eq!(
        report["aggregate"]["counters"]["vusers.completed"], 5,
        "{report:#}"
    );
    assert!(proxy.asked(15)[10..].iter().all(|line| {
        line.starts_with("connect localhost:") && line.ends_with(" from 127.0.0.77")
    }));
    let path = script(
        "unknown.json",
        &echo.url(),
        &config.replace(&proxy.url(""), &closed.url("")),
        "",
    );
    let (output, report) = run("stranger", &path, &["-q"]);
    assert_status(&output, 0);
    assert_eq!(
        report["aggregate"]["counters"]["errors.proxy_407"], 5,
        "{report:#}"
    );
}

#[test]
fn what_cannot_be_had_of_a_proxy_is_an_error_with_its_place() {
    for (proxy, words) in [
        (
            r#"{ "url": "https://h:1" }"#,
            "config.ws.proxy.url: `https://h:1`: the proxy itself",
        ),
        (
            r#"{ "url": "socks5://u:s3cret@h" }"#,
            "config.ws.proxy.url: `socks5://***@h`: the proxy itself",
        ),
        (
            r#"{ "url": "http://u:s3cret" }"#,
            "config.ws.proxy.url: `http://***` is not",
        ),
        (
            r#"{ "url": "u:s3cret@h" }"#,
            "config.ws.proxy.url: `***@h` is not",
        ),
        (
            r#"{ "url": "http://h:1", "localAddress": "eth0" }"#,
            "--sources names many",
        ),
        (
            r#"{ "url": "http://h:1", "keepAlive": true }"#,
            "config.ws.proxy.keepAlive: unknown key",
        ),
        (r#"{}"#, "`url` is missing"),
        (r#""http://h:1""#, "config.ws.proxy: expected a map"),
    ] {
        let config = format!(r#""ws": {{ "proxy": {proxy} }},"#);
        let path = script("wrong.json", "ws://127.0.0.1:9/", &config, "");
        let (output, _) = run("wrong", &path, &[]);
        assert_status(&output, 2);
        let text = said(&output);
        assert!(text.contains(words) && !text.contains("s3cret"), "{text}");
    }
    let path = script("fine.json", "ws://127.0.0.1:9/", "", "");
    for aim in ["ws://h/", &path] {
        for (url, words) in [
            (
                "https://u:s3cret@h",
                "--proxy: `https://***@h`: the proxy itself is spoken to in the clear",
            ),
            ("http://u:s3cret", "--proxy: `http://***` is not"),
        ] {
            let (output, _) = run("flag", aim, &["--proxy", url]);
            assert_status(&output, 2);
            let text = said(&output);
            assert!(text.contains(words) && !text.contains("s3cret"), "{text}");
        }
    }
}
