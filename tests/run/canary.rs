//! Every fault of a provider that repeats the key in every way it could: no form of it is left in
//! anything that the program writes, and every command may be asked afterwards.

use std::fs;

use promptmill::simulator::{Arrival, Config, Reaction, Script};

use crate::support::Scene;

/// Of no known form, and with characters that a URL spells otherwise.
const KEY: &str = "canary/7f3a9c2e+5b8d1046==";

/// What must not be found: parts of the key, and of what base64 and a URL make of it.
const MARKS: [&str; 5] = [
    "7f3a9c2e",
    "5b8d1046",
    "canary%2F",
    "canary%2f",
    // printf '%s' 'canary/7f3a9c2e+5b8d1046==' | base64
    "Y2FuYXJ5LzdmM2E5YzJlKzViOGQxMDQ2PT0",
];

/// All ways to say the key.
fn said(key: &str) -> String {
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
    let said = said(key);
    let error = serde_json::json!({"error": {"message": said, "code": said, "type": said,
        "param": said, "metadata": {"reason": said}}});
    raw(status, error.to_string())
}

/// The fault of this number; `None` when there are no more.
fn fault(number: usize, key: &str) -> Option<Reaction> {
    let statuses = [
        400, 401, 402, 403, 404, 413, 422, 429, 500, 503, 529, 418, 301,
    ];
    if let Some(status) = statuses.get(number) {
        return Some(json(*status, key));
    }
    let said = said(key);
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
            body: said,
        },
        1 => Reaction::Raw {
            status: 307,
            headers: vec![(
                "location".to_owned(),
                format!("http://127.0.0.1:1/?key={key}"),
            )],
            body: said,
        },
        2 => raw(502, format!("<html><body>{said}</body></html>")),
        3 => raw(200, format!("<html><body>{said}</body></html>")),
        4 => raw(200, said),
        5 => raw(200, format!(r#"{{"{key}":1}}"#)),
        6 => raw(200, format!(r#"{{"error":{{"message":"{said}"}}}}"#)),
        7 => raw(200, choice(&format!(r#""message":{{"refusal":"{said}"}}"#))),
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
        10 => raw(200, format!("data: {said}")),
        11 => Reaction::HalfBody,
        12 => Reaction::Reset,
        13 => Reaction::Hang,
        _ => return None,
    })
}

/// Looks for what is left of the key.
#[track_caller]
fn check(what: &str, bytes: &[u8]) {
    for mark in MARKS {
        let found = bytes
            .windows(mark.len())
            .any(|part| part == mark.as_bytes());
        let text = String::from_utf8_lossy(bytes);
        assert!(!found, "{mark} in {what}:\n{text}");
    }
}

#[test]
fn no_fault_leaves_the_key_anywhere() {
    let mut number = 0;
    while fault(number, KEY).is_some() {
        let rule = move |arrival: &Arrival<'_>| fault(number, arrival.key);
        let config = Config::default().script(Script::new().rule(rule));
        let scene = Scene::new(config).keys(&[KEY]);
        scene.write("jobs.csv", "prompt\na\nb\n");
        let run = "run jobs.csv -o out.csv --timeout 300ms --max-attempts 2 --max-wait 0s --max-outage 0s";
        for words in [
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
            let ran = scene.run(words);
            check(
                &format!("fault {number}, stdout of {words}"),
                ran.stdout.as_bytes(),
            );
            check(
                &format!("fault {number}, stderr of {words}"),
                ran.stderr.as_bytes(),
            );
        }
        assert!(scene.requests() > 0);
        for name in scene.files() {
            let bytes = fs::read(scene.path(&name)).unwrap();
            check(&format!("fault {number}, {name}"), &bytes);
        }
        number += 1;
    }
    assert_eq!(number, 27);
}
