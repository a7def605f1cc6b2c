//! Whatever is decided, it does not matter where: file, environment and flags give the same values.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

/// Where one setting is set, and to what.
#[derive(Clone, Debug)]
struct Decision {
    setting: &'static Setting,
    source: usize,
    text: String,
}

/// For each setting: nothing, or a value that contradicts no other.
fn decisions() -> impl Strategy<Value = Vec<Decision>> {
    let texts = |key: &str| -> BoxedStrategy<String> {
        // One without the other is a contradiction.
        if key.starts_with("admin.tls_") {
            return Just(String::new()).boxed();
        }
        if let Some((_, good, _)) = WORDS.iter().find(|(own, ..)| *own == key) {
            return select(*good).prop_map(str::to_owned).boxed();
        }
        match key {
            "limits.frame_bytes_max" => (125..=1_024_u64).prop_map(|n| n.to_string()).boxed(),
            "limits.message_bytes_max" => (1..=1_024_u64).prop_map(|n| format!("{n}KiB")).boxed(),
            "limits.outbox_bytes_max" => (1..=1_024_u64).prop_map(|n| format!("{n}MiB")).boxed(),
            key if key.ends_with("timeout") || key.ends_with("interval") => {
                (100..=3_600_000_u64).prop_map(|n| format!("{n}ms")).boxed()
            }
            "limits.head_bytes_max" | "admin.body_bytes_max" => {
                (1..=1_024_u64).prop_map(|n| format!("{n}KiB")).boxed()
            }
            _ => (16..=64_u64).prop_map(|n| n.to_string()).boxed(),
        }
    };
    let each: Vec<_> = settings()
        .iter()
        .map(|setting| proptest::option::of((texts(setting.key()), 0..3_usize)))
        .collect();
    each.prop_map(|chosen| {
        let decided = settings().iter().zip(chosen);
        decided
            .filter_map(|(setting, chosen)| {
                chosen.map(|(text, source)| Decision {
                    setting,
                    source,
                    text,
                })
            })
            .collect()
    })
}

/// Rules that do not get in each other's way.
fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let join = select(&[Join::All, Join::None]);
    let push = select(&[
        Push::Broadcast,
        Push::BroadcastFrom,
        Push::Reply,
        Push::Refuse,
    ]);
    let payload = proptest::option::of(2..=1_024_u64);
    let events = proptest::option::of(vec("[a-z\\PC]{1,20}", 1..4));
    let rule = (join, push, any::<bool>(), payload, events, "[^*\\pC]{0,20}");
    vec(rule, 0..4).prop_map(|rules| {
        let numbered = rules.into_iter().enumerate();
        numbered
            .map(
                |(index, (join, push, reply, payload_bytes_max, events, name))| Rule {
                    topic: format!("{index}:{name}*"),
                    join,
                    push,
                    reply,
                    payload_bytes_max,
                    events,
                },
            )
            .collect()
    })
}

fn file_of(decisions: &[Decision], rules: &[Rule]) -> String {
    let mut file = String::new();
    for decision in decisions.iter().filter(|decision| decision.source == 0) {
        file += &format!("{} = {}\n", decision.setting.key(), in_file(&decision.text));
    }
    for rule in rules {
        file += "[[channel]]\n";
        for setting in Rule::SETTINGS {
            file += &format!("{} = {}\n", setting.key(), (setting.describe)(rule).value);
        }
    }
    file
}

proptest! {
    #[test]
    fn every_source_gives_the_same_values(decisions in decisions(), rules in rules()) {
        let file = file_of(&decisions, &rules);
        let of = |source| decisions.iter().filter(move |decision| decision.source == source);
        let variables: Vec<_> = of(1).map(|d| (d.setting.variable(), d.text.as_str())).collect();
        let environment: Vec<_> = variables.iter().map(|(name, text)| (name.as_str(), *text)).collect();
        let flags: Vec<_> = of(2).map(|d| (d.setting.key(), d.text.as_str())).collect();

        let mut expected = Config::default();
        for decision in &decisions {
            let read = (decision.setting.read)(&mut expected, &Written::Argument(&decision.text));
            prop_assert_eq!(read, Some(()));
        }
        if !rules.is_empty() {
            expected.channels = rules;
        }
        let loaded = load(&file, &environment, &flags);
        let loaded = loaded.map_err(|problems| TestCaseError::fail(problems.to_string()))?;
        prop_assert_eq!(&loaded.config, &expected);

        let printed = loaded.to_toml();
        let again = load(&printed, &[], &[]);
        let again = again.map_err(|problems| TestCaseError::fail(problems.to_string()))?;
        prop_assert_eq!(again.config, expected);
    }

    #[test]
    fn no_file_panics(text in "\\PC*|([a-z_.]{1,8} = [0-9a-z\"\\[\\]{}]{0,8}\n){0,4}|\\[\\[channel\\]\\]\n(topic|join|x) = .{0,9}") {
        if let Err(problems) = load(&text, &[], &[]) {
            prop_assert!(problems.iter().len() > 0);
            prop_assert_eq!(problems.to_string().lines().count(), problems.iter().len());
        }
    }
}
