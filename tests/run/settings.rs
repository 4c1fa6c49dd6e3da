//! Where settings come from: shown with their origin, and told when they are wrong.

use promptmill::simulator::Config;

use crate::support::{KEY, Scene};

const FILE: &str = "\
# mine
model = \"gpt-4o\"
concurrency = 4
timeout = \"90s\"

[set]
temperature = 0
top_p = 1
";

fn origin(scene: &Scene, words: &str, name: &str) -> (String, String) {
    let shown = scene
        .run(&format!("config show --json {words}"))
        .exits(0)
        .json();
    let settings = shown["settings"].as_array().unwrap();
    let found = settings.iter().find(|setting| setting["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no {name} in {shown}"));
    let text = |part: &str| found[part].as_str().unwrap_or_default().to_owned();
    (text("value"), text("where"))
}

#[track_caller]
fn check(scene: &Scene, words: &str, name: &str, value: &str, from: &str) {
    let expected = (value.to_owned(), from.to_owned());
    assert_eq!(origin(scene, words, name), expected, "{name}");
}

#[test]
fn each_setting_is_shown_with_where_it_comes_from() {
    let scene = Scene::new(Config::default())
        .set("PROMPTMILL_RPM", "20")
        .set("PROMPTMILL_TIMEOUT", "5m");
    scene.write("promptmill.toml", FILE);
    let line = "--concurrency 8 --set temperature=1 --csv-raw";
    check(&scene, line, "model", "gpt-4o", "promptmill.toml:2");
    check(&scene, line, "concurrency", "8", "--concurrency");
    check(&scene, "", "concurrency", "4", "promptmill.toml:3");
    check(&scene, line, "rpm", "20", "PROMPTMILL_RPM");
    check(&scene, line, "timeout", "5m", "PROMPTMILL_TIMEOUT");
    check(&scene, line, "grace", "30s", "default");
    check(&scene, line, "csv-raw", "true", "--csv-raw");
    check(&scene, "", "csv-raw", "false", "default");
    check(&scene, line, "color", "auto", "default");
    check(&scene, line, "set.temperature", "1", "--set");
    check(&scene, line, "set.top_p", "1", "promptmill.toml:8");
    scene.write("other.toml", "\nmodel = \"m\"\n");
    check(&scene, "--config other.toml", "model", "m", "other.toml:2");
    let text = scene.run("config show").exits(0).stdout;
    assert!(text.contains("settings file: promptmill.toml\n"), "{text}");
}

#[test]
fn the_screen_and_the_logs_have_their_settings_in_the_file_too() {
    let scene = Scene::with_rows(1);
    scene.write(
        "promptmill.toml",
        "color = \"always\"\nlog-format = \"json\"\n",
    );
    scene.run("run none.csv").exits(66).says("\x1b[1;31merror:");
    let url = scene.provider.base_url();
    let words = format!("run jobs.csv --base-url {url}/chat/completions");
    let ran = scene.run(&words).exits(0);
    let log = ran.stderr.lines().find(|line| line.starts_with('{'));
    let log: serde_json::Value = serde_json::from_str(log.unwrap()).unwrap();
    assert_eq!(log["level"], "WARN");
    let ran = scene.run("run none.csv --color never").exits(66);
    assert!(ran.stderr.starts_with("error:"), "{}", ran.stderr);
}

#[test]
fn of_a_key_only_the_source_is_shown() {
    let scene = Scene::new(Config::default());
    scene.write("keys.txt", &format!("{KEY}\n"));
    for (words, shown) in [
        (
            "config show",
            "keys: 1 in the variable PROMPTMILL_API_KEYS\n",
        ),
        (
            "config show --api-key-file keys.txt",
            "keys: the file keys.txt\n",
        ),
        (
            "config show --api-key-command printenv",
            "keys: a command (api-key-command)\n",
        ),
    ] {
        let text = scene.run(words).exits(0).stdout;
        assert!(text.contains(shown) && !text.contains(KEY), "{text}");
    }
    scene.write(
        "promptmill.toml",
        "[[keys]]\nlabel = \"work\"\nenv = \"WORK_KEY\"\n[[keys]]\nfile = \"home.key\"\n",
    );
    let text = scene.run("config show").exits(0).stdout;
    assert!(
        text.contains("keys: work (variable WORK_KEY), key-2 (file home.key)\n"),
        "{text}"
    );
    let url = "https://anna:hunter2@example.com/v1";
    let text = scene
        .run(&format!("config show --base-url {url}"))
        .exits(0)
        .stdout;
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_name_that_is_none_is_told_with_the_one_that_was_meant() {
    let scene = Scene::with_rows(1);
    for (line, says) in [
        ("concurency = 4", "did you mean concurrency?"),
        ("base_url = \"x\"", "did you mean base-url?"),
        (
            "colour_of_the_sky = 1",
            "the names are those of the flags: ",
        ),
        ("api_key = \"x\"", "a key goes in as [[keys]]"),
        ("[[keys]]\nlable = \"a\"", "did you mean label?"),
    ] {
        scene.write("promptmill.toml", &format!("# mine\n{line}\n"));
        let at = 2 + line.matches('\n').count();
        for words in ["run jobs.csv", "config show"] {
            scene
                .run(words)
                .exits(78)
                .says(&format!("promptmill.toml:{at}: no setting is called"))
                .says(says);
        }
    }
    // What only reads about the program needs no settings.
    scene.run("completions bash").exits(0);
    scene.run("man run").exits(0);
    scene.run("config show --bogus").exits(2).says("--bogus");
}
