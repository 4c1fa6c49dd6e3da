//! Successful runs with files, standard streams and JSON, and the other commands.

use std::time::Duration;

use promptmill::simulator::{Config, Reaction, Script, SimulatedLatency};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{CsvResults, TestEnv, jobs, question};

#[test]
fn every_row_is_sent_once_and_gets_its_own_response() {
    let env = TestEnv::with_rows(50);
    env.run("run jobs.csv -o out.csv")
        .exits(0)
        .stderr_contains("done: all 50 rows of jobs.csv completed");
    let log = env.provider.request_log();
    assert_eq!((log.requests, log.distinct_prompts()), (50, 50));
    let results = env.results("out.csv");
    results.assert_completed(50);
    assert_eq!(results.columns[..4], ["id", "prompt", "note", "response"]);
    assert_eq!(results.sum("attempts"), 50);
}

#[test]
fn repeating_the_command_sends_nothing() {
    let env = TestEnv::with_rows(50);
    env.run("run jobs.csv -o out.csv").exits(0);
    let first = env.read("out.csv");
    env.run("run jobs.csv -o out.csv")
        .exits(0)
        .stderr_contains("nothing to do: all 50 rows of jobs.csv are completed");
    assert_eq!(env.requests(), 50);
    assert_eq!(env.read("out.csv"), first);
}

#[test]
fn results_are_written_next_to_the_input_by_default() {
    let env = TestEnv::with_rows(3);
    env.run("run jobs.csv").exits(0);
    env.results("jobs.results.csv").assert_completed(3);
}

#[test]
fn reads_and_writes_pipes() {
    let env = TestEnv::with_rows(0);
    let output = env.run_with_input("run - -o -", &jobs(7)).exits(0);
    CsvResults::parse(&output.stdout).assert_completed(7);
    let again = env.run_with_input("run - -o -", &jobs(8)).exits(0);
    CsvResults::parse(&again.stdout).assert_completed(8);
    assert_eq!(env.requests(), 8);
}

#[test]
fn the_request_contains_the_template_and_the_parameters() {
    let env = TestEnv::new(Config::default());
    env.write("jobs.csv", "country,mood\nPeru,kind\n");
    env.run(
        "run jobs.csv -o out.csv --prompt Capital_of_{{country}}? --system Be_{{mood}}. \
             --model some-model --set temperature=0 --set max_tokens=24",
    )
    .exits(0);
    let entry = &env.provider.request_log().entries[0];
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
fn json_output_is_a_single_stable_object() {
    let env = TestEnv::with_rows(5);
    let output = env.run("run jobs.csv -o out.csv --json -q").exits(0);
    assert_eq!(output.stderr, "");
    let mut summary = output.json();
    let summary = summary.as_object_mut().unwrap();
    assert!(summary.remove("elapsed_seconds").unwrap().as_f64().unwrap() > 0.0);
    assert!(summary.remove("cost_usd").unwrap().as_f64().unwrap() > 0.0);
    assert_eq!(
        Value::Object(summary.clone()),
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
fn json_and_results_cannot_share_standard_output() {
    let env = TestEnv::with_rows(5);
    let output = env.run("run jobs.csv -o - --json").exits(2);
    assert_eq!((output.stdout.as_str(), env.requests()), ("", 0));
}

#[test]
fn quiet_prints_nothing() {
    let env = TestEnv::with_rows(5);
    env.run("run jobs.csv -o out.csv -q")
        .exits(0)
        .prints_nothing();
    env.run("run jobs.csv -o out.csv -q")
        .exits(0)
        .prints_nothing();
    env.run("import jobs.csv -q").exits(0).prints_nothing();
    env.run("retry jobs.csv -q").exits(0).prints_nothing();
    env.results("out.csv").assert_completed(5);
}

#[test]
fn a_successful_run_without_a_terminal_prints_only_its_summary() {
    let env = TestEnv::with_rows(5);
    let output = env.run("run jobs.csv -o out.csv").exits(0);
    assert!(output.stderr.starts_with("done: "), "{}", output.stderr);
    assert_eq!(output.stdout, "");
}

#[test]
fn status_lists_batches_and_keys() {
    let env = TestEnv::with_rows(5);
    let empty = env.run("status --json").exits(0);
    assert_eq!(
        empty.json(),
        json!({"batches": [], "keys": [], "spool": false})
    );
    env.run("status")
        .exits(66)
        .stderr_contains("no database at");
    env.run("import jobs.csv").exits(0);
    let counts = |pending: u64, done: u64| {
        json!([{"name": "jobs.csv", "total": 5, "done": done, "failed": 0, "pending": pending,
                "running": 0, "causes": []}])
    };
    let before = env.run("status --json").exits(0).json();
    assert_eq!(
        before,
        json!({"batches": counts(5, 0), "keys": [], "spool": false})
    );
    env.run("run jobs.csv -o out.csv").exits(0);
    let after = env.run("status --json").exits(0).json();
    assert_eq!(after["batches"], counts(0, 5));
    assert_eq!(after["keys"][0]["label"], "key-1");
    assert_eq!(after["keys"][0]["state"], "healthy");
    let text = env.run("status").exits(0).stdout;
    assert!(
        text.contains("jobs.csv") && text.contains("key-1"),
        "{text}"
    );
}

#[test]
fn import_work_and_export_produce_the_results_of_run() {
    let env = TestEnv::with_rows(20);
    env.run("run jobs.csv -o run.csv").exits(0);
    let steps = TestEnv::with_rows(20);
    steps
        .run("import jobs.csv")
        .exits(0)
        .stderr_contains("jobs.csv: 20 rows (20 added)");
    assert_eq!(steps.requests(), 0);
    steps
        .run("work")
        .exits(0)
        .stderr_contains("done: all 20 rows");
    assert_eq!(steps.requests(), 20);
    steps
        .run("export jobs.csv -o steps.csv")
        .exits(0)
        .prints_nothing();
    let (run, steps_sheet) = (env.results("run.csv"), steps.results("steps.csv"));
    steps_sheet.assert_completed(20);
    assert_eq!(run.columns, steps_sheet.columns);
    for column in run.columns.iter().filter(|name| *name != "latency_ms") {
        assert_eq!(run.column(column), steps_sheet.column(column), "{column}");
    }
    let piped = steps.run("export jobs.csv").exits(0);
    assert_eq!(piped.stdout, steps.read("steps.csv"));
}

#[test]
fn work_processes_all_batches_or_the_named_ones() {
    let env = TestEnv::with_rows(3);
    env.write("more.csv", &jobs(4).replace("question", "riddle"));
    env.run("import jobs.csv").exits(0);
    env.run("import more.csv").exits(0);
    env.run("work --batch more.csv").exits(0);
    assert_eq!(env.requests(), 4);
    let output = env.run("work --json").exits(0).json();
    assert_eq!(env.requests(), 7);
    assert_eq!(
        (&output["batch"], &output["done"]),
        (&"all".into(), &7.into())
    );
    let line = "work --json --batch more.csv --batch jobs.csv";
    let output = env.run(line).exits(0).json();
    assert_eq!(
        (&output["batch"], &output["done"]),
        (&"all".into(), &7.into())
    );
    env.run("work --batch more.csv --batch none.csv")
        .exits(66)
        .stderr_contains("no batch is named \"none.csv\"");
}

#[test]
fn a_failed_row_is_sent_again_only_after_retry() {
    let script = Script::new().on(
        |request| request.prompt == question(2) && request.prompt_count == 1,
        Reaction::Status(400),
    );
    let env = TestEnv::new(Config::default().script(script));
    env.write("jobs.csv", &jobs(3));
    env.run("run jobs.csv -o out.csv")
        .exits(3)
        .stderr_contains("promptmill retry jobs.csv");
    env.run("run jobs.csv -o out.csv").exits(3);
    assert_eq!(env.requests(), 3);
    env.run("retry jobs.csv")
        .exits(0)
        .stderr_contains("jobs.csv: 1 failed row set to pending");
    env.run("run jobs.csv -o out.csv").exits(0);
    assert_eq!(env.requests(), 4);
    env.results("out.csv").assert_completed(3);
}

#[test]
fn keys_are_listed_and_reset() {
    let env = TestEnv::with_rows(2);
    env.run("run jobs.csv -o out.csv").exits(0);
    let listed = env.run("keys list --json").exits(0).json();
    assert_eq!(listed["keys"][0]["label"], "key-1");
    assert_eq!(listed["keys"][0]["fingerprint"].as_str().unwrap().len(), 10);
    let text = env.run("keys list").exits(0).stdout;
    assert!(text.contains("key-1") && text.contains("healthy"), "{text}");
    env.run("keys reset key-7")
        .exits(66)
        .stderr_contains("no key with the label \"key-7\"");
    env.run("keys reset")
        .exits(0)
        .stderr_contains("1 key reset");
    let text = env.run("keys list").exits(0).stdout;
    assert_eq!(text, "no keys have been used yet\n");
}

#[test]
fn simulate_requires_no_key_and_no_base_url() {
    let env = TestEnv::with_rows(5)
        .set_var("PROMPTMILL_BASE_URL", "")
        .set_var("PROMPTMILL_API_KEYS", "");
    env.run("run jobs.csv -o out.csv --simulate")
        .exits(0)
        .stderr_contains("SIMULATED");
    env.results("out.csv").assert_completed(5);
    let status = env.run("status --json").exits(0).json();
    assert_eq!(status["batches"][0]["name"], "jobs.csv (simulated)");
}

#[test]
fn the_simulate_command_serves_its_printed_example_until_sigterm() {
    let env = TestEnv::with_rows(4);
    let mut simulate = env.start("simulate --port 0 --accept-key sk-only-this-one-is-good");
    let line = simulate.wait_for_line("simulating a provider at ");
    let url = line
        .split(' ')
        .find(|word| word.starts_with("http"))
        .unwrap();
    let hint = simulate.wait_for_line("try: ");
    let args: Vec<_> = hint.trim_start_matches("try: ").split(' ').collect();
    let [key, "promptmill", args @ ..] = args.as_slice() else {
        panic!("{hint}");
    };
    assert!(args.contains(&url), "{hint}");
    let (name, key) = key.split_once('=').unwrap();
    env.write("jobs.example.csv", &jobs(4));
    let env = env.set_var("PROMPTMILL_API_KEYS", "").set_var(name, key);
    env.run(&args.join(" ")).exits(0);
    env.results("results.csv").assert_completed(4);
    assert_eq!(env.requests(), 0);
    simulate.signal(Signal::TERM);
    simulate.finish().exits(0);
}

#[test]
fn special_cells_are_preserved() {
    let env = TestEnv::new(Config::default());
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
    // Spreadsheets write a byte order mark.
    env.write("jobs.csv", &format!("\u{feff}{file}"));
    env.run("run jobs.csv -o out.csv").exits(0);
    let results = env.results("out.csv");
    assert_eq!(results.column("cell"), cells);
    assert_eq!(results.column("response"), ["mine"; 7]);
    assert_eq!(results.count("done"), 7);
    let log = env.provider.request_log();
    for (row, cell) in cells.iter().enumerate() {
        assert_eq!(log.count_by_prompt(&format!("{cell}?")), 1, "{cell}");
        let completion = results.cell(row + 1, "promptmill_response");
        assert!(
            completion.starts_with("Simulated answer to "),
            "{completion}"
        );
    }
}

#[test]
fn results_can_be_the_input_of_another_batch() {
    let env = TestEnv::with_rows(4);
    env.run("run jobs.csv -o first.csv").exits(0);
    env.run("run first.csv -o second.csv --prompt Shorten:{{response}}")
        .exits(0);
    let results = env.results("second.csv");
    assert_eq!(results.count("done"), 4);
    for completion in results.column("promptmill_response") {
        assert!(
            completion.contains("Shorten:Simulated answer"),
            "{completion}"
        );
    }
}

#[test]
fn requests_in_flight_never_exceed_the_concurrency() {
    let latency = SimulatedLatency::Constant(Duration::from_millis(5));
    let env = TestEnv::new(Config::default().latency(latency));
    env.write("jobs.csv", &jobs(60));
    env.run("run jobs.csv -o out.csv --concurrency 4").exits(0);
    env.results("out.csv").assert_completed(60);
    assert_eq!(env.provider.request_log().max_in_flight, 4);
}

#[test]
fn flags_override_the_environment_which_overrides_the_settings_file() {
    let env = TestEnv::with_rows(1);
    env.write(
        "promptmill.toml",
        "model = \"of-file\"\noutput = \"file.csv\"\n",
    );
    env.run("run jobs.csv --batch a").exits(0);
    let env = env
        .set_var("PROMPTMILL_MODEL", "of-environment")
        .set_var("PROMPTMILL_OUTPUT", "environment.csv");
    env.run("run jobs.csv --batch b").exits(0);
    env.run("run jobs.csv --batch c --model of-flag -o flag.csv")
        .exits(0);
    for source in ["file", "environment", "flag"] {
        let results = env.results(&format!("{source}.csv"));
        assert_eq!(results.column("model"), [format!("of-{source}")]);
    }
}
