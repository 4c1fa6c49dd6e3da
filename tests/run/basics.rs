//! The ways that go well: a file, a pipe, JSON, and every command besides `run`.

use std::time::Duration;

use promptmill::simulator::{Config, Latency, Reaction, Script};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Scene, Sheet, jobs, question};

#[test]
fn every_row_is_asked_once_and_gets_its_answer_beside_it() {
    let scene = Scene::with_rows(50);
    scene
        .run("run jobs.csv -o out.csv")
        .exits(0)
        .says("done: all 50 rows of jobs.csv answered");
    let ledger = scene.provider.ledger();
    assert_eq!((ledger.requests, ledger.prompts()), (50, 50));
    let sheet = scene.sheet("out.csv");
    sheet.answers(50);
    assert_eq!(sheet.columns[..4], ["id", "prompt", "note", "response"]);
    assert_eq!(sheet.sum("attempts"), 50);
}

#[test]
fn the_same_command_again_asks_nothing() {
    let scene = Scene::with_rows(50);
    scene.run("run jobs.csv -o out.csv").exits(0);
    let first = scene.read("out.csv");
    scene
        .run("run jobs.csv -o out.csv")
        .exits(0)
        .says("nothing to do: all 50 rows of jobs.csv are answered");
    assert_eq!(scene.requests(), 50);
    assert_eq!(scene.read("out.csv"), first);
}

#[test]
fn results_go_beside_the_input_when_nobody_says_where() {
    let scene = Scene::with_rows(3);
    scene.run("run jobs.csv").exits(0);
    scene.sheet("jobs.results.csv").answers(3);
}

#[test]
fn a_pipe_is_read_and_written() {
    let scene = Scene::with_rows(0);
    let ran = scene.pipe("run - -o -", &jobs(7)).exits(0);
    Sheet::read(&ran.stdout).answers(7);
    let again = scene.pipe("run - -o -", &jobs(8)).exits(0);
    Sheet::read(&again.stdout).answers(8);
    assert_eq!(scene.requests(), 8);
}

#[test]
fn a_template_and_parameters_make_the_request() {
    let scene = Scene::new(Config::default());
    scene.write("jobs.csv", "country,mood\nPeru,kind\n");
    scene
        .run(
            "run jobs.csv -o out.csv --prompt Capital_of_{{country}}? --system Be_{{mood}}. \
             --model some-model --set temperature=0 --set max_tokens=24",
        )
        .exits(0);
    let entry = &scene.provider.ledger().entries[0];
    let body: serde_json::Value = serde_json::from_str(&entry.body).unwrap();
    assert_eq!(
        body,
        json!({
            "model": "some-model",
            "messages": [
                {"role": "system", "content": "Be_kind."},
                {"role": "user", "content": "Capital_of_Peru?"},
            ],
            "temperature": 0,
            "max_tokens": 24,
        })
    );
}

#[test]
fn json_is_one_object_that_programs_can_rely_on() {
    let scene = Scene::with_rows(5);
    let ran = scene.run("run jobs.csv -o out.csv --json -q").exits(0);
    assert_eq!(ran.stderr, "");
    let mut told = ran.json();
    let told = told.as_object_mut().unwrap();
    assert!(told.remove("elapsed_seconds").unwrap().as_f64().unwrap() > 0.0);
    assert!(told.remove("cost_usd").unwrap().as_f64().unwrap() > 0.0);
    assert_eq!(
        Value::Object(told.clone()),
        json!({
            "batch": "jobs.csv", "total": 5, "done": 5, "failed": 0, "left": 0, "requests": 5,
            "throttled": 0, "unknown": 0, "stopped_by": null, "resume_at": null, "exit_code": 0,
            "answers": 5, "prompt_tokens": 15, "completion_tokens": 55, "unpriced": 0,
            "prices_as_of": "2026-11-23", "repeated_after_crash": 0, "simulated": false,
            "results": "out.csv", "next_command": null, "causes": [],
        })
    );
}

#[test]
fn json_and_results_do_not_mix_on_standard_output() {
    let scene = Scene::with_rows(5);
    let ran = scene.run("run jobs.csv -o - --json").exits(2);
    assert_eq!((ran.stdout.as_str(), scene.requests()), ("", 0));
}

#[test]
fn quiet_keeps_silent() {
    let scene = Scene::with_rows(5);
    scene
        .run("run jobs.csv -o out.csv -q")
        .exits(0)
        .keeps_silent();
    scene
        .run("run jobs.csv -o out.csv -q")
        .exits(0)
        .keeps_silent();
    scene.run("import jobs.csv -q").exits(0).keeps_silent();
    scene.run("retry jobs.csv -q").exits(0).keeps_silent();
    scene.sheet("out.csv").answers(5);
}

#[test]
fn a_run_that_goes_well_without_a_terminal_says_only_its_summary() {
    let scene = Scene::with_rows(5);
    let ran = scene.run("run jobs.csv -o out.csv").exits(0);
    assert!(ran.stderr.starts_with("done: "), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
}

#[test]
fn status_counts_batches_and_keys() {
    let scene = Scene::with_rows(5);
    let empty = scene.run("status --json").exits(0);
    assert_eq!(
        empty.json(),
        json!({"batches": [], "keys": [], "spool": false})
    );
    scene.run("status").exits(66).says("there is no database");
    scene.run("import jobs.csv").exits(0);
    let counts = |pending: u64, done: u64| {
        json!([{"name": "jobs.csv", "total": 5, "done": done, "failed": 0, "pending": pending,
                "running": 0, "causes": []}])
    };
    let before = scene.run("status --json").exits(0).json();
    assert_eq!(
        before,
        json!({"batches": counts(5, 0), "keys": [], "spool": false})
    );
    scene.run("run jobs.csv -o out.csv").exits(0);
    let after = scene.run("status --json").exits(0).json();
    assert_eq!(after["batches"], counts(0, 5));
    assert_eq!(after["keys"][0]["label"], "key-1");
    assert_eq!(after["keys"][0]["state"], "healthy");
    let text = scene.run("status").exits(0).stdout;
    assert!(
        text.contains("jobs.csv") && text.contains("key-1"),
        "{text}"
    );
}

#[test]
fn import_work_and_export_make_what_run_makes() {
    let scene = Scene::with_rows(20);
    scene.run("run jobs.csv -o run.csv").exits(0);
    let steps = Scene::with_rows(20);
    steps
        .run("import jobs.csv")
        .exits(0)
        .says("jobs.csv: 20 rows (20 added)");
    assert_eq!(steps.requests(), 0);
    steps.run("work").exits(0).says("done: all 20 rows");
    assert_eq!(steps.requests(), 20);
    steps
        .run("export jobs.csv -o steps.csv")
        .exits(0)
        .keeps_silent();
    let (run, steps_sheet) = (scene.sheet("run.csv"), steps.sheet("steps.csv"));
    steps_sheet.answers(20);
    assert_eq!(run.columns, steps_sheet.columns);
    for column in run.columns.iter().filter(|name| *name != "latency_ms") {
        assert_eq!(run.column(column), steps_sheet.column(column), "{column}");
    }
    let piped = steps.run("export jobs.csv").exits(0);
    assert_eq!(piped.stdout, steps.read("steps.csv"));
}

#[test]
fn work_takes_every_batch_or_the_one_named() {
    let scene = Scene::with_rows(3);
    scene.write("more.csv", &jobs(4).replace("question", "riddle"));
    scene.run("import jobs.csv").exits(0);
    scene.run("import more.csv").exits(0);
    scene.run("work --batch more.csv").exits(0);
    assert_eq!(scene.requests(), 4);
    let ran = scene.run("work --json").exits(0).json();
    assert_eq!(scene.requests(), 7);
    assert_eq!((&ran["batch"], &ran["done"]), (&"all".into(), &7.into()));
    scene
        .run("work --batch none.csv")
        .exits(66)
        .says("no batch is named \"none.csv\"");
}

#[test]
fn a_failed_row_is_asked_again_after_retry_only() {
    let script = Script::new().on(
        |arrival| arrival.prompt == question(2) && arrival.turn == 1,
        Reaction::Status(400),
    );
    let scene = Scene::new(Config::default().script(script));
    scene.write("jobs.csv", &jobs(3));
    scene
        .run("run jobs.csv -o out.csv")
        .exits(3)
        .says("promptmill retry jobs.csv");
    scene.run("run jobs.csv -o out.csv").exits(3);
    assert_eq!(scene.requests(), 3);
    scene
        .run("retry jobs.csv")
        .exits(0)
        .says("jobs.csv: 1 failed row to be asked again");
    scene.run("run jobs.csv -o out.csv").exits(0);
    assert_eq!(scene.requests(), 4);
    scene.sheet("out.csv").answers(3);
}

#[test]
fn keys_are_listed_and_reset() {
    let scene = Scene::with_rows(2);
    scene.run("run jobs.csv -o out.csv").exits(0);
    let listed = scene.run("keys list --json").exits(0).json();
    assert_eq!(listed["keys"][0]["label"], "key-1");
    assert_eq!(listed["keys"][0]["fingerprint"].as_str().unwrap().len(), 10);
    let text = scene.run("keys list").exits(0).stdout;
    assert!(text.contains("key-1") && text.contains("healthy"), "{text}");
    scene
        .run("keys reset key-7")
        .exits(66)
        .says("no key is labelled \"key-7\"");
    scene
        .run("keys reset")
        .exits(0)
        .says("1 key may be tried again");
    let text = scene.run("keys list").exits(0).stdout;
    assert_eq!(text, "no key was used yet\n");
}

#[test]
fn the_simulated_provider_needs_no_key_no_network_and_no_address() {
    let scene = Scene::with_rows(5)
        .set("PROMPTMILL_BASE_URL", "")
        .set("PROMPTMILL_API_KEYS", "");
    scene
        .run("run jobs.csv -o out.csv --simulate")
        .exits(0)
        .says("SIMULATED");
    scene.sheet("out.csv").answers(5);
    let status = scene.run("status --json").exits(0).json();
    assert_eq!(status["batches"][0]["name"], "jobs.csv (simulated)");
}

#[test]
fn the_simulate_command_serves_what_it_says_and_ends_when_told() {
    let scene = Scene::with_rows(4);
    let mut simulate = scene.start("simulate --port 0 --accept-key sk-only-this-one-is-good");
    let line = simulate.wait_for_line("simulating a provider at ");
    let url = line
        .split(' ')
        .find(|word| word.starts_with("http"))
        .unwrap();
    let hint = simulate.wait_for_line("try: ");
    let words: Vec<_> = hint.trim_start_matches("try: ").split(' ').collect();
    let [key, "promptmill", words @ ..] = words.as_slice() else {
        panic!("{hint}");
    };
    assert!(words.contains(&url), "{hint}");
    let (name, key) = key.split_once('=').unwrap();
    scene.write("jobs.example.csv", &jobs(4));
    let scene = scene.set("PROMPTMILL_API_KEYS", "").set(name, key);
    scene.run(&words.join(" ")).exits(0);
    scene.sheet("results.csv").answers(4);
    assert_eq!(scene.requests(), 0);
    simulate.signal(Signal::TERM);
    simulate.finish().exits(0);
}

#[test]
fn cells_of_every_kind_come_back_as_they_were() {
    let scene = Scene::new(Config::default());
    let cells = [
        "a, \"b\"\nc",
        " padded ",
        "",
        "字🦀é",
        "1e5",
        "back\\slash",
        "{{ x }}",
    ];
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["cell", "prompt", "response"]).unwrap();
    for cell in cells {
        writer
            .write_record([cell, &format!("{cell}?"), "mine"])
            .unwrap();
    }
    let file = String::from_utf8(writer.into_inner().unwrap()).unwrap();
    // As a spreadsheet writes it.
    scene.write("jobs.csv", &format!("\u{feff}{file}"));
    scene.run("run jobs.csv -o out.csv").exits(0);
    let sheet = scene.sheet("out.csv");
    assert_eq!(sheet.column("cell"), cells);
    assert_eq!(sheet.column("response"), ["mine"; 7]);
    assert_eq!(sheet.count("done"), 7);
    let ledger = scene.provider.ledger();
    for (row, cell) in cells.iter().enumerate() {
        assert_eq!(ledger.of_prompt(&format!("{cell}?")), 1, "{cell}");
        let completion = sheet.cell(row + 1, "promptmill_response");
        assert!(
            completion.starts_with("Simulated answer to "),
            "{completion}"
        );
    }
}

#[test]
fn results_may_be_the_input_of_a_further_batch() {
    let scene = Scene::with_rows(4);
    scene.run("run jobs.csv -o first.csv").exits(0);
    scene
        .run("run first.csv -o second.csv --prompt Shorten:{{response}}")
        .exits(0);
    let sheet = scene.sheet("second.csv");
    assert_eq!(sheet.count("done"), 4);
    for completion in sheet.column("promptmill_response") {
        assert!(
            completion.contains("Shorten:Simulated answer"),
            "{completion}"
        );
    }
}

#[test]
fn no_more_requests_are_in_flight_than_were_asked_for() {
    let latency = Latency::Constant(Duration::from_millis(5));
    let scene = Scene::new(Config::default().latency(latency));
    scene.write("jobs.csv", &jobs(60));
    scene
        .run("run jobs.csv -o out.csv --concurrency 4")
        .exits(0);
    scene.sheet("out.csv").answers(60);
    assert_eq!(scene.provider.ledger().max_in_flight, 4);
}

#[test]
fn a_flag_goes_before_the_environment_and_that_before_the_settings_file() {
    let scene = Scene::with_rows(1);
    scene.write(
        "promptmill.toml",
        "model = \"of-file\"\noutput = \"file.csv\"\n",
    );
    scene.run("run jobs.csv --batch a").exits(0);
    let scene = scene
        .set("PROMPTMILL_MODEL", "of-environment")
        .set("PROMPTMILL_OUTPUT", "environment.csv");
    scene.run("run jobs.csv --batch b").exits(0);
    scene
        .run("run jobs.csv --batch c --model of-flag -o flag.csv")
        .exits(0);
    for source in ["file", "environment", "flag"] {
        let sheet = scene.sheet(&format!("{source}.csv"));
        assert_eq!(sheet.column("model"), [format!("of-{source}")]);
    }
}
