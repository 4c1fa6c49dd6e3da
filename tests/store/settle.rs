//! Settling: what a settlement writes, and that a stale one writes nothing.

use promptmill::domain::job::{Completion, JobId, JobState, Record};
use promptmill::domain::verdict::Scope;
use promptmill::store::{ClaimedJob, SettledAs, Settlement};

use super::stage::{
    BATCH, NOW, Open, Stage, asked, attempt, cells, completion, done, failed, import, released,
    requeued, row,
};

pub(crate) async fn an_answer_is_kept_as_it_came(open: impl Open) {
    let stage = Stage::with_rows(open, 2).await;
    let held = stage.claim(2).await;
    let told_nothing = Completion {
        body: "{}".to_owned(),
        model: String::new(),
        finish_reason: String::new(),
        prompt_tokens: None,
        completion_tokens: Some(u64::from(u32::MAX)),
        latency_ms: 0,
        request_id: String::new(),
    };
    let bare = Settlement {
        settled_as: SettledAs::Done(told_nothing.clone()),
        ..done(&held[1], "")
    };
    assert_eq!(stage.settle(&[done(&held[0], "forty-two"), bare]).await, 0);
    let stage = stage.reopen().await;
    let records = stage.records().await;
    assert_eq!(records[0].completion, Some(completion("forty-two")));
    assert_eq!(records[1].completion, Some(told_nothing));
    for Record {
        state,
        attempts,
        error,
        ..
    } in records
    {
        assert_eq!((state, attempts, error), (JobState::Done, 1, None));
    }
    assert_eq!(stage.turn(&[], 9, NOW).await.claimed, []);
}

pub(crate) async fn odd_texts_come_back_byte_for_byte(open: impl Open) {
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
    let stage = Stage::empty(open).await;
    let input: Vec<_> = (texts.iter().enumerate())
        .map(|(number, text)| {
            let mut row = row(&format!("k{number}"), 0);
            row.cells = serde_json::to_string(&[text]).unwrap();
            row.request.push_str(text);
            row.key.extend(text.chars().take(40));
            row
        })
        .collect();
    stage.import(&input).await;
    let held = stage.claim(99).await;
    let answers: Vec<_> = (held.iter().zip(texts))
        .map(|(job, text)| odd(job, text))
        .collect();
    assert_eq!(stage.settle(&answers).await, 0);
    // The keys are found again as they are.
    assert_eq!(stage.import(&input).await.added, 0);
    let records = stage.records().await;
    assert_eq!(records.len(), texts.len());
    for (((text, job), row), record) in texts.iter().zip(&held).zip(&input).zip(&records) {
        assert_eq!(job.request, row.request);
        assert_eq!(cells(record), [*text]);
        let completion = record.completion.as_ref().unwrap();
        assert_eq!((&*completion.body, &*completion.model), (*text, *text));
        assert_eq!(&*completion.finish_reason, *text);
    }
}

pub(crate) async fn a_requeued_job_counts_what_it_should(open: impl Open) {
    let stage = Stage::with_rows(open, 3).await;
    let held = stage.claim(3).await;
    let free = Settlement {
        requests: 1,
        attempt: Some(attempt(Scope::Quota, "rate-limit")),
        ..released(&held[1], NOW)
    };
    let back = [
        requeued(&held[0], "overloaded", NOW),
        free,
        released(&held[2], NOW),
    ];
    assert_eq!(stage.settle(&back).await, 0);
    let records = stage.records().await;
    let attempts: Vec<_> = records.iter().map(|record| record.attempts).collect();
    assert_eq!(attempts, [1, 1, 0]);
    let errors: Vec<_> = records
        .iter()
        .map(|record| record.error.as_deref())
        .collect();
    assert_eq!(
        errors[0],
        Some("transient: said by overloaded (overloaded)")
    );
    assert_eq!(errors[1], Some("quota: said by rate-limit (rate-limit)"));
    assert_eq!(errors[2], None);
    let spent: Vec<_> = stage.claim(3).await.iter().map(|job| job.spent).collect();
    assert_eq!(spent, [1, 0, 0]);
}

pub(crate) async fn a_failed_job_says_why(open: impl Open) {
    let stage = Stage::with_rows(open, 1).await;
    let held = stage.claim(1).await;
    let held = stage
        .turn(&[requeued(&held[0], "overloaded", NOW)], 1, NOW)
        .await
        .claimed;
    stage
        .settle(&[failed(&held[0], Scope::KeyModel, "no-such-model")])
        .await;
    let record = &stage.records().await[0];
    assert_eq!((record.state, record.attempts), (JobState::Failed, 2));
    let error = "key_model: said by no-such-model (no-such-model)";
    assert_eq!(record.error.as_deref(), Some(error));
    assert_eq!(record.completion, None);
    let counts = stage.counts().await;
    assert_eq!((counts.failed, counts.pending), (1, 0));
    assert_eq!(stage.turn(&[], 9, i64::MAX).await.claimed, []);
}

pub(crate) async fn a_failure_without_a_request_says_why(open: impl Open) {
    let stage = Stage::with_rows(open, 2).await;
    let held = stage.claim(2).await;
    let unsent = |settlement| Settlement {
        requests: 0,
        ..settlement
    };
    let settled = [
        unsent(failed(&held[0], Scope::Request, "refused-by-keys")),
        unsent(requeued(&held[1], "dns", NOW)),
    ];
    stage.settle(&settled).await;
    let records = stage.records().await;
    assert_eq!(
        records[0].error.as_deref(),
        Some("request: said by refused-by-keys (refused-by-keys)")
    );
    assert_eq!(
        records[1].error.as_deref(),
        Some("transient: said by dns (dns)")
    );
    assert_eq!(stage.claim(1).await[0].rules, ["dns"]);
}

pub(crate) async fn a_settlement_under_another_claim_changes_nothing(open: impl Open) {
    let stage = Stage::with_rows(open, 2).await;
    let first = stage.claim(1).await.remove(0);
    let second = stage
        .turn(&[released(&first, NOW)], 1, NOW)
        .await
        .claimed
        .remove(0);
    assert_eq!((second.id, second.claim_no), (first.id, first.claim_no + 1));
    let before = stage.records().await;
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
        assert_eq!(stage.settle(&[done(stale, "stale")]).await, 1);
        assert_eq!(stage.settle(&[requeued(stale, "stale", 7)]).await, 1);
        assert_eq!(stage.settle(&[failed(stale, Scope::Key, "stale")]).await, 1);
    }
    assert_eq!(stage.records().await, before);
    assert_eq!(
        stage.store.causes(stage.batch().await, 9).await.unwrap(),
        []
    );
    assert_eq!(stage.settle(&[done(&second, "good")]).await, 0);
    assert_eq!(
        stage.records().await[0].completion,
        Some(completion("good"))
    );
}

pub(crate) async fn a_job_is_settled_once(open: impl Open) {
    let stage = Stage::with_rows(open, 1).await;
    let held = stage.claim(1).await.remove(0);
    assert_eq!(stage.settle(&[done(&held, "first")]).await, 0);
    let before = stage.records().await;
    for again in [
        done(&held, "second"),
        requeued(&held, "r", NOW),
        failed(&held, Scope::Key, "r"),
    ] {
        assert_eq!(stage.settle(&[again]).await, 1);
        assert_eq!(stage.records().await, before);
    }
}

pub(crate) async fn a_job_settled_twice_in_one_turn_takes_the_first(open: impl Open) {
    let stage = Stage::with_rows(open, 2).await;
    let held = stage.claim(2).await;
    let twice = [
        done(&held[0], "first"),
        failed(&held[1], Scope::Request, "first"),
        done(&held[0], "second"),
        done(&held[1], "second"),
        failed(&held[0], Scope::Request, "third"),
    ];
    assert_eq!(stage.settle(&twice).await, 3);
    let records = stage.records().await;
    assert_eq!(records[0].completion, Some(completion("first")));
    assert_eq!(
        (records[1].state, &records[1].completion),
        (JobState::Failed, &None)
    );
    assert_eq!(
        records[1].error.as_deref(),
        Some("request: said by first (first)")
    );
    assert_eq!((records[0].attempts, records[1].attempts), (1, 1));
}

pub(crate) async fn stale_and_good_settlements_may_come_together(open: impl Open) {
    let stage = Stage::with_rows(open, 4).await;
    let held = stage.claim(3).await;
    stage.settle(&[done(&held[0], "before")]).await;
    let mixed = [
        failed(&held[0], Scope::Key, "stale"),
        done(&held[1], "good"),
        done(&held[0], "stale"),
        requeued(&held[2], "good", NOW),
    ];
    let turn = stage.turn(&mixed, 9, NOW).await;
    assert_eq!(turn.stale, 2);
    assert_eq!(asked(&turn.claimed), ["k2", "k3"]);
    let records = stage.records().await;
    assert_eq!(records[0].completion, Some(completion("before")));
    assert_eq!(records[1].completion, Some(completion("good")));
}

pub(crate) async fn a_withdrawn_job_in_flight_keeps_its_answer(open: impl Open) {
    let stage = Stage::with_rows(open, 2).await;
    let held = stage.claim(2).await;
    stage.import(&[]).await;
    let settled = [
        done(&held[0], "paid for"),
        requeued(&held[1], "overloaded", NOW),
    ];
    let turn = stage.turn(&settled, 9, NOW).await;
    assert_eq!((turn.stale, turn.claimed, turn.next_due), (0, vec![], None));
    stage.import(&[row("k1", 0), row("k0", 0)]).await;
    let records = stage.records().await;
    assert_eq!(records[1].completion, Some(completion("paid for")));
    assert_eq!(asked(&stage.claim(9).await), ["k1"]);
}

pub(crate) async fn the_causes_of_failures_are_counted(open: impl Open) {
    let stage = Stage::with_rows(open, 6).await;
    let held = stage.claim(6).await;
    let settled = [
        failed(&held[0], Scope::Request, "rare"),
        failed(&held[1], Scope::Request, "frequent"),
        failed(&held[2], Scope::Request, "frequent"),
        failed(&held[3], Scope::Request, "withdrawn"),
        requeued(&held[4], "passes", NOW),
    ];
    stage.settle(&settled).await;
    import(&stage.store, "other", &[row("k", 0)]).await;
    stage
        .import(&["k0", "k1", "k2", "k4", "k5"].map(|key| row(key, 0)))
        .await;
    let batch = stage.store.batch(BATCH).await.unwrap().id;
    let causes = stage.store.causes(batch, 9).await.unwrap();
    let told: Vec<_> = causes.iter().map(|c| (c.rule.as_str(), c.jobs)).collect();
    // A job that waits after a failure has a cause too; a withdrawn one counts no more.
    assert_eq!(told, [("frequent", 2), ("passes", 1), ("rare", 1)]);
    assert_eq!(causes[0].scope, Scope::Request);
    assert_eq!(
        (&*causes[0].message, &*causes[0].hint),
        ("said by frequent", "")
    );
    assert_eq!(stage.store.causes(batch, 1).await.unwrap().len(), 1);
}

fn odd(job: &ClaimedJob, text: &str) -> Settlement {
    let completion = Completion {
        body: text.to_owned(),
        model: text.to_owned(),
        finish_reason: text.to_owned(),
        ..completion("")
    };
    Settlement {
        settled_as: SettledAs::Done(completion),
        key_label: text.to_owned(),
        ..done(job, "")
    }
}
