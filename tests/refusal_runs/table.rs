//! One run for each kind of refusal, with five keys and with one: who is at fault pays, and nobody
//! else.

use promptmill::domain::job::JobState;
use promptmill::simulator::{Arrival, KeyRefusal, Reaction, Script};

use crate::bench::{Bench, Ran, error, prompt, secret, throttled, unknown_403};

/// What a run may cost.
struct Cost<'a> {
    /// The least and the most requests.
    requests: (u64, u64),
    /// The keys that are out in the end.
    out: &'a [(usize, &'a str)],
    /// The rows that have failed.
    lost: &'a [usize],
    /// How the run ends; `done` leaves no row.
    end: &'a str,
}

const NOTHING: Cost<'_> = Cost {
    requests: (0, 0),
    out: &[],
    lost: &[],
    end: "done",
};

async fn check(name: &str, (keys, jobs): (usize, usize), script: Script, cost: &Cost<'_>) -> Ran {
    let bench = Bench::new(keys, jobs, script).await;
    let ran = bench.run().await;
    let name = format!("{name}, {keys} keys");
    ran.account(&name);
    let (least, most) = cost.requests;
    assert!(
        (least..=most).contains(&ran.requests),
        "{name}: {} requests, not {least} to {most}",
        ran.requests
    );
    assert_eq!(ran.out(), cost.out, "{name}: keys out");
    assert_eq!(ran.rows(JobState::Failed), cost.lost, "{name}: rows lost");
    assert_eq!(ran.end(), cost.end, "{name}: {}", ran.said());
    let left = ran.rows(JobState::Pending).len();
    assert_eq!(left == 0, cost.end == "done", "{name}: {left} rows left");
    ran
}

fn for_rows(rows: &'static [usize], reaction: Reaction) -> Script {
    let asks = move |arrival: &Arrival<'_>| rows.iter().any(|row| arrival.prompt == prompt(*row));
    Script::new().on(asks, reaction)
}

/// A key is at fault: with others there it costs one request, alone it ends the run.
async fn key_at_fault(name: &str, refusal: Reaction, state: &str) {
    let script = Script::new().for_key(secret(0), refusal);
    let one_more = Cost {
        requests: (201, 201),
        out: &[(0, state)],
        ..NOTHING
    };
    check(name, (5, 200), script.clone(), &one_more).await;
    let alone = Cost {
        requests: (1, 1),
        out: &[(0, state)],
        end: "no key",
        ..NOTHING
    };
    let ran = check(name, (1, 200), script, &alone).await;
    assert!(ran.said().contains("key-00"), "{}", ran.said());
}

/// Rows are at fault, and say so: no request more than rows.
async fn rows_at_fault(name: &str, refusal: Reaction, rows: &'static [usize]) {
    let script = for_rows(rows, refusal);
    let cost = Cost {
        requests: (200, 200),
        lost: rows,
        ..NOTHING
    };
    check(name, (5, 200), script.clone(), &cost).await;
    check(name, (1, 200), script, &cost).await;
}

/// Everything is refused: the run ends after a request a key, loses nothing and says what to do.
async fn all_at_fault(name: &str, refusal: Reaction, end: &str) {
    let script = Script::new().always(refusal);
    for (keys, most) in [(5, 5), (1, 2), (12, 8)] {
        let cost = Cost {
            requests: (1, most),
            end,
            ..NOTHING
        };
        let ran = check(name, (keys, 2000), script.clone(), &cost).await;
        for part in ["m-1", "http://127.0.0.1", "key-0"] {
            assert!(ran.said().contains(part), "{name}: {}", ran.said());
        }
        assert!(ran.said().lines().count() >= 3, "{name}: {}", ran.said());
    }
}

#[tokio::test]
async fn an_invalid_key_costs_one_request() {
    let refusal = Reaction::Refuse(KeyRefusal::Invalid);
    key_at_fault("invalid key", refusal, "dead").await;
}

#[tokio::test]
async fn a_disabled_key_costs_one_request() {
    let refusal = Reaction::Refuse(KeyRefusal::Disabled);
    key_at_fault("disabled key", refusal, "quarantined").await;
}

#[tokio::test]
async fn a_bare_401_costs_one_request() {
    key_at_fault("bare 401", error(401, "", "", ""), "quarantined").await;
}

#[tokio::test]
async fn an_exhausted_account_costs_one_request() {
    let refusal = Reaction::Refuse(KeyRefusal::NoQuota);
    key_at_fault("exhausted account", refusal, "exhausted").await;
}

#[tokio::test]
async fn no_balance_as_402_costs_one_request() {
    let refusal = Reaction::Refuse(KeyRefusal::NoBalance);
    key_at_fault("balance as 402", refusal, "exhausted").await;
}

#[tokio::test]
async fn a_spend_limit_as_429_costs_one_request() {
    let text = "Your project has reached its monthly spend limit.";
    let refusal = error(429, text, "billing", "project_spend_limit_exceeded");
    key_at_fault("spend limit as 429", refusal, "exhausted").await;
}

#[tokio::test]
async fn a_balance_as_400_costs_one_request() {
    let text = "Your credit balance is too low to access the API.";
    let refusal = error(400, text, "invalid_request_error", "");
    key_at_fault("balance as 400", refusal, "exhausted").await;
}

#[tokio::test]
async fn a_model_that_one_key_may_not_use_costs_one_request() {
    let text = "Project `proj_x` does not have access to model `m-1`";
    let refusal = error(403, text, "invalid_request_error", "model_not_found");
    key_at_fault("model not for one key", refusal, "quarantined").await;
}

#[tokio::test]
async fn moderation_costs_the_row_only() {
    let text = "Your input was flagged by our content policy.";
    let refusal = error(403, text, "", "content_policy_violation");
    rows_at_fault("moderation of two rows", refusal, &[7, 100]).await;
}

#[tokio::test]
async fn a_request_too_large_as_429_costs_the_row_only() {
    let text = "Request too large for m-1 on tokens per min (TPM): Limit 10000, Requested 20000.";
    let refusal = error(429, text, "tokens", "rate_limit_exceeded");
    rows_at_fault("request too large as 429", refusal, &[9]).await;
}

#[tokio::test]
async fn an_unknown_refusal_of_one_row_costs_three_requests_and_no_key() {
    for rows in [&[50_usize][..], &[0], &[199], &[0, 1], &[60, 61, 62]] {
        let rows: &'static [usize] = rows.to_vec().leak();
        let many = rows.len() as u64;
        let cost = Cost {
            requests: (200, 200 + 2 * many),
            lost: rows,
            ..NOTHING
        };
        let name = format!("unknown 403 for rows {rows:?}");
        let ran = check(&name, (5, 200), for_rows(rows, unknown_403()), &cost).await;
        for row in rows {
            assert!(ran.ledger.of_prompt(&prompt(*row)) <= 3, "{name}");
        }
        if rows != [0, 1] {
            check(&name, (1, 200), for_rows(rows, unknown_403()), &cost).await;
        }
    }
}

#[tokio::test]
async fn a_wrong_endpoint_stops_the_run() {
    let refusal = error(404, "Invalid URL (POST /v1/chat)", "", "");
    all_at_fault("wrong endpoint", refusal, "misconfigured").await;
}

#[tokio::test]
async fn a_wrong_model_stops_the_run() {
    let text = "The model `m-1` does not exist or you do not have access to it.";
    let refusal = error(404, text, "invalid_request_error", "model_not_found");
    all_at_fault("wrong model", refusal, "misconfigured").await;
}

#[tokio::test]
async fn a_free_list_that_lacks_the_model_stops_the_run() {
    let text = "免费API限制使用deepseek-r1，gpt-4o-mini和embeddings模型";
    all_at_fault("free list", error(403, text, "", ""), "misconfigured").await;
}

#[tokio::test]
async fn a_country_that_is_not_served_stops_the_run() {
    let refusal = Reaction::Refuse(KeyRefusal::Country);
    all_at_fault("country", refusal, "no key").await;
}

#[tokio::test]
async fn a_firewall_page_stops_the_run() {
    let body = "<!DOCTYPE html><title>Attention Required! | Cloudflare</title>".to_owned();
    let headers = vec![("content-type".to_owned(), "text/html".to_owned())];
    let page = Reaction::Raw {
        status: 403,
        headers,
        body,
    };
    all_at_fault("Cloudflare page", page, "no key").await;
}

#[tokio::test]
async fn an_address_that_is_not_allowed_stops_the_run() {
    let refusal = error(401, "Your IP is not authorized for this project", "", "");
    all_at_fault("IP not allowed", refusal, "no key").await;
}

#[tokio::test]
async fn an_unknown_refusal_of_everything_stops_the_run() {
    all_at_fault("unknown 403 for all", unknown_403(), "no key").await;
}

#[tokio::test]
async fn refusals_that_differ_each_time_stop_the_run() {
    let script = Script::new().rule(|arrival| {
        let words = ["zebra", "yak", "xerus", "wombat", "viper", "urchin", "toad"];
        let n = usize::try_from(arrival.number).unwrap();
        let text = format!(
            "{} {} {}",
            words[n % 7],
            words[n / 7 % 7],
            words[n / 49 % 7]
        );
        Some(error(403, &text, "odd", ""))
    });
    for keys in [1, 5] {
        let cost = Cost {
            requests: (2, 24),
            end: "no key",
            ..NOTHING
        };
        check("texts that differ", (keys, 2000), script.clone(), &cost).await;
    }
}

#[tokio::test]
async fn two_bad_keys_and_a_good_one_with_the_same_text() {
    let bad = |arrival: &Arrival<'_>| arrival.key != secret(2);
    let script = Script::new().on(bad, unknown_403());
    let cost = Cost {
        requests: (202, 204),
        out: &[(0, "quarantined"), (1, "quarantined")],
        ..NOTHING
    };
    check("2 bad keys + 1 good", (3, 200), script, &cost).await;
}

#[tokio::test]
async fn all_keys_invalid_costs_a_request_each() {
    let script = Script::new().always(Reaction::Refuse(KeyRefusal::Invalid));
    let cost = Cost {
        requests: (5, 5),
        out: &[0, 1, 2, 3, 4].map(|key| (key, "dead")),
        end: "no key",
        ..NOTHING
    };
    check("all keys invalid", (5, 2000), script, &cost).await;
}

#[tokio::test]
async fn all_accounts_exhausted_costs_a_request_each() {
    let script = Script::new().always(Reaction::Refuse(KeyRefusal::NoQuota));
    let cost = Cost {
        requests: (5, 5),
        out: &[0, 1, 2, 3, 4].map(|key| (key, "exhausted")),
        end: "no key",
        ..NOTHING
    };
    check("all accounts exhausted", (5, 2000), script, &cost).await;
}

#[tokio::test]
async fn a_refusal_that_goes_away_costs_nothing_but_requests() {
    let script = Script::new().first_n(3, unknown_403());
    let cost = Cost {
        requests: (203, 203),
        ..NOTHING
    };
    check("stale session", (5, 200), script.clone(), &cost).await;
    let one = Script::new().first_n(1, unknown_403());
    let lone = Cost {
        requests: (200, 200),
        lost: &[0],
        ..NOTHING
    };
    check("stale session", (1, 200), one, &lone).await;
}

#[tokio::test]
async fn a_daily_quota_for_all_ends_the_run_and_the_next_one_sends_nothing() {
    let texts = [
        ("免费API限制每日200次请求，请00:00后再试", ""),
        (
            "Rate limit reached: 200 requests per day (RPD)",
            "rate_limit_exceeded",
        ),
    ];
    for (text, code) in texts {
        for keys in [1, 5] {
            let refusal = error(429, text, "", code);
            let used_up = move |arrival: &Arrival<'_>| arrival.number > 50;
            let bench = Bench::new(keys, 200, Script::new().on(used_up, refusal)).await;
            let ran = bench.run().await;
            ran.account(&format!("daily quota, {keys} keys"));
            assert_eq!(ran.end(), "quota", "{}", ran.said());
            // What was in flight when the first was refused, and one for each key.
            assert!(ran.requests <= 50 + 8 + keys as u64, "{}", ran.requests);
            assert_eq!(ran.rows(JobState::Done).len(), 50);
            assert!(ran.rows(JobState::Failed).is_empty());
            assert!(ran.stats.resume_at.is_some());
            let again = bench.run().await;
            again.account(&format!("the same day again, {keys} keys"));
            assert!(again.requests <= 1, "{} on the same day", again.requests);
            assert_eq!(again.end(), "quota");
        }
    }
}

#[tokio::test]
async fn a_limit_of_all_keys_costs_no_attempt_and_does_not_spin() {
    for keys in [1, 5] {
        let script = Script::new().first_n_per_prompt(8, throttled(30));
        let cost = Cost {
            requests: (20 * 9, 20 * 9),
            ..NOTHING
        };
        let ran = check("429 on all keys", (keys, 20), script, &cost).await;
        assert_eq!(ran.stats.throttled, 20 * 8);
    }
}

#[tokio::test]
async fn a_second_of_waiting_is_kept() {
    let script = Script::new().first_n(5, throttled(1000));
    let cost = Cost {
        requests: (40, 45),
        ..NOTHING
    };
    let ran = check("429 with Retry-After of 1 s", (5, 40), script, &cost).await;
    assert!(ran.took.as_millis() >= 1000, "{:?}", ran.took);
    assert!(ran.requests == 45, "{} requests", ran.requests);
}
