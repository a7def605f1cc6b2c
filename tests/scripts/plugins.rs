//! Artillery's plugins `apdex` and `expect`, which look at HTTP there: here they look at messages that steps wait for.

use std::fs;

use serde_json::{Value, json};

use super::{
    assert_status,
    echo::{Echo, Ways},
    run, script,
};

/// Three users whose message is echoed and looked at, and what more `config` has.
fn looked_at(echo: &Echo, config: Value, expect: Value) -> String {
    let mut whole = json!({"target": echo.url(), "phases": [{"duration": 1, "arrivalCount": 3}]});
    let entries = config.as_object().expect("a map").clone();
    whole.as_object_mut().expect("a map").extend(entries);
    let send = json!({"payload": {"user": {"ids": [7]}}, "capture": {"json": "$.user.ids[0]", "as": "id"}, "expect": expect});
    let script = json!({
        "config": whole,
        "scenarios": [{"engine": "ws", "name": "looks", "flow": [{"send": send}, {"think": 0.01}, {"send": "bye"}]}],
    });
    script.to_string()
}

#[test]
fn expectations_are_counted_and_fail_the_run_and_users_only_if_asked() {
    let echo = Echo::start(Ways::default());
    let met = json!([
        {"equals": ["7", "{{ id }}", "{{ id }}"]}, {"hasProperty": "user.ids[0]"}, {"notHasProperty": "user.name"},
        {"matchesRegexp": "\"ids\":\\[\\d\\]"}, {"contentType": "json"},
    ]);
    let ensure = json!({"plugins": {"expect": {}, "ensure": {"conditions": [{"expression": "plugins.expect.ok == 15"}]}}});
    let text = looked_at(&echo, ensure, met);
    let (output, report) = run(&script("expect_met.json", &text), &[]);
    assert_status(&output, 0);
    let counters = &report["aggregate"]["counters"];
    for kind in [
        "equals",
        "hasProperty",
        "notHasProperty",
        "matchesRegexp",
        "contentType",
    ] {
        assert_eq!(
            counters[format!("plugins.expect.ok.{kind}")],
            3,
            "{counters:#}"
        );
    }
    assert_eq!(counters["plugins.expect.failed"], Value::Null);

    let unmet = json!({"hasProperty": "user.name", "contentType": "json"});
    let text = looked_at(&echo, json!({}), unmet.clone());
    let page = script("expect_unmet.html", "");
    let (output, report) = run(
        &script("expect_unmet.json", &text),
        &["--html", &page.display().to_string()],
    );
    // As with Artillery, where the exit code says it and users go on.
    assert_status(&output, 1);
    let counters = &report["aggregate"]["counters"];
    assert_eq!(
        counters["plugins.expect.failed.hasProperty"], 3,
        "{counters:#}"
    );
    assert_eq!(
        (
            &counters["plugins.expect.ok"],
            &counters["vusers.completed"]
        ),
        (&json!(3), &json!(3))
    );
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = "hasProperty user.name";
    assert!(
        told.contains("Failed expectations:\n  3 × looks ") && told.contains(line),
        "{told}"
    );
    let page = fs::read_to_string(page).expect("a page");
    assert!(
        page.contains(line) && page.contains("expectations failed"),
        "the page says it, too"
    );

    let config =
        json!({"plugins": {"expect": {"reportFailuresAsErrors": true, "outputFormat": "silent"}}});
    let (output, report) = run(
        &script("expect_fails.json", &looked_at(&echo, config, unmet)),
        &[],
    );
    assert_status(&output, 1);
    let counters = report["aggregate"]["counters"].as_object().expect("a map");
    assert_eq!(counters["vusers.failed"], 3, "{counters:#?}");
    let mut errors = counters.keys().filter(|name| name.starts_with("errors."));
    let error = errors.next().expect("an error");
    assert!(
        error.starts_with("errors.Failed expectations for request looks "),
        "{error}"
    );
}

#[test]
fn expectations_of_http_are_errors_with_their_place() {
    let echo = Echo::start(Ways::default());
    for (expect, words) in [
        (
            json!({"statusCode": 200}),
            "send.expect.statusCode: this is about responses of HTTP",
        ),
        (
            json!([{"cdnHit": true}]),
            "send.expect[0].cdnHit: this is about responses of HTTP",
        ),
        (json!({"contentType": "text/html"}), "no type but `json`"),
        (
            json!({"hasProprty": "a"}),
            "expected one of equals, hasProperty",
        ),
        (json!({"matchesRegexp": "("}), "not a regular expression"),
        (json!({"equals": "a"}), "expected a list"),
    ] {
        let text = looked_at(&echo, json!({}), expect);
        let (output, _) = run(&script("expect_wrong.json", &text), &[]);
        assert_status(&output, 2);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(words), "{told}");
    }
    let config = json!({"plugins": {"expect": {"reportFailures": true}}});
    let (output, _) = run(
        &script(
            "expect_wrong.json",
            &looked_at(&echo, config, json!({"hasProperty": "user"})),
        ),
        &[],
    );
    assert_status(&output, 2);
}

#[test]
fn apdex_says_how_fast_the_answers_were() {
    let echo = Echo::start(Ways::default());
    let expression = "apdex.score == 1 and apdex.satisfied == 3";
    let config = json!({
        "apdex": {"threshold": 5_000},
        "plugins": {"apdex": {"threshold": 1}, "ensure": {"conditions": [{"expression": expression}]}},
    });
    let page = script("apdex.html", "");
    let (output, report) = run(
        &script(
            "apdex.json",
            &looked_at(&echo, config, json!({"hasProperty": "user"})),
        ),
        &["--html", &page.display().to_string()],
    );
    assert_status(&output, 0);
    let counters = &report["aggregate"]["counters"];
    assert_eq!(
        [
            &counters["apdex.satisfied"],
            &counters["apdex.tolerated"],
            &counters["apdex.frustrated"]
        ],
        [&json!(3), &json!(0), &json!(0)],
    );
    assert_eq!(
        report["fourtuple"]["apdex"],
        json!({"score": 1.0, "rating": "excellent"})
    );
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("\nApdex score: 1 (excellent)\n"), "{told}");
    let page = fs::read_to_string(page).expect("a page");
    assert!(page.contains("Apdex score"));
    // What never comes frustrates, and a script without it says nothing of it.
    let waits = json!({"apdex": {}, "timeout": 0.2});
    let text = looked_at(&echo, waits, json!({"hasProperty": "user"})).replace(
        r#"{"send":"bye"}"#,
        r#"{"wait":{"match":{"json":"$.a","value":1}}}"#,
    );
    let (output, report) = run(&script("apdex_late.json", &text), &[]);
    assert_status(&output, 0);
    assert_eq!(
        report["aggregate"]["counters"]["apdex.frustrated"], 3,
        "{report:#}"
    );
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("Apdex score: 0.5 (poor)"), "{told}");
    let (_, report) = run(
        &script(
            "none.json",
            &looked_at(&echo, json!({}), json!({"hasProperty": "user"})),
        ),
        &[],
    );
    assert!(!report.to_string().contains("apdex"), "{report:#}");
}
