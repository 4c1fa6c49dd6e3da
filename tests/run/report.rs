//! The HTML report: it is well-formed, correct and escaped, and a browser renders it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use promptmill::simulator::{Config, Reaction, Script};

use crate::support::TestEnv;

/// A message that a browser would execute if it were not escaped.
const MARKUP: &str = "<script>alert(1)</script><img src=x onerror='alert(\"2\")'> & \u{202e}no";

/// Five rows: the first request is rate limited for one and gets a server error for another; one
/// row fails permanently.
fn env_with_failures() -> TestEnv {
    let refusal = serde_json::json!({
        "error": {"message": MARKUP, "type": "invalid_request_error", "code": "context_length_exceeded"}
    });
    let first = |prompt: &'static str, reaction: Reaction| {
        move |request: &promptmill::simulator::IncomingRequest<'_>| {
            (request.prompt == prompt && request.prompt_count == 1).then(|| reaction.clone())
        }
    };
    let script = Script::new()
        .rule(first("two", Reaction::Status(500)))
        .rule(first(
            "three",
            Reaction::RateLimited(Duration::from_secs(1)),
        ))
        .on(
            |request| request.prompt == "four",
            Reaction::Json(400, refusal.to_string()),
        );
    let env = TestEnv::new(Config::default().script(script));
    env.write("a&b.csv", "prompt\none\ntwo\nthree\nfour\nfive\n");
    env
}

/// Asserts that the page is well-formed: elements are closed in the right order.
#[track_caller]
fn assert_well_formed(page: &str) {
    const VOID_ELEMENTS: [&str; 4] = ["meta", "line", "rect", "circle"];
    let (start, style) = (
        page.find("<style>").unwrap(),
        page.find("</style>").unwrap(),
    );
    let text = format!("{}{}", &page[..start], &page[style + "</style>".len()..]);
    let mut open = Vec::new();
    for tag in text.split('<').skip(1) {
        let (tag, after) = tag.split_once('>').expect("tags are closed");
        assert!(!after.contains('>'), "unescaped > after {tag}");
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap();
        if tag.starts_with('!') || VOID_ELEMENTS.contains(&name) || tag.ends_with('/') {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(
                open.pop(),
                Some(name),
                "elements are closed in the wrong order"
            );
        } else {
            open.push(name);
        }
    }
    assert_eq!(open, [""; 0], "unclosed elements");
}

#[test]
fn a_report_is_complete_and_escaped() {
    let env = env_with_failures();
    env.run("run a&b.csv -o out.csv --model gpt-4o-mini")
        .exits(3);
    env.run("report a&b.csv")
        .exits(0)
        .stderr_contains("report of a&b.csv: a&b.report.html");
    let page = env.read("a&b.report.html");
    assert_well_formed(&page);
    for expected in [
        "<h1>a&amp;b.csv</h1>",
        "4 done, 1 failed, 0 remaining",
        "1 rate limited, 2 other failures, 0 with an unknown result",
        "Wait times requested by the provider",
        "<td>gpt-4o-mini</td><td>4</td>",
        "&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=&#39;alert(&quot;2&quot;)&#39;&gt; &amp; \\u{202e}no",
        "prefers-color-scheme: dark",
        "@media print",
    ] {
        assert!(
            page.contains(expected),
            "{expected:?} not found in:\n{page}"
        );
    }
    for banned in [
        "<script", "<img", "http://", "https://", "url(", "@import", "sk-", "src=\"",
    ] {
        assert!(!page.contains(banned), "{banned:?} found in:\n{page}");
    }
    let results = env.results("out.csv");
    let completion = results.cell(1, "response");
    assert!(
        !completion.is_empty() && !page.contains(completion),
        "the page contains a response"
    );
}

#[test]
fn a_report_can_be_created_before_a_run_and_with_json_output() {
    let env = env_with_failures();
    env.run("report a&b.csv")
        .exits(66)
        .stderr_contains("no database at");
    env.run("import a&b.csv").exits(0);
    env.run("report nothing.csv")
        .exits(66)
        .stderr_contains("a&b.csv");
    let page = env.run("report a&b.csv -o -").exits(0);
    assert_well_formed(&page.stdout);
    assert_eq!(page.stderr, "");
    assert!(page.stdout.contains("no requests yet"), "{}", page.stdout);
    let json = env
        .run("report a&b.csv -o page.html --json")
        .exits(0)
        .json();
    assert_eq!(
        json,
        serde_json::json!({"batch": "a&b.csv", "report": "page.html"})
    );
    env.run("report a&b.csv -o promptmill.db")
        .exits(73)
        .stderr_contains("it is the database");
    env.run("report a&b.csv -o missing/page.html")
        .exits(73)
        .stderr_contains("mkdir");
}

#[test]
fn a_simulated_batch_is_marked() {
    let env = env_with_failures();
    env.run("run a&b.csv -o out.csv --simulate").exits(0);
    let page = env.run("report a&b.csv -o -").exits(0).stdout;
    assert!(
        page.contains("Simulated responses: no provider was called"),
        "{page}"
    );
    assert!(page.contains("<p>not charged</p>"), "{page}");
}

/// Finds a browser with a headless mode.
fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    let paths = names.iter().map(|name| Path::new("/usr/bin").join(name));
    paths.into_iter().find(|path| path.exists())
}

#[test]
fn a_browser_renders_the_report() {
    let Some(browser) = browser() else {
        println!("skipped: no browser found");
        return;
    };
    let env = env_with_failures();
    env.run("run a&b.csv -o out.csv --model gpt-4o-mini")
        .exits(3);
    env.run("report a&b.csv -o page.html").exits(0);
    let address = format!("file://{}", env.path("page.html").display());
    let profile = format!("--user-data-dir={}", env.path("profile").display());
    let status = Command::new("timeout")
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
        .current_dir(env.dir())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let screenshot = env.path("page.png");
    if !status.is_ok_and(|status| status.success()) || !screenshot.exists() {
        println!("skipped: the browser did not start");
        return;
    }
    let screenshot = std::fs::read(screenshot).unwrap();
    assert_eq!(&screenshot[..8], b"\x89PNG\r\n\x1a\n");
    // A screenshot of an empty page is a tenth of this size.
    assert!(screenshot.len() > 50_000, "{} bytes", screenshot.len());
}
