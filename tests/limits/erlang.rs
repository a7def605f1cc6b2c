//! A real Erlang VM, whose table of ports is explained with its own numbers.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use super::{FOURTUPLE, is_required, stage, support::binary::output_of};

/// A VM that listens, says its port and its table's size, and ends when its input does.
struct Vm {
    child: Child,
    port: u16,
    port_limit: u64,
}

const PROGRAM: &str = "{ok,L}=gen_tcp:listen(0,[{ip,{127,0,0,1}}]),{ok,P}=inet:port(L),\
                       io:format(\"~b ~b~n\",[P,erlang:system_info(port_limit)]),io:get_line(\"\"),halt().";

impl Vm {
    /// `None` where there is no Erlang.
    #[track_caller]
    fn start(flags: &[&str], environment: &[(&str, &str)]) -> Option<Self> {
        let mut command = Command::new("erl");
        command.args(flags).args(["-noshell", "-eval", PROGRAM]);
        command.envs(environment.iter().copied());
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                assert!(!is_required(), "erl: {error}; install erlang-base");
                eprintln!("not tested: erl: {error}");
                return None;
            }
        };
        let mut said = String::new();
        let output = child.stdout.take().expect("piped");
        BufReader::new(output)
            .read_line(&mut said)
            .expect("the VM says its numbers");
        let mut numbers = said.split_whitespace();
        let mut next = || numbers.next().expect("two numbers");
        Some(Self {
            port: next().parse().expect("a port"),
            port_limit: next().parse().expect("a limit"),
            child,
        })
    }

    /// What the doctor says of who listens on its port.
    fn diagnosed(&self) -> Value {
        let port = self.port.to_string();
        let output = output_of(Command::new(FOURTUPLE).args(["doctor", "--port", &port, "--json"]));
        serde_json::from_slice(&output.stdout).expect("the doctor prints JSON")
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // The end of its input ends it; whoever is still there is ended.
        if let Some(mut input) = self.child.stdin.take() {
            let _ = input.write_all(b"\n");
        }
        let _ = self.child.wait();
    }
}

#[track_caller]
fn ports(found: &Value) -> &Value {
    let limits = found["runtime_limits"].as_array().expect("a list");
    let ports = limits.iter().find(|limit| limit["name"] == "+Q (ports)");
    ports.unwrap_or_else(|| panic!("no table of ports: {limits:#?}"))
}

#[track_caller]
fn is_explained(flags: &[&str], environment: &[(&str, &str)]) {
    let _stage = stage();
    let Some(vm) = Vm::start(flags, environment) else {
        return;
    };
    let found = vm.diagnosed();
    assert_eq!(found["runtime"], "Erlang VM", "{found:#}");
    let ports = ports(&found);
    assert_eq!(ports["value"].as_u64(), Some(vm.port_limit), "{ports:#}");
    let meaning = ports["meaning"].as_str().expect("words");
    assert!(
        meaning.contains("nothing to do with TCP port numbers"),
        "{meaning}"
    );
    assert!(meaning.contains("LiveDashboard"), "{meaning}");
}

#[test]
fn a_table_that_a_flag_made_small() {
    is_explained(&["+Q", "1024"], &[]);
}

#[test]
fn a_table_of_the_default_size() {
    is_explained(&[], &[]);
}

#[test]
fn a_table_that_the_environment_sized() {
    is_explained(&[], &[("ERL_FLAGS", "+Q 3000")]);
}
