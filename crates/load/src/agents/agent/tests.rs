//! Who comes in, how many, and that all are heard.

use std::{os::unix::net::UnixStream, sync::mpsc::sync_channel};

use super::*;

#[test]
fn an_agent_without_a_secret_is_for_its_own_machine_alone() {
    let listen = |address: &str| {
        let address = address.parse().expect("an address");
        let (options, interrupt) = (AgentOptions::default(), Interrupt::new());
        Agent::listen(address, None, None, options, &interrupt, |_| {})
    };
    let refusal = listen("0.0.0.0:0").expect_err("open to all").to_string();
    assert!(refusal.contains("needs a secret"), "{refusal}");
    assert!(listen("127.0.0.1:0").is_ok());
}

#[test]
fn who_guesses_is_heard_no_more() {
    let interrupt = Interrupt::new();
    let shared = Shared::new(Secret::none(), AgentOptions::default(), &interrupt, |_| {});
    let [one, two] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().expect("an address"));
    for _ in 0..WRONG_MAX {
        assert!(!shared.is_shut_out(one));
        shared.note_wrong(one);
    }
    assert!(shared.is_shut_out(one) && !shared.is_shut_out(two));
}

#[test]
fn one_coordinator_at_a_time() {
    let interrupt = Interrupt::new();
    let shared = Shared::new(Secret::none(), AgentOptions::default(), &interrupt, |_| {});
    let place = shared.occupy("10.0.0.1:5").expect("nobody is there");
    let refusal = shared.occupy("10.0.0.2:6").expect_err("somebody is there");
    let served = "it has served 10.0.0.1:5 for ";
    assert!(refusal.starts_with(served), "{refusal}");
    drop(place);
    let thread = thread::scope(|scope| {
        let fails = scope.spawn(|| {
            let _place = shared.occupy("10.0.0.2:6").expect("nobody is there");
            panic!("as a bug would");
        });
        fails.join()
    });
    assert!(thread.is_err());
    assert!(shared.occupy("10.0.0.3:7").is_ok());
}

#[test]
fn silent_visitors_keep_nobody_out() {
    let interrupt = Interrupt::new();
    let shared = Shared::new(Secret::none(), AgentOptions::default(), &interrupt, |_| {});
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    let stream = TcpStream::connect(at).expect("a listener");
    let from = |host: u8, port| SocketAddr::from(([10, 0, 0, host], port));
    // Who has many puts an end to its own alone.
    assert!(shared.begin_greeting(from(200, 7), &stream));
    for port in 0..99 {
        assert!(shared.begin_greeting(from(1, port), &stream));
        let greetings = shared.greetings.lock().expect("no panic");
        let of_one = greetings.keys().filter(|one| one.ip() == from(1, 0).ip());
        assert!(of_one.count() <= GREETINGS_OF_ONE_MAX);
        assert!(greetings.contains_key(&from(200, 7)));
        assert!(greetings.contains_key(&from(1, port)));
    }
    for host in 2..100 {
        assert!(shared.begin_greeting(from(host, 7), &stream));
        let greetings = shared.greetings.lock().expect("no panic");
        assert!(greetings.len() <= GREETINGS_MAX);
        assert!(greetings.contains_key(&from(host, 7)));
    }
}

#[test]
fn a_coordinator_is_heard_however_much_a_run_says() {
    let interrupt = Interrupt::new();
    let shared = Shared::new(Secret::none(), AgentOptions::default(), &interrupt, |_| {});
    let (one, two) = UnixStream::pair().expect("a pair");
    let (says, said) = sync_channel(UP_MAX);
    thread::scope(|scope| {
        // Says something whenever there is room, until nobody listens any more.
        scope.spawn(move || while says.send(FromAgent::Line("busy".to_owned())).is_ok() {});
        scope.spawn(move || {
            let (secret, time) = (Secret::none(), GREETING_TIMEOUT);
            let mut session = Session::of_coordinator(Box::new(one), &secret, time)?;
            while session.receive::<FromAgent>(BEAT)?.is_some() {}
            Ok::<_, SessionError>(())
        });
        let session = Session::of_agent(Box::new(two), &Secret::none());
        let mut session = session.expect("the same secret");
        let mut visit = Visit::of(&shared);
        visit.duty = Some(Duty::that_says(said));
        visit.pass_on(&mut session).expect("it is read");
        assert!(visit.duty.is_some());
    });
}
