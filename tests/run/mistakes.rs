//! What people get wrong: files, flags, addresses, databases. Each has its exit code, says what to
//! do, and costs no request.

use promptmill::simulator::Config;

use crate::support::{KEY, Scene, jobs};

const RUN: &str = "run jobs.csv -o out.csv";

/// Runs a command over three good rows, and holds it to its exit code and its words.
#[track_caller]
fn check(words: &str, code: i32, says: &[&str]) {
    check_file(&jobs(3), words, code, says);
}

#[track_caller]
fn check_file(jobs: &str, words: &str, code: i32, says: &[&str]) {
    let scene = Scene::new(Config::default());
    scene.write("jobs.csv", jobs);
    let mut ran = scene.run(words).exits(code);
    for text in says {
        ran = ran.says(text);
    }
    assert_eq!((ran.stdout.as_str(), scene.requests()), ("", 0));
    assert!(!scene.files().contains(&"out.csv".to_owned()));
}

#[test]
fn an_input_that_is_not_there() {
    let says = ["error: none.csv: no such file", "hint: check the path"];
    check("run none.csv -o out.csv", 66, &says);
    check("import none.csv", 66, &says);
}

#[test]
fn an_input_that_is_a_directory() {
    check("run . -o out.csv", 66, &["is a directory", "hint: "]);
}

#[test]
fn an_input_with_a_ragged_row() {
    let file = "id,prompt\n1,one\n2\n3,three\n";
    check_file(file, RUN, 65, &["jobs.csv:3: ", "nothing was imported"]);
}

#[test]
fn an_input_with_an_id_twice() {
    let file = "id,prompt\n1,one\n2,two\n1,three\n";
    let run = format!("{RUN} --id-column id");
    check_file(file, &run, 65, &["jobs.csv:4: ", "nothing was imported"]);
}

#[test]
fn an_input_without_rows_or_without_anything() {
    check_file("id,prompt\n", RUN, 65, &["no rows below the header"]);
    check_file("", RUN, 65, &["jobs.csv: is empty"]);
}

#[test]
fn an_input_that_is_no_csv() {
    check_file("[{\"prompt\": \"a\"}]\n", RUN, 65, &["jobs.csv"]);
}

#[test]
fn a_column_that_is_not_there() {
    let template = format!("{RUN} --prompt {{{{promt}}}}");
    check(&template, 65, &["jobs.csv:1: ", "promt", "note"]);
    check(
        &format!("{RUN} --id-column nr"),
        65,
        &["jobs.csv:1: ", "nr"],
    );
    check_file("id,text\n1,a\n", RUN, 65, &["jobs.csv:1: ", "prompt"]);
}

#[test]
fn a_command_line_that_means_nothing() {
    check(&format!("{RUN} --modle x"), 2, &["--modle", "--model"]);
    check(&format!("{RUN} --concurrency 0"), 2, &["--concurrency"]);
    check(&format!("{RUN} --timeout soon"), 2, &["write it like 90s"]);
    check(&format!("{RUN} --set temperature"), 2, &["temperature"]);
    check("run", 2, &["Usage: "]);
    check("ruin jobs.csv", 2, &["run"]);
}

#[test]
fn a_base_url_that_cannot_be_one() {
    let with = |url: &str| format!("{RUN} --base-url {url}");
    check(&with("ftp://example.com/v1"), 78, &["begins with `ftp:`"]);
    check(&with("http://example.com/v1"), 78, &["write https://"]);
    check(
        &with("https://chatgpt.com"),
        78,
        &["https://api.openai.com/v1"],
    );
}

#[test]
fn a_base_url_with_a_password_is_refused_and_not_repeated() {
    let scene = Scene::with_rows(3);
    let ran = scene
        .run(&format!(
            "{RUN} --base-url https://anna:hunter2@example.com/v1"
        ))
        .exits(78)
        .says("take out all before the `@`");
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
}

#[test]
fn a_base_url_that_goes_too_far_is_mended_with_a_note() {
    let scene = Scene::with_rows(3);
    let url = format!("{}/chat/completions/", scene.provider.base_url());
    scene
        .run(&format!("{RUN} --base-url {url}"))
        .exits(0)
        .says("`…/chat/completions` was taken off");
    scene.sheet("out.csv").answers(3);
}

#[test]
fn a_host_in_the_world_wants_a_key() {
    let scene = Scene::with_rows(3).set("PROMPTMILL_API_KEYS", "");
    // Nothing is sent: there is no key to send it with.
    for url in [
        "https://api.openai.com/v1/chat/completions",
        "https://192.0.2.1/v1",
    ] {
        scene
            .run(&format!("{RUN} --base-url {url}"))
            .exits(77)
            .says("no key was given for https://")
            .says("set OPENAI_API_KEY");
    }
}

#[test]
fn an_endpoint_on_this_machine_that_wants_a_key_says_so() {
    let scene = Scene::with_rows(3).set("PROMPTMILL_API_KEYS", "");
    scene
        .run(RUN)
        .exits(78)
        .says("No key reached the endpoint: name one");
    assert_eq!(scene.requests(), 1);
}

#[test]
fn an_output_that_cannot_be_written_costs_no_request() {
    for (output, says) in [
        ("none/out.csv", "there is no directory"),
        (".", "is a directory"),
        ("/dev/null", "no regular file"),
        ("jobs.csv/out.csv", "cannot write the results"),
    ] {
        let scene = Scene::with_rows(3);
        let ran = scene.run(&format!("run jobs.csv -o {output}"));
        ran.exits(73).says(says).says("hint: ");
        assert_eq!(scene.requests(), 0);
    }
}

#[test]
fn an_output_over_a_link_is_refused() {
    let scene = Scene::with_rows(3);
    scene.write("precious.csv", "precious\n");
    std::os::unix::fs::symlink("precious.csv", scene.path("out.csv")).unwrap();
    scene.run(RUN).exits(73).says("symbolic link");
    assert_eq!(scene.read("precious.csv"), "precious\n");
}

#[test]
fn an_output_that_is_the_input_is_refused() {
    let scene = Scene::with_rows(3);
    for output in ["jobs.csv", "./jobs.csv"] {
        let ran = scene.run(&format!("run jobs.csv -o {output}")).exits(73);
        ran.says("it is the input")
            .says("name another file with -o");
    }
    assert_eq!(scene.read("jobs.csv"), jobs(3));
    assert_eq!(scene.requests(), 0);
}

#[test]
fn an_output_that_is_the_database_is_refused() {
    let scene = Scene::with_rows(3);
    let says = "it is the queue's database";
    scene
        .run("run jobs.csv -o promptmill.db")
        .exits(73)
        .says(says);
    assert_eq!(scene.requests(), 0);
    scene.run(RUN).exits(0);
    scene
        .run("export jobs.csv -o ./promptmill.db")
        .exits(73)
        .says(says);
    scene.run(RUN).exits(0).says("nothing to do");
}

#[test]
fn a_second_run_while_one_holds_the_queue() {
    let scene = Scene::with_rows(3);
    scene.provider.hold();
    let first = scene.start(RUN);
    scene.wait_for(1);
    for words in [RUN, "work", "import-results jobs.csv x.jsonl"] {
        scene
            .run(words)
            .exits(75)
            .says("another run holds the queue (process ")
            .says("promptmill status");
    }
    let status = scene.run("status --json").exits(0).json();
    assert_eq!(status["batches"][0]["running"], 1);
    let exported = scene.run("export jobs.csv").exits(0).stdout;
    assert_eq!(exported.matches("pending").count(), 3);
    scene.write("more.csv", &jobs(2));
    scene.run("import more.csv").exits(0);
    scene.provider.release();
    first.finish().exits(0);
    assert_eq!(scene.requests(), 3);
}

#[test]
fn a_database_that_is_not_ours_is_left_as_it_is() {
    let scene = Scene::with_rows(3);
    // A text, and the head of a SQLite file of somebody else's.
    let foreign = "this is a diary, not a database\n".repeat(200);
    scene.write("diary.db", &foreign);
    for words in ["status", "work", RUN, "export jobs.csv"] {
        scene
            .run(&format!("{words} --db diary.db"))
            .exits(74)
            .says("is not a promptmill database");
    }
    assert_eq!(scene.read("diary.db"), foreign);
    assert_eq!(scene.files(), ["diary.db", "jobs.csv"]);
}

#[test]
fn a_database_that_cannot_be_made() {
    let scene = Scene::with_rows(3);
    scene
        .run(&format!("{RUN} --db none/queue.db"))
        .exits(74)
        .says("make the directory first");
    scene
        .run(&format!("{RUN} --db ."))
        .exits(74)
        .says("this is a directory");
    assert_eq!(scene.requests(), 0);
}

#[test]
fn a_settings_file_with_a_mistake_is_named_with_its_line() {
    let scene = Scene::with_rows(3);
    scene.write("promptmill.toml", "model = \"gpt-4o\"\nconcurency = 4\n");
    scene
        .run(RUN)
        .exits(78)
        .says("promptmill.toml:2: ")
        .says("concurency");
    scene
        .run(&format!("{RUN} --config none.toml"))
        .exits(78)
        .says("none.toml");
    scene.write("promptmill.toml", "model = \"gpt-4o\"\nconcurrency = 4\n");
    scene.run(RUN).exits(0);
    assert_eq!(scene.sheet("out.csv").column("model"), ["gpt-4o"; 3]);
}

#[test]
fn a_key_that_can_be_none() {
    let scene = Scene::with_rows(3).keys(&["two words"]);
    scene.run(RUN).exits(77).says("key-1 is no key");
    assert_eq!(scene.requests(), 0);
    let scene = scene.keys(&[&format!("Bearer {KEY}")]);
    scene.run(RUN).exits(0);
    assert_eq!(scene.provider.ledger().of_key(KEY), 3);
}
