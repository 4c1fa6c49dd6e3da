//! Endpoints that are down or overloaded: the run leaves them alone, uses up nobody's attempts, and
//! goes on when they are back.

use std::time::Duration;

use promptmill::domain::job::JobState;
use promptmill::domain::window::Concurrency;
use promptmill::progress::event::RunEvent;
use promptmill::simulator::{Arrival, Config, Reaction, Script, Simulator};
use promptmill::store::Claim;

use crate::bench::Bench;

#[tokio::test]
async fn an_endpoint_that_fails_for_ever_is_left_alone_and_spends_nothing() {
    for (name, fault) in [
        ("500 for ever", Reaction::Status(500)),
        ("503 for ever", Reaction::Status(503)),
        ("529 for ever", Reaction::Status(529)),
        ("resets for ever", Reaction::Reset),
    ] {
        let bench = Bench::new(2, 1000, Script::new().always(fault)).await;
        let ran = bench.run().await;
        ran.account(name);
        assert_eq!(ran.end(), "unavailable", "{name}");
        assert!(ran.requests <= 24, "{name}: {} requests", ran.requests);
        assert_eq!(ran.rows(JobState::Pending).len(), 1000, "{name}");
        assert_eq!(ran.out(), [], "{name}");
        // The rows lose nothing to it: the endpoint comes back, and all of them get their answer.
        bench.simulator.set_script(Script::new());
        let again = bench.run().await;
        again.account(&format!("{name}, and back"));
        assert_eq!(again.end(), "done", "{name}");
        assert_eq!(again.requests, 1000, "{name}");
    }
}

#[tokio::test]
async fn an_endpoint_that_comes_back_in_time_is_used_again() {
    let down = |arrival: &Arrival<'_>| (21..=40).contains(&arrival.number);
    let script = Script::new().on(down, Reaction::Status(502));
    let mut bench = Bench::new(2, 100, script).await;
    bench.settings.max_outage = Duration::from_secs(30);
    bench.settings.concurrency = Concurrency::fixed(16);
    bench.settings.max_attempts = 2;
    let ran = bench.run().await;
    ran.account("502 twenty times, then well");
    assert_eq!(ran.end(), "done");
    assert_eq!(ran.requests, 120);
    assert!(ran.rows(JobState::Failed).len() <= 2, "breaker came late");
}

#[tokio::test]
async fn a_refused_connection_is_waited_for() {
    let mut bench = Bench::new(2, 100, Script::new()).await;
    let gone = Simulator::start(Config::default()).await.unwrap();
    let port = gone.addr().port();
    bench.base_url = gone.base_url();
    gone.shutdown().await;
    let ran = bench.run().await;
    assert_eq!(ran.end(), "unavailable");
    assert_eq!(ran.rows(JobState::Pending).len(), 100);
    assert_eq!(ran.out(), []);
    assert!(ran.stats.requests <= 24, "{} tried", ran.stats.requests);
    println!(
        "| connection refused | 0 ({} tried) | 0 | 0 | 100 | unavailable | {} |",
        ran.stats.requests,
        ran.took.as_millis()
    );

    bench.settings.max_outage = Duration::from_secs(30);
    let back = async {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        Simulator::start(Config::default().port(port))
            .await
            .unwrap()
    };
    let (ran, back) = tokio::join!(bench.run(), back);
    assert_eq!(ran.end(), "done");
    assert_eq!(back.ledger().requests, 100);
    println!(
        "| connection refused, back after 1.2 s | 100 | 0 | 0 | 0 | done | {} |",
        ran.took.as_millis()
    );
}

#[tokio::test]
async fn what_the_provider_says_on_retrying_is_heeded() {
    let told = |status: u16, word: &str| Reaction::Raw {
        status,
        headers: vec![("x-should-retry".to_owned(), word.to_owned())],
        body: r#"{"error":{"message":"odd"}}"#.to_owned(),
    };
    let first = |arrival: &Arrival<'_>| arrival.prompt == "question 3" && arrival.turn == 1;
    let again = Script::new().on(first, told(400, "true"));
    let ran = Bench::new(2, 20, again).await.run().await;
    ran.account("400, x-should-retry: true, once");
    assert_eq!((ran.end(), ran.requests), ("done", 21));
    let third = |arrival: &Arrival<'_>| arrival.prompt == "question 3";
    let never = Script::new().on(third, told(500, "false"));
    let ran = Bench::new(2, 20, never).await.run().await;
    ran.account("500, x-should-retry: false");
    assert_eq!((ran.end(), ran.requests), ("done", 20));
    assert_eq!(ran.rows(JobState::Failed), [3]);
}

#[tokio::test]
async fn an_outage_is_told_once() {
    let bench = Bench::new(2, 100, Script::new().always(Reaction::Status(500))).await;
    let ran = bench.run().await;
    let told = ran.events.iter();
    let told = told.filter(|event| matches!(event, RunEvent::Trouble { .. }));
    assert_eq!(told.count(), 1);
}

#[tokio::test]
async fn what_an_endpoint_fails_that_is_half_down_is_asked_again_later_and_later() {
    let half = |arrival: &Arrival<'_>| arrival.number.is_multiple_of(2);
    let script = Script::new().on(half, Reaction::Status(500));
    let mut bench = Bench::new(2, 4000, script).await;
    bench.settings.concurrency = Concurrency::fixed(64);
    bench.settings.bounds.requests = Some(4000);
    let ran = bench.run().await;
    assert_eq!(ran.end(), "stopped");
    // The longest backoff is 20 s.
    let due = Claim {
        batch: bench.batch.id,
        limit: 4000,
    };
    let now = ran.ended + Duration::from_secs(25);
    let turn = bench.store.turn(&[], due, now).await.unwrap();
    let left = ran.rows(JobState::Pending).len();
    assert!(
        turn.claimed.len() + 100 < left,
        "{} of {left} are due at once",
        turn.claimed.len()
    );
}
