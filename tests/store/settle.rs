//! Settling jobs: the effects of a settlement, and stale settlements, which have no effect.

use promptmill::domain::job::{Completion, ExportRow, JobId, JobState};
use promptmill::domain::verdict::Scope;
use promptmill::store::{ClaimedJob, JobOutcome, Settlement};

use super::fixture::{
    BATCH, Fixture, NOW, OpenStore, attempt, cells, claimed_keys, completion, done, failed, import,
    released, requeued, row,
};

pub(crate) async fn a_response_is_stored_unchanged(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 2).await;
    let claimed = fixture.claim(2).await;
    let minimal = Completion {
        body: "{}".to_owned(),
        model: String::new(),
        finish_reason: String::new(),
        prompt_tokens: None,
        completion_tokens: Some(u64::from(u32::MAX)),
        latency_ms: 0,
        request_id: String::new(),
    };
    let bare = Settlement {
        outcome: JobOutcome::Done(minimal.clone()),
        ..done(&claimed[1], "")
    };
    assert_eq!(
        fixture
            .settle(&[done(&claimed[0], "forty-two"), bare])
            .await,
        0
    );
    let fixture = fixture.reopen().await;
    let records = fixture.records().await;
    assert_eq!(records[0].completion, Some(completion("forty-two")));
    assert_eq!(records[1].completion, Some(minimal));
    for ExportRow {
        state,
        attempts,
        error,
        ..
    } in records
    {
        assert_eq!((state, attempts, error), (JobState::Done, 1, None));
    }
    assert_eq!(fixture.settle_and_claim(&[], 9, NOW).await.claimed, []);
}

pub(crate) async fn unusual_texts_are_stored_byte_for_byte(open: impl OpenStore) {
    let large = "ä\"\\ long \u{1f600} ".repeat(1 << 17);
    let texts = [
        "",
        "plain",
        r#"{"a":"quotes \" and \\ back\\\\slashes \/"}"#,
        r#"{"escapes":"\u0000 \u0001 \ud83d\ude00 \ud800 \n\t"}"#,
        "raw 😀 é 漢字 \u{202e}\u{feff} \u{7f} 'single' `back` $1 ?1 :a @b",
        "line\r\nbreaks\nand\ttabs \u{1}\u{1f}",
        "null",
        "12",
        "1e400",
        "[]",
        "%s %00 \u{fffd}",
        "raw \0 zero",
        &large,
    ];
    assert!(large.len() > 1 << 20);
    let fixture = Fixture::empty(open).await;
    let input: Vec<_> = (texts.iter().enumerate())
        .map(|(number, text)| {
            let mut row = row(&format!("k{number}"), 0);
            row.cells = serde_json::to_string(&[text]).unwrap();
            row.request.push_str(text);
            row.key.extend(text.chars().take(40));
            row
        })
        .collect();
    fixture.import(&input).await;
    let claimed = fixture.claim(99).await;
    let settlements: Vec<_> = (claimed.iter().zip(texts))
        .map(|(job, text)| unusual(job, text))
        .collect();
    assert_eq!(fixture.settle(&settlements).await, 0);
    // Importing the rows again adds none, because their keys are stored unchanged.
    assert_eq!(fixture.import(&input).await.added, 0);
    let records = fixture.records().await;
    assert_eq!(records.len(), texts.len());
    for (((text, job), row), record) in texts.iter().zip(&claimed).zip(&input).zip(&records) {
        assert_eq!(job.request, row.request);
        assert_eq!(cells(record), [*text]);
        let completion = record.completion.as_ref().unwrap();
        assert_eq!((&*completion.body, &*completion.model), (*text, *text));
        assert_eq!(&*completion.finish_reason, *text);
    }
}

pub(crate) async fn a_requeued_job_counts_requests_and_attempts(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 3).await;
    let claimed = fixture.claim(3).await;
    let uncounted = Settlement {
        requests: 1,
        attempt: Some(attempt(Scope::Quota, "rate-limit")),
        ..released(&claimed[1], NOW)
    };
    let settlements = [
        requeued(&claimed[0], "overloaded", NOW),
        uncounted,
        released(&claimed[2], NOW),
    ];
    assert_eq!(fixture.settle(&settlements).await, 0);
    let records = fixture.records().await;
    let attempts: Vec<_> = records.iter().map(|record| record.attempts).collect();
    assert_eq!(attempts, [1, 1, 0]);
    let errors: Vec<_> = records
        .iter()
        .map(|record| record.error.as_deref())
        .collect();
    assert_eq!(
        errors[0],
        Some("transient: message of overloaded (overloaded)")
    );
    assert_eq!(errors[1], Some("quota: message of rate-limit (rate-limit)"));
    assert_eq!(errors[2], None);
    let spent: Vec<_> = fixture.claim(3).await.iter().map(|job| job.spent).collect();
    assert_eq!(spent, [1, 0, 0]);
}

pub(crate) async fn a_failed_job_is_exported_with_its_error(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 1).await;
    let claimed = fixture.claim(1).await;
    let claimed = fixture
        .settle_and_claim(&[requeued(&claimed[0], "overloaded", NOW)], 1, NOW)
        .await
        .claimed;
    fixture
        .settle(&[failed(&claimed[0], Scope::KeyModel, "no-such-model")])
        .await;
    let record = &fixture.records().await[0];
    assert_eq!((record.state, record.attempts), (JobState::Failed, 2));
    let error = "key_model: message of no-such-model (no-such-model)";
    assert_eq!(record.error.as_deref(), Some(error));
    assert_eq!(record.completion, None);
    let counts = fixture.counts().await;
    assert_eq!((counts.failed, counts.pending), (1, 0));
    assert_eq!(fixture.settle_and_claim(&[], 9, i64::MAX).await.claimed, []);
}

pub(crate) async fn a_failure_without_a_request_is_exported_with_its_error(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 2).await;
    let claimed = fixture.claim(2).await;
    let unsent = |settlement| Settlement {
        requests: 0,
        ..settlement
    };
    let settled = [
        unsent(failed(&claimed[0], Scope::Request, "refused-by-keys")),
        unsent(requeued(&claimed[1], "dns", NOW)),
    ];
    fixture.settle(&settled).await;
    let records = fixture.records().await;
    assert_eq!(
        records[0].error.as_deref(),
        Some("request: message of refused-by-keys (refused-by-keys)")
    );
    assert_eq!(
        records[1].error.as_deref(),
        Some("transient: message of dns (dns)")
    );
    assert_eq!(fixture.claim(1).await[0].rules, ["dns"]);
}

pub(crate) async fn a_settlement_with_another_claim_has_no_effect(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 2).await;
    let first = fixture.claim(1).await.remove(0);
    let second = fixture
        .settle_and_claim(&[released(&first, NOW)], 1, NOW)
        .await
        .claimed
        .remove(0);
    assert_eq!((second.id, second.claim_no), (first.id, first.claim_no + 1));
    let before = fixture.records().await;
    let unknown = ClaimedJob {
        id: JobId(second.id.0 + 1_000),
        ..second.clone()
    };
    let never_claimed = ClaimedJob {
        id: JobId(second.id.0 + 1),
        claim_no: 0,
        ..second.clone()
    };
    let ahead = ClaimedJob {
        claim_no: second.claim_no + 1,
        ..second.clone()
    };
    for stale in [&first, &unknown, &never_claimed, &ahead] {
        assert_eq!(fixture.settle(&[done(stale, "stale")]).await, 1);
        assert_eq!(fixture.settle(&[requeued(stale, "stale", 7)]).await, 1);
        assert_eq!(
            fixture.settle(&[failed(stale, Scope::Key, "stale")]).await,
            1
        );
    }
    assert_eq!(fixture.records().await, before);
    assert_eq!(
        fixture
            .store
            .causes(fixture.batch().await, 9)
            .await
            .unwrap(),
        []
    );
    assert_eq!(fixture.settle(&[done(&second, "good")]).await, 0);
    assert_eq!(
        fixture.records().await[0].completion,
        Some(completion("good"))
    );
}

pub(crate) async fn a_job_is_settled_once(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 1).await;
    let claimed = fixture.claim(1).await.remove(0);
    assert_eq!(fixture.settle(&[done(&claimed, "first")]).await, 0);
    let before = fixture.records().await;
    for again in [
        done(&claimed, "second"),
        requeued(&claimed, "r", NOW),
        failed(&claimed, Scope::Key, "r"),
    ] {
        assert_eq!(fixture.settle(&[again]).await, 1);
        assert_eq!(fixture.records().await, before);
    }
}

pub(crate) async fn the_first_of_two_settlements_for_a_job_is_applied(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 2).await;
    let claimed = fixture.claim(2).await;
    let twice = [
        done(&claimed[0], "first"),
        failed(&claimed[1], Scope::Request, "first"),
        done(&claimed[0], "second"),
        done(&claimed[1], "second"),
        failed(&claimed[0], Scope::Request, "third"),
    ];
    assert_eq!(fixture.settle(&twice).await, 3);
    let records = fixture.records().await;
    assert_eq!(records[0].completion, Some(completion("first")));
    assert_eq!(
        (records[1].state, &records[1].completion),
        (JobState::Failed, &None)
    );
    assert_eq!(
        records[1].error.as_deref(),
        Some("request: message of first (first)")
    );
    assert_eq!((records[0].attempts, records[1].attempts), (1, 1));
}

pub(crate) async fn stale_and_valid_settlements_can_be_mixed(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 4).await;
    let claimed = fixture.claim(3).await;
    fixture.settle(&[done(&claimed[0], "before")]).await;
    let mixed = [
        failed(&claimed[0], Scope::Key, "stale"),
        done(&claimed[1], "good"),
        done(&claimed[0], "stale"),
        requeued(&claimed[2], "good", NOW),
    ];
    let update = fixture.settle_and_claim(&mixed, 9, NOW).await;
    assert_eq!(update.stale, 2);
    assert_eq!(claimed_keys(&update.claimed), ["k2", "k3"]);
    let records = fixture.records().await;
    assert_eq!(records[0].completion, Some(completion("before")));
    assert_eq!(records[1].completion, Some(completion("good")));
}

pub(crate) async fn a_withdrawn_job_in_flight_keeps_its_response(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 2).await;
    let claimed = fixture.claim(2).await;
    fixture.import(&[]).await;
    let settled = [
        done(&claimed[0], "paid for"),
        requeued(&claimed[1], "overloaded", NOW),
    ];
    let update = fixture.settle_and_claim(&settled, 9, NOW).await;
    assert_eq!(
        (update.stale, update.claimed, update.next_due),
        (0, vec![], None)
    );
    fixture.import(&[row("k1", 0), row("k0", 0)]).await;
    let records = fixture.records().await;
    assert_eq!(records[1].completion, Some(completion("paid for")));
    assert_eq!(claimed_keys(&fixture.claim(9).await), ["k1"]);
}

pub(crate) async fn the_causes_of_failures_are_counted(open: impl OpenStore) {
    let fixture = Fixture::with_rows(open, 6).await;
    let claimed = fixture.claim(6).await;
    let settled = [
        failed(&claimed[0], Scope::Request, "rare"),
        failed(&claimed[1], Scope::Request, "frequent"),
        failed(&claimed[2], Scope::Request, "frequent"),
        failed(&claimed[3], Scope::Request, "withdrawn"),
        requeued(&claimed[4], "temporary", NOW),
    ];
    fixture.settle(&settled).await;
    import(&fixture.store, "other", &[row("k", 0)]).await;
    fixture
        .import(&["k0", "k1", "k2", "k4", "k5"].map(|key| row(key, 0)))
        .await;
    let batch = fixture.store.batch(BATCH).await.unwrap().id;
    let causes = fixture.store.causes(batch, 9).await.unwrap();
    let counted: Vec<_> = causes.iter().map(|c| (c.rule.as_str(), c.jobs)).collect();
    // A job that waits for a retry is counted too; a withdrawn job is not.
    assert_eq!(counted, [("frequent", 2), ("rare", 1), ("temporary", 1)]);
    assert_eq!(causes[0].scope, Scope::Request);
    assert_eq!(
        (&*causes[0].message, &*causes[0].hint),
        ("message of frequent", "")
    );
    assert_eq!(fixture.store.causes(batch, 1).await.unwrap().len(), 1);
}

fn unusual(job: &ClaimedJob, text: &str) -> Settlement {
    let completion = Completion {
        body: text.to_owned(),
        model: text.to_owned(),
        finish_reason: text.to_owned(),
        ..completion("")
    };
    Settlement {
        outcome: JobOutcome::Done(completion),
        key_label: text.to_owned(),
        ..done(job, "")
    }
}
