//! One run for each kind of error, with five keys and with one. Only the key or row that causes the
//! error is affected.

use promptmill::domain::job::JobState;
use promptmill::simulator::{IncomingRequest, KeyRejection, Reaction, Script};

use crate::fixture::{Fixture, RunResult, error, prompt, secret, throttled, unknown_403};

/// The expected result of a run.
struct Expected<'a> {
    /// The minimum and maximum numbers of requests.
    requests: (u64, u64),
    /// The unusable keys at the end.
    disabled: &'a [(usize, &'a str)],
    /// The failed rows.
    failed_rows: &'a [usize],
    /// How the run ends; `done` means that no rows are remaining.
    end: &'a str,
}

const DONE: Expected<'_> = Expected {
    requests: (0, 0),
    disabled: &[],
    failed_rows: &[],
    end: "done",
};

async fn check(
    name: &str,
    (keys, jobs): (usize, usize),
    script: Script,
    expected: &Expected<'_>,
) -> RunResult {
    let fixture = Fixture::new(keys, jobs, script).await;
    let result = fixture.run().await;
    let name = format!("{name}, {keys} keys");
    result.check_accounting(&name);
    let (min, max) = expected.requests;
    assert!(
        (min..=max).contains(&result.requests),
        "{name}: {} requests, {min} to {max} expected",
        result.requests
    );
    assert_eq!(
        result.disabled(),
        expected.disabled,
        "{name}: disabled keys"
    );
    assert_eq!(
        result.rows(JobState::Failed),
        expected.failed_rows,
        "{name}: failed rows"
    );
    assert_eq!(result.end(), expected.end, "{name}: {}", result.message());
    let remaining = result.rows(JobState::Pending).len();
    assert_eq!(
        remaining == 0,
        expected.end == "done",
        "{name}: {remaining} rows remaining"
    );
    result
}

fn for_rows(rows: &'static [usize], reaction: Reaction) -> Script {
    let is_for_row =
        move |request: &IncomingRequest<'_>| rows.iter().any(|row| request.prompt == prompt(*row));
    Script::new().on(is_for_row, reaction)
}

/// Checks that a bad key costs one request, and that it stops the run if there is no other key.
async fn check_bad_key(name: &str, refusal: Reaction, state: &str) {
    let script = Script::new().for_key(secret(0), refusal);
    let with_others = Expected {
        requests: (201, 201),
        disabled: &[(0, state)],
        ..DONE
    };
    check(name, (5, 200), script.clone(), &with_others).await;
    let alone = Expected {
        requests: (1, 1),
        disabled: &[(0, state)],
        end: "no key",
        ..DONE
    };
    let result = check(name, (1, 200), script, &alone).await;
    assert!(result.message().contains("key-00"), "{}", result.message());
}

/// Checks that rows with a recognized error fail without additional requests.
async fn check_bad_rows(name: &str, refusal: Reaction, rows: &'static [usize]) {
    let script = for_rows(rows, refusal);
    let expected = Expected {
        requests: (200, 200),
        failed_rows: rows,
        ..DONE
    };
    check(name, (5, 200), script.clone(), &expected).await;
    check(name, (1, 200), script, &expected).await;
}

/// Checks that a run in which every request fails stops after about one request per key, fails no
/// row, and reports a hint.
async fn check_all_refused(name: &str, refusal: Reaction, end: &str) {
    let script = Script::new().always(refusal);
    for (keys, max) in [(5, 5), (1, 2), (12, 8)] {
        let expected = Expected {
            requests: (1, max),
            end,
            ..DONE
        };
        let result = check(name, (keys, 2000), script.clone(), &expected).await;
        for part in ["m-1", "http://127.0.0.1", "key-0"] {
            assert!(
                result.message().contains(part),
                "{name}: {}",
                result.message()
            );
        }
        assert!(
            result.message().lines().count() >= 3,
            "{name}: {}",
            result.message()
        );
    }
}

#[tokio::test]
async fn an_invalid_key_costs_one_request() {
    let refusal = Reaction::Reject(KeyRejection::Invalid);
    check_bad_key("invalid key", refusal, "dead").await;
}

#[tokio::test]
async fn a_disabled_key_costs_one_request() {
    let refusal = Reaction::Reject(KeyRejection::Disabled);
    check_bad_key("disabled key", refusal, "quarantined").await;
}

#[tokio::test]
async fn a_bare_401_costs_one_request() {
    check_bad_key("bare 401", error(401, "", "", ""), "quarantined").await;
}

#[tokio::test]
async fn an_exhausted_account_costs_one_request() {
    let refusal = Reaction::Reject(KeyRejection::NoQuota);
    check_bad_key("exhausted account", refusal, "exhausted").await;
}

#[tokio::test]
async fn no_balance_as_402_costs_one_request() {
    let refusal = Reaction::Reject(KeyRejection::NoBalance);
    check_bad_key("no balance as 402", refusal, "exhausted").await;
}

#[tokio::test]
async fn a_spend_limit_as_429_costs_one_request() {
    let text = "Your project has reached its monthly spend limit.";
    let refusal = error(429, text, "billing", "project_spend_limit_exceeded");
    check_bad_key("spend limit as 429", refusal, "exhausted").await;
}

#[tokio::test]
async fn no_balance_as_400_costs_one_request() {
    let text = "Your credit balance is too low to access the API.";
    let refusal = error(400, text, "invalid_request_error", "");
    check_bad_key("no balance as 400", refusal, "exhausted").await;
}

#[tokio::test]
async fn a_model_not_available_to_one_key_costs_one_request() {
    let text = "Project `proj_x` does not have access to model `m-1`";
    let refusal = error(403, text, "invalid_request_error", "model_not_found");
    check_bad_key(
        "no access to the model with one key",
        refusal,
        "quarantined",
    )
    .await;
}

#[tokio::test]
async fn moderation_fails_only_the_row() {
    let text = "Your input was flagged by our content policy.";
    let refusal = error(403, text, "", "content_policy_violation");
    check_bad_rows("moderation of two rows", refusal, &[7, 100]).await;
}

#[tokio::test]
async fn a_request_too_large_as_429_fails_only_the_row() {
    let text = "Request too large for m-1 on tokens per min (TPM): Limit 10000, Requested 20000.";
    let refusal = error(429, text, "tokens", "rate_limit_exceeded");
    check_bad_rows("request too large as 429", refusal, &[9]).await;
}

#[tokio::test]
async fn an_unknown_error_for_a_row_costs_at_most_three_requests_and_disables_no_key() {
    for rows in [&[50_usize][..], &[0], &[199], &[0, 1], &[60, 61, 62]] {
        let rows: &'static [usize] = rows.to_vec().leak();
        let count = rows.len() as u64;
        let expected = Expected {
            requests: (200, 200 + 2 * count),
            failed_rows: rows,
            ..DONE
        };
        let name = format!("unknown 403 for rows {rows:?}");
        let result = check(&name, (5, 200), for_rows(rows, unknown_403()), &expected).await;
        for row in rows {
            assert!(result.log.count_by_prompt(&prompt(*row)) <= 3, "{name}");
        }
        if rows != [0, 1] {
            check(&name, (1, 200), for_rows(rows, unknown_403()), &expected).await;
        }
    }
}

#[tokio::test]
async fn a_wrong_endpoint_stops_the_run() {
    let refusal = error(404, "Invalid URL (POST /v1/chat)", "", "");
    check_all_refused("wrong endpoint", refusal, "misconfigured").await;
}

#[tokio::test]
async fn a_wrong_model_stops_the_run() {
    let text = "The model `m-1` does not exist or you do not have access to it.";
    let refusal = error(404, text, "invalid_request_error", "model_not_found");
    check_all_refused("wrong model", refusal, "misconfigured").await;
}

#[tokio::test]
async fn a_model_missing_from_the_free_list_stops_the_run() {
    let text = "免费API限制使用deepseek-r1，gpt-4o-mini和embeddings模型";
    check_all_refused("free list", error(403, text, "", ""), "misconfigured").await;
}

#[tokio::test]
async fn an_unsupported_country_stops_the_run() {
    let refusal = Reaction::Reject(KeyRejection::Country);
    check_all_refused("country", refusal, "no key").await;
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
    check_all_refused("Cloudflare page", page, "no key").await;
}

#[tokio::test]
async fn an_ip_address_that_is_not_allowed_stops_the_run() {
    let refusal = error(401, "Your IP is not authorized for this project", "", "");
    check_all_refused("IP not allowed", refusal, "no key").await;
}

#[tokio::test]
async fn an_unknown_error_for_every_request_stops_the_run() {
    check_all_refused("unknown 403 for all", unknown_403(), "no key").await;
}

#[tokio::test]
async fn unknown_errors_with_different_messages_stop_the_run() {
    let script = Script::new().rule(|request| {
        let animals = ["zebra", "yak", "xerus", "wombat", "viper", "urchin", "toad"];
        let n = usize::try_from(request.number).unwrap();
        let text = format!(
            "{} {} {}",
            animals[n % 7],
            animals[n / 7 % 7],
            animals[n / 49 % 7]
        );
        Some(error(403, &text, "odd", ""))
    });
    for keys in [1, 5] {
        let expected = Expected {
            requests: (2, 24),
            end: "no key",
            ..DONE
        };
        check(
            "different messages",
            (keys, 2000),
            script.clone(),
            &expected,
        )
        .await;
    }
}

#[tokio::test]
async fn two_bad_keys_with_the_same_message_are_quarantined() {
    let bad = |request: &IncomingRequest<'_>| request.key != secret(2);
    let script = Script::new().on(bad, unknown_403());
    let expected = Expected {
        requests: (202, 204),
        disabled: &[(0, "quarantined"), (1, "quarantined")],
        ..DONE
    };
    check("2 bad keys, 1 good key", (3, 200), script, &expected).await;
}

#[tokio::test]
async fn invalid_keys_cost_one_request_each() {
    let script = Script::new().always(Reaction::Reject(KeyRejection::Invalid));
    let expected = Expected {
        requests: (5, 5),
        disabled: &[0, 1, 2, 3, 4].map(|key| (key, "dead")),
        end: "no key",
        ..DONE
    };
    check("all keys invalid", (5, 2000), script, &expected).await;
}

#[tokio::test]
async fn exhausted_accounts_cost_one_request_each() {
    let script = Script::new().always(Reaction::Reject(KeyRejection::NoQuota));
    let expected = Expected {
        requests: (5, 5),
        disabled: &[0, 1, 2, 3, 4].map(|key| (key, "exhausted")),
        end: "no key",
        ..DONE
    };
    check("all accounts exhausted", (5, 2000), script, &expected).await;
}

#[tokio::test]
async fn a_temporary_unknown_error_disables_no_key() {
    let script = Script::new().first_n(3, unknown_403());
    let expected = Expected {
        requests: (203, 203),
        ..DONE
    };
    check("stale session", (5, 200), script.clone(), &expected).await;
    let one = Script::new().first_n(1, unknown_403());
    let single_key = Expected {
        requests: (200, 200),
        failed_rows: &[0],
        ..DONE
    };
    check("stale session", (1, 200), one, &single_key).await;
}

#[tokio::test]
async fn an_exhausted_daily_quota_stops_the_run_and_the_next_one() {
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
            let used_up = move |request: &IncomingRequest<'_>| request.number > 50;
            let fixture = Fixture::new(keys, 200, Script::new().on(used_up, refusal)).await;
            let result = fixture.run().await;
            result.check_accounting(&format!("daily quota, {keys} keys"));
            assert_eq!(result.end(), "quota", "{}", result.message());
            // The requests in flight at the first rejection, and one per key.
            assert!(
                result.requests <= 50 + 8 + keys as u64,
                "{}",
                result.requests
            );
            assert_eq!(result.rows(JobState::Done).len(), 50);
            assert!(result.rows(JobState::Failed).is_empty());
            assert!(result.stats.resume_at.is_some());
            let second = fixture.run().await;
            second.check_accounting(&format!("second run on the same day, {keys} keys"));
            assert!(
                second.requests <= 1,
                "{} requests on the same day",
                second.requests
            );
            assert_eq!(second.end(), "quota");
        }
    }
}

#[tokio::test]
async fn rate_limits_use_up_no_attempts_and_do_not_cause_busy_loops() {
    for keys in [1, 5] {
        let script = Script::new().first_n_per_prompt(8, throttled(30));
        let expected = Expected {
            requests: (20 * 9, 20 * 9),
            ..DONE
        };
        let result = check("429 on all keys", (keys, 20), script, &expected).await;
        assert_eq!(result.stats.usage.throttled, 20 * 8);
    }
}

#[tokio::test]
async fn respects_a_retry_after_of_one_second() {
    let script = Script::new().first_n(5, throttled(1000));
    let expected = Expected {
        requests: (40, 45),
        ..DONE
    };
    let result = check("429 with Retry-After of 1 s", (5, 40), script, &expected).await;
    assert!(result.elapsed.as_millis() >= 1000, "{:?}", result.elapsed);
    assert!(result.requests == 45, "{} requests", result.requests);
}
