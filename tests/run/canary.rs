//! Provider errors that echo the API key in every encoding: no form of it appears in any output or
//! file.

use std::fs;

use promptmill::simulator::{Config, IncomingRequest, Reaction, Script};

use crate::support::TestEnv;

/// A key in no known format, with characters that are percent-encoded in URLs.
const KEY: &str = "canary/7f3a9c2e+5b8d1046==";

/// Parts of the key and its encodings that must not be found.
const LEAKS: [&str; 5] = [
    "7f3a9c2e",
    "5b8d1046",
    "canary%2F",
    "canary%2f",
    // printf '%s' 'canary/7f3a9c2e+5b8d1046==' | base64
    "Y2FuYXJ5LzdmM2E5YzJlKzViOGQxMDQ2PT0",
];

/// Returns a text with the key in all encodings.
fn echoed(key: &str) -> String {
    let percent = key
        .replace('/', "%2F")
        .replace('+', "%2B")
        .replace('=', "%3D");
    format!(
        "key {key} (Bearer {key}; ?key={percent}; Basic Y2FuYXJ5LzdmM2E5YzJlKzViOGQxMDQ2PT0=; {}***)",
        &key[..12]
    )
}

fn raw(status: u16, body: String) -> Reaction {
    Reaction::Raw {
        status,
        headers: vec![],
        body,
    }
}

fn json(status: u16, key: &str) -> Reaction {
    let text = echoed(key);
    let error = serde_json::json!({"error": {"message": text, "code": text, "type": text,
        "param": text, "metadata": {"reason": text}}});
    raw(status, error.to_string())
}

/// Returns the fault with this number; `None` if there are no more.
fn fault(number: usize, key: &str) -> Option<Reaction> {
    let statuses = [
        400, 401, 402, 403, 404, 413, 422, 429, 500, 503, 529, 418, 301,
    ];
    if let Some(status) = statuses.get(number) {
        return Some(json(*status, key));
    }
    let text = echoed(key);
    let headers = [
        "x-request-id",
        "server",
        "retry-after",
        "location",
        "x-ratelimit-reset-requests",
    ]
    .map(|name| (name.to_owned(), key.to_owned()));
    let choice = |fields: &str| format!(r#"{{"model":"{key}","choices":[{{{fields}}}]}}"#);
    Some(match number - statuses.len() {
        0 => Reaction::Raw {
            status: 403,
            headers: headers.to_vec(),
            body: text,
        },
        1 => Reaction::Raw {
            status: 307,
            headers: vec![(
                "location".to_owned(),
                format!("http://127.0.0.1:1/?key={key}"),
            )],
            body: text,
        },
        2 => raw(502, format!("<html><body>{text}</body></html>")),
        3 => raw(200, format!("<html><body>{text}</body></html>")),
        4 => raw(200, text),
        5 => raw(200, format!(r#"{{"{key}":1}}"#)),
        6 => raw(200, format!(r#"{{"error":{{"message":"{text}"}}}}"#)),
        7 => raw(200, choice(&format!(r#""message":{{"refusal":"{text}"}}"#))),
        8 => raw(
            200,
            choice(&format!(r#""finish_reason":"{key}","message":{{}}"#)),
        ),
        9 => raw(
            200,
            choice(&format!(
                r#""finish_reason":"{key}","message":{{"content":"{key}"}}"#
            )),
        ),
        10 => raw(200, format!("data: {text}")),
        11 => Reaction::HalfBody,
        12 => Reaction::Reset,
        13 => Reaction::Hang,
        _ => return None,
    })
}

/// Asserts that the bytes contain no part of the key.
#[track_caller]
fn assert_no_leak(name: &str, bytes: &[u8]) {
    for leak in LEAKS {
        let found = bytes
            .windows(leak.len())
            .any(|part| part == leak.as_bytes());
        let text = String::from_utf8_lossy(bytes);
        assert!(!found, "{leak} found in {name}:\n{text}");
    }
}

#[test]
fn no_error_leaks_the_api_key() {
    let mut number = 0;
    while fault(number, KEY).is_some() {
        let rule = move |request: &IncomingRequest<'_>| fault(number, request.key);
        let config = Config::default().script(Script::new().rule(rule));
        let env = TestEnv::new(config).keys(&[KEY]);
        env.write("jobs.csv", "prompt\na\nb\n");
        let run = "run jobs.csv -o out.csv --timeout 300ms --max-attempts 2 --max-wait 0s --max-outage 0s";
        for args in [
            &format!("{run} -vvv --log-format json"),
            &format!("{run} --json -vv"),
            "doctor --timeout 300ms",
            "status --json",
            "keys list --json",
            "failures jobs.csv --json",
            "failures jobs.csv",
            "show jobs.csv 1",
            "show jobs.csv 2 --json",
            "report jobs.csv -o report.html",
            "export jobs.csv -o out.jsonl",
            "export jobs.csv --output-format batch",
            "export jobs.csv --remainder rest.jsonl",
            "config show",
            "verify",
        ] {
            let output = env.run(args);
            assert_no_leak(
                &format!("fault {number}, stdout of {args}"),
                output.stdout.as_bytes(),
            );
            assert_no_leak(
                &format!("fault {number}, stderr of {args}"),
                output.stderr.as_bytes(),
            );
        }
        assert!(env.requests() > 0);
        for name in env.files() {
            let bytes = fs::read(env.path(&name)).unwrap();
            assert_no_leak(&format!("fault {number}, {name}"), &bytes);
        }
        number += 1;
    }
    assert_eq!(number, 27);
}
