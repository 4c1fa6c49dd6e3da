//! Endpoints that are down or overloaded: the run backs off, uses up no attempts, and resumes when
//! they are available again.

use std::time::Duration;

use promptmill::domain::concurrency::Concurrency;
use promptmill::domain::job::JobState;
use promptmill::progress::event::RunEvent;
use promptmill::simulator::{Config, IncomingRequest, Reaction, Script, Simulator};
use promptmill::store::Claim;

use crate::fixture::Fixture;

#[tokio::test]
async fn a_permanent_outage_stops_the_run_and_uses_up_no_attempts() {
    for (name, failure) in [
        ("always 500", Reaction::Status(500)),
        ("always 503", Reaction::Status(503)),
        ("always 529", Reaction::Status(529)),
        ("always a connection reset", Reaction::Reset),
    ] {
        let fixture = Fixture::new(2, 1000, Script::new().always(failure)).await;
        let result = fixture.run().await;
        result.check_accounting(name);
        assert_eq!(result.end(), "unavailable", "{name}");
        assert!(
            result.requests <= 24,
            "{name}: {} requests",
            result.requests
        );
        assert_eq!(result.rows(JobState::Pending).len(), 1000, "{name}");
        assert_eq!(result.disabled(), [], "{name}");
        // All rows complete once the endpoint is available again.
        fixture.simulator.set_script(Script::new());
        let second = fixture.run().await;
        second.check_accounting(&format!("{name}, then available"));
        assert_eq!(second.end(), "done", "{name}");
        assert_eq!(second.requests, 1000, "{name}");
    }
}

#[tokio::test]
async fn a_short_outage_does_not_stop_the_run() {
    let down = |request: &IncomingRequest<'_>| (21..=40).contains(&request.number);
    let script = Script::new().on(down, Reaction::Status(502));
    let mut fixture = Fixture::new(2, 100, script).await;
    fixture.settings.max_outage = Duration::from_secs(30);
    fixture.settings.concurrency = Concurrency::fixed(16);
    fixture.settings.max_attempts = 2;
    let result = fixture.run().await;
    result.check_accounting("twenty 502 errors, then available");
    assert_eq!(result.end(), "done");
    assert_eq!(result.requests, 120);
    assert!(
        result.rows(JobState::Failed).len() <= 2,
        "the circuit breaker opened too late"
    );
}

#[tokio::test]
async fn waits_for_an_endpoint_that_refuses_connections() {
    let mut fixture = Fixture::new(2, 100, Script::new()).await;
    let stopped = Simulator::start(Config::default()).await.unwrap();
    let port = stopped.addr().port();
    fixture.base_url = stopped.base_url();
    stopped.shutdown().await;
    let result = fixture.run().await;
    assert_eq!(result.end(), "unavailable");
    assert_eq!(result.rows(JobState::Pending).len(), 100);
    assert_eq!(result.disabled(), []);
    assert!(
        result.stats.usage.requests <= 24,
        "{} attempts",
        result.stats.usage.requests
    );
    println!(
        "| connection refused | 0 ({} attempts) | 0 | 0 | 100 | unavailable | {} |",
        result.stats.usage.requests,
        result.elapsed.as_millis()
    );

    fixture.settings.max_outage = Duration::from_secs(30);
    let restarted = async {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        Simulator::start(Config::default().port(port))
            .await
            .unwrap()
    };
    let (result, restarted) = tokio::join!(fixture.run(), restarted);
    assert_eq!(result.end(), "done");
    assert_eq!(restarted.request_log().requests, 100);
    println!(
        "| connection refused, available after 1.2 s | 100 | 0 | 0 | 0 | done | {} |",
        result.elapsed.as_millis()
    );
}

#[tokio::test]
async fn respects_the_x_should_retry_header() {
    let error_with_header = |status: u16, value: &str| Reaction::Raw {
        status,
        headers: vec![("x-should-retry".to_owned(), value.to_owned())],
        body: r#"{"error":{"message":"odd"}}"#.to_owned(),
    };
    let first =
        |request: &IncomingRequest<'_>| request.prompt == "question 3" && request.prompt_count == 1;
    let once = Script::new().on(first, error_with_header(400, "true"));
    let result = Fixture::new(2, 20, once).await.run().await;
    result.check_accounting("400, x-should-retry: true, once");
    assert_eq!((result.end(), result.requests), ("done", 21));
    let third = |request: &IncomingRequest<'_>| request.prompt == "question 3";
    let never = Script::new().on(third, error_with_header(500, "false"));
    let result = Fixture::new(2, 20, never).await.run().await;
    result.check_accounting("500, x-should-retry: false");
    assert_eq!((result.end(), result.requests), ("done", 20));
    assert_eq!(result.rows(JobState::Failed), [3]);
}

#[tokio::test]
async fn an_outage_is_reported_once() {
    let fixture = Fixture::new(2, 100, Script::new().always(Reaction::Status(500))).await;
    let result = fixture.run().await;
    let is_report = |event: &&RunEvent| matches!(event, RunEvent::EndpointFailing { .. });
    assert_eq!(result.events.iter().filter(is_report).count(), 1);
}

#[tokio::test]
async fn failures_of_a_partly_available_endpoint_are_retried_with_backoff() {
    let half = |request: &IncomingRequest<'_>| request.number.is_multiple_of(2);
    let script = Script::new().on(half, Reaction::Status(500));
    let mut fixture = Fixture::new(2, 4000, script).await;
    fixture.settings.concurrency = Concurrency::fixed(64);
    fixture.settings.limits.requests = Some(4000);
    let result = fixture.run().await;
    assert_eq!(result.end(), "stopped");
    // The longest backoff is 20 s.
    let due = Claim {
        batch: fixture.batch.id,
        limit: 4000,
    };
    let now = result.ended + Duration::from_secs(25);
    let update = fixture.store.settle_and_claim(&[], &[due], now).await;
    let due = update.unwrap().claims.remove(0).jobs.len();
    let remaining = result.rows(JobState::Pending).len();
    assert!(due + 100 < remaining, "{due} of {remaining} rows are due");
}
