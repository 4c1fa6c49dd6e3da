//! Terminal output: the progress bar, and the screen of `status --watch`.

use promptmill::simulator::{Config, Reaction, Script};
use rustix::process::Signal;

use crate::pty::Pty;
use crate::support::{TestEnv, jobs};

/// Escape sequences that enter and leave the alternate screen.
const ENTER_SCREEN: &str = "\u{1b}[?1049h";
const LEAVE_SCREEN: &str = "\u{1b}[?1049l";

/// Five rows, and a provider that never responds to the third.
fn env_with_hanging_row() -> TestEnv {
    let script = Script::new().on(|request| request.prompt == "question 3", Reaction::Hang);
    let env = TestEnv::new(Config::default().script(script));
    env.write("jobs.csv", &jobs(5));
    env
}

#[test]
fn the_progress_bar_is_removed_at_the_end() {
    let env = env_with_hanging_row();
    let Some(mut run) = Pty::start(env.command("run jobs.csv -o out.csv"), 80, 24) else {
        return;
    };
    run.wait_for("4/5 80%");
    run.wait_for("1 in flight");
    run.signal(Signal::INT);
    run.wait_for("stopping: 1 request in flight; press Ctrl-C again to abort");
    run.signal(Signal::INT);
    let (status, shown, _) = run.finish();
    assert_eq!(status.code(), Some(130), "{shown}");
    assert!(shown.contains("interrupted; 1 of 5 rows"), "{shown}");
    let bar = ['━', '─'];
    assert!(!shown.contains(bar) && !shown.contains("Ctrl-C"), "{shown}");
}

#[test]
fn no_color_disables_color() {
    for (set, colors) in [("", true), ("1", false)] {
        let env = env_with_hanging_row().set_var("NO_COLOR", set);
        let Some(mut run) = Pty::start(env.command("run jobs.csv -o out.csv"), 40, 10) else {
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
fn a_dumb_terminal_gets_plain_lines() {
    let env = TestEnv::with_rows(3);
    let mut command = env.command("run jobs.csv -o out.csv");
    command.args(["--color", "auto"]);
    // `Pty` sets TERM, so the command `env` overrides it.
    let mut wrapped = std::process::Command::new("env");
    wrapped
        .env_clear()
        .current_dir(env.dir())
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
fn watch_shows_batches_and_restores_the_screen() {
    for quit in ["q", "\u{3}"] {
        let env = TestEnv::with_rows(5);
        env.run("import jobs.csv").exits(0);
        let Some(mut watch) = Pty::start(env.command("status --watch --interval 100ms"), 80, 24)
        else {
            return;
        };
        watch.wait_for("0/5 0%");
        assert!(!watch.is_cooked(), "line editing is still enabled");
        env.run("run jobs.csv -o out.csv -q").exits(0);
        watch.wait_for("100%");
        watch.press(quit);
        let (status, _, drawn) = watch.finish();
        assert_eq!(status.code(), Some(0), "{drawn:?}");
        assert!(drawn.starts_with(ENTER_SCREEN), "{drawn:?}");
        assert!(drawn.contains(LEAVE_SCREEN), "{drawn:?}");
    }
}

#[test]
fn watch_waits_for_a_database_and_stops_on_sigterm() {
    let env = TestEnv::with_rows(5);
    let Some(mut watch) = Pty::start(env.command("status --watch --interval 100ms"), 60, 10) else {
        return;
    };
    watch.wait_for("no database yet");
    assert_eq!(env.files(), ["jobs.csv"], "a database was created");
    env.run("import jobs.csv").exits(0);
    watch.wait_for("0/5");
    watch.signal(Signal::TERM);
    let (status, _, drawn) = watch.finish();
    assert_eq!(status.code(), Some(143), "{drawn:?}");
    assert!(drawn.contains(LEAVE_SCREEN), "{drawn:?}");
}

#[test]
fn watch_requires_a_terminal() {
    let env = TestEnv::with_rows(1);
    env.run("status --watch")
        .exits(2)
        .stderr_contains("requires a terminal");
    env.run("status --watch --json")
        .exits(2)
        .stderr_contains("cannot be combined with --json");
    env.run("status --watch --interval 1ms")
        .exits(2)
        .stderr_contains("100ms");
    env.run("status --interval 1s")
        .exits(2)
        .stderr_contains("--watch");
}
