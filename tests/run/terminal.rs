//! What is drawn on a terminal: the bar while a run lasts, and the whole screen of `--watch`.

use promptmill::simulator::{Config, Reaction, Script};
use rustix::process::Signal;

use crate::pty::Pty;
use crate::support::{Scene, jobs};

/// Takes the whole screen, and gives it back.
const TAKE: &str = "\u{1b}[?1049h";
const GIVE_BACK: &str = "\u{1b}[?1049l";

/// A provider that never answers the third row, and five rows to ask.
fn stuck() -> Scene {
    let script = Script::new().on(|arrival| arrival.prompt == "question 3", Reaction::Hang);
    let scene = Scene::new(Config::default().script(script));
    scene.write("jobs.csv", &jobs(5));
    scene
}

#[test]
fn a_bar_is_drawn_while_a_run_lasts_and_nothing_of_it_stays() {
    let scene = stuck();
    let Some(mut run) = Pty::start(scene.command("run jobs.csv -o out.csv"), 80, 24) else {
        return;
    };
    run.wait_for("4/5 80%");
    run.wait_for("1 in flight");
    run.signal(Signal::INT);
    run.wait_for("stopping: 1 request in flight; once more stops at once");
    run.signal(Signal::INT);
    let (status, shown, _) = run.finish();
    assert_eq!(status.code(), Some(130), "{shown}");
    assert!(shown.contains("interrupted; 1 of 5 rows"), "{shown}");
    let bar = ['━', '─'];
    assert!(
        !shown.contains(bar) && !shown.contains("once more"),
        "{shown}"
    );
}

#[test]
fn where_no_color_is_wanted_none_is_drawn() {
    for (set, colors) in [("", true), ("1", false)] {
        let scene = stuck().set("NO_COLOR", set);
        let Some(mut run) = Pty::start(scene.command("run jobs.csv -o out.csv"), 40, 10) else {
            return;
        };
        run.wait_for("4/5 80%");
        run.signal(Signal::INT);
        run.wait_for("stopping");
        run.signal(Signal::INT);
        let (_, _, drawn) = run.finish();
        assert_eq!(drawn.contains("\u{1b}[1;32m"), colors, "{drawn:?}");
    }
}

#[test]
fn a_terminal_without_tricks_gets_lines_only() {
    let scene = Scene::with_rows(3);
    let mut command = scene.command("run jobs.csv -o out.csv");
    command.args(["--color", "auto"]);
    // The terminal sets TERM last.
    let mut wrapped = std::process::Command::new("env");
    wrapped
        .env_clear()
        .current_dir(scene.folder())
        .args(["TERM=dumb"]);
    for (name, value) in command.get_envs() {
        wrapped.env(name, value.unwrap_or_default());
    }
    wrapped.arg(command.get_program()).args(command.get_args());
    let Some(run) = Pty::start(wrapped, 80, 24) else {
        return;
    };
    let (status, _, drawn) = run.finish();
    assert_eq!(status.code(), Some(0), "{drawn}");
    assert!(
        !drawn.contains('\u{1b}') && drawn.contains("3 done"),
        "{drawn:?}"
    );
}

#[test]
fn watching_shows_the_batches_and_gives_the_screen_back() {
    for quit in ["q", "\u{3}"] {
        let scene = Scene::with_rows(5);
        scene.run("import jobs.csv").exits(0);
        let Some(mut watch) = Pty::start(scene.command("status --watch --interval 100ms"), 80, 24)
        else {
            return;
        };
        watch.wait_for("0/5 0%");
        assert!(!watch.is_usual(), "keys come at once");
        scene.run("run jobs.csv -o out.csv -q").exits(0);
        watch.wait_for("100%");
        watch.press(quit);
        let (status, _, drawn) = watch.finish();
        assert_eq!(status.code(), Some(0), "{drawn:?}");
        assert!(drawn.starts_with(TAKE), "{drawn:?}");
        assert!(drawn.contains(GIVE_BACK), "{drawn:?}");
    }
}

#[test]
fn watching_waits_for_a_database_and_ends_with_a_signal() {
    let scene = Scene::with_rows(5);
    let Some(mut watch) = Pty::start(scene.command("status --watch --interval 100ms"), 60, 10)
    else {
        return;
    };
    watch.wait_for("there is no database yet");
    assert_eq!(scene.files(), ["jobs.csv"], "it makes none");
    scene.run("import jobs.csv").exits(0);
    watch.wait_for("0/5");
    watch.signal(Signal::TERM);
    let (status, _, drawn) = watch.finish();
    assert_eq!(status.code(), Some(143), "{drawn:?}");
    assert!(drawn.contains(GIVE_BACK), "{drawn:?}");
}

#[test]
fn watching_needs_a_terminal() {
    let scene = Scene::with_rows(1);
    scene
        .run("status --watch")
        .exits(2)
        .says("needs a terminal");
    scene
        .run("status --watch --json")
        .exits(2)
        .says("use one of them");
    scene
        .run("status --watch --interval 1ms")
        .exits(2)
        .says("100ms");
    scene.run("status --interval 1s").exits(2).says("--watch");
}
