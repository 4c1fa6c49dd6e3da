//! The page to look back at a batch: whole, true, harmless, and fit to be looked at.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use promptmill::simulator::{Config, Reaction, Script};

use crate::support::Scene;

/// A message that a browser would act on, were it not escaped.
const MARKUP: &str = "<script>alert(1)</script><img src=x onerror='alert(\"2\")'> & \u{202e}no";

/// Five rows: one is throttled and one stumbles before they are answered, one is refused for good.
fn mixed() -> Scene {
    let refusal = serde_json::json!({
        "error": {"message": MARKUP, "type": "invalid_request_error", "code": "context_length_exceeded"}
    });
    let first = |prompt: &'static str, reaction: Reaction| {
        move |arrival: &promptmill::simulator::Arrival<'_>| {
            (arrival.prompt == prompt && arrival.turn == 1).then(|| reaction.clone())
        }
    };
    let script = Script::new()
        .rule(first("two", Reaction::Status(500)))
        .rule(first(
            "three",
            Reaction::RateLimited(Duration::from_secs(1)),
        ))
        .on(
            |arrival| arrival.prompt == "four",
            Reaction::Json(400, refusal.to_string()),
        );
    let scene = Scene::new(Config::default().script(script));
    scene.write("a&b.csv", "prompt\none\ntwo\nthree\nfour\nfive\n");
    scene
}

/// Holds a page to be one whole document: every element that is opened is closed in its turn.
#[track_caller]
fn is_whole(page: &str) {
    const EMPTY: [&str; 4] = ["meta", "line", "rect", "circle"];
    let (start, style) = (
        page.find("<style>").unwrap(),
        page.find("</style>").unwrap(),
    );
    let text = format!("{}{}", &page[..start], &page[style + "</style>".len()..]);
    let mut open = Vec::new();
    for tag in text.split('<').skip(1) {
        let (tag, after) = tag.split_once('>').expect("a tag ends");
        assert!(!after.contains('>'), "a loose sign after {tag}");
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap();
        if tag.starts_with('!') || EMPTY.contains(&name) || tag.ends_with('/') {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "closed in its turn");
        } else {
            open.push(name);
        }
    }
    assert_eq!(open, [""; 0], "all is closed");
}

#[test]
fn a_report_tells_what_happened_and_nothing_in_it_acts() {
    let scene = mixed();
    scene
        .run("run a&b.csv -o out.csv --model gpt-4o-mini")
        .exits(3);
    scene
        .run("report a&b.csv")
        .exits(0)
        .says("report of a&b.csv: a&b.report.html");
    let page = scene.read("a&b.report.html");
    is_whole(&page);
    for expected in [
        "<h1>a&amp;b.csv</h1>",
        "4 answered, 1 failed, 0 left",
        "1 met a limit, 2 failed otherwise, 0 without a known end",
        "Waits that providers asked for",
        "<td>gpt-4o-mini</td><td>4</td>",
        "&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=&#39;alert(&quot;2&quot;)&#39;&gt; &amp; \\u{202e}no",
        "prefers-color-scheme: dark",
        "@media print",
    ] {
        assert!(page.contains(expected), "no {expected:?} in:\n{page}");
    }
    for banned in [
        "<script", "<img", "http://", "https://", "url(", "@import", "sk-", "src=\"",
    ] {
        assert!(!page.contains(banned), "{banned:?} in:\n{page}");
    }
    let sheet = scene.sheet("out.csv");
    let completion = sheet.cell(1, "response");
    assert!(
        !completion.is_empty() && !page.contains(completion),
        "no answer is in the page"
    );
}

#[test]
fn a_report_is_made_before_and_between_runs_and_as_data() {
    let scene = mixed();
    scene
        .run("report a&b.csv")
        .exits(66)
        .says("there is no database");
    scene.run("import a&b.csv").exits(0);
    scene.run("report nothing.csv").exits(66).says("a&b.csv");
    let page = scene.run("report a&b.csv -o -").exits(0);
    is_whole(&page.stdout);
    assert_eq!(page.stderr, "");
    assert!(
        page.stdout.contains("nothing was asked yet"),
        "{}",
        page.stdout
    );
    let told = scene
        .run("report a&b.csv -o page.html --json")
        .exits(0)
        .json();
    assert_eq!(
        told,
        serde_json::json!({"batch": "a&b.csv", "report": "page.html"})
    );
    scene
        .run("report a&b.csv -o promptmill.db")
        .exits(73)
        .says("it is the queue's database");
    scene
        .run("report a&b.csv -o missing/page.html")
        .exits(73)
        .says("mkdir");
}

#[test]
fn a_made_up_batch_says_so() {
    let scene = mixed();
    scene.run("run a&b.csv -o out.csv --simulate").exits(0);
    let page = scene.run("report a&b.csv -o -").exits(0).stdout;
    assert!(page.contains("Simulated: no provider was asked"), "{page}");
    assert!(page.contains("if it were asked for real"), "{page}");
}

/// Finds a browser that takes pictures without a screen.
fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    let paths = names.iter().map(|name| Path::new("/usr/bin").join(name));
    paths.into_iter().find(|path| path.exists())
}

#[test]
fn a_browser_draws_it() {
    let Some(browser) = browser() else {
        println!("no browser is there: no picture was taken");
        return;
    };
    let scene = mixed();
    scene
        .run("run a&b.csv -o out.csv --model gpt-4o-mini")
        .exits(3);
    scene.run("report a&b.csv -o page.html").exits(0);
    let address = format!("file://{}", scene.path("page.html").display());
    let profile = format!("--user-data-dir={}", scene.path("profile").display());
    let drawn = Command::new("timeout")
        .arg("60")
        .arg(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .args([
            &profile,
            "--window-size=1100,1800",
            "--screenshot=page.png",
            &address,
        ])
        .current_dir(scene.folder())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let picture = scene.path("page.png");
    if !drawn.is_ok_and(|status| status.success()) || !picture.exists() {
        println!("the browser did not start here: no picture was taken");
        return;
    }
    let picture = std::fs::read(picture).unwrap();
    assert_eq!(&picture[..8], b"\x89PNG\r\n\x1a\n");
    // An empty page of this size has a tenth of it.
    assert!(picture.len() > 50_000, "{} bytes", picture.len());
}
