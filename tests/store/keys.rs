//! What is remembered of keys between runs.

use promptmill::domain::time::Timestamp;
use promptmill::store::KeyRow;

use super::stage::{Open, Stage};

const NOW: Timestamp = Timestamp::from_millis(5);

pub(crate) async fn states_are_saved_and_read_again(open: impl Open) {
    let stage = Stage::empty(open).await;
    assert_eq!(stage.store.keys().await.unwrap(), []);
    let (one, two) = (key("p1", "a", "healthy"), key("p2", "b", "dead"));
    let both = [two.clone(), one.clone()];
    stage.store.save_keys(&both, "m", NOW).await.unwrap();
    assert_eq!(stage.store.keys().await.unwrap(), [one.clone(), two]);
    // The same key again is a new state of it, and may have a new name.
    let changed = KeyRow {
        label: "z".to_owned(),
        state: "cooling".to_owned(),
        until: Some(Timestamp::from_millis(77)),
        reason: "slow \"down\" 😀".to_owned(),
        ..one
    };
    stage
        .store
        .save_keys(&[changed.clone()], "m", NOW)
        .await
        .unwrap();
    let stage = stage.reopen().await;
    let kept = stage.store.keys().await.unwrap();
    assert_eq!((kept.len(), &kept[1]), (2, &changed));
    stage.store.save_keys(&[], "m", NOW).await.unwrap();
    assert_eq!(stage.store.keys().await.unwrap(), kept);
}

pub(crate) async fn a_key_has_a_state_for_each_address(open: impl Open) {
    let stage = Stage::empty(open).await;
    let here = key("p", "a", "dead");
    let there = KeyRow {
        base_url: "https://other.test/v1".to_owned(),
        state: "healthy".to_owned(),
        ..here.clone()
    };
    let both = [here, there];
    stage.store.save_keys(&both, "m", NOW).await.unwrap();
    assert_eq!(stage.store.keys().await.unwrap(), both);
}

pub(crate) async fn a_key_has_a_state_for_each_model(open: impl Open) {
    let stage = Stage::empty(open).await;
    let of = |model: &str, state: &str| KeyRow {
        model: model.to_owned(),
        ..key("p", "a", state)
    };
    for (model, row) in [("m", of("m", "quarantined")), ("n", of("n", "cooling"))] {
        stage.store.save_keys(&[row], model, NOW).await.unwrap();
    }
    let kept = stage.store.keys().await.unwrap();
    assert_eq!(kept, [of("m", "quarantined"), of("n", "cooling")]);
    // What is about all models takes the place of what was about this one, and of no other.
    stage
        .store
        .save_keys(&[of("", "dead")], "m", NOW)
        .await
        .unwrap();
    let kept = stage.store.keys().await.unwrap();
    assert_eq!(kept, [of("", "dead"), of("n", "cooling")]);
}

pub(crate) async fn keys_are_reset_by_label_or_all(open: impl Open) {
    let stage = Stage::empty(open).await;
    let all = ["a", "b", "c"].map(|label| key(&format!("print of {label}"), label, "dead"));
    stage.store.save_keys(&all, "m", NOW).await.unwrap();
    assert_eq!(stage.store.reset_keys(Some("none")).await.unwrap(), 0);
    assert_eq!(stage.store.reset_keys(Some("b")).await.unwrap(), 1);
    let kept = stage.store.keys().await.unwrap();
    assert_eq!(kept, [all[0].clone(), all[2].clone()]);
    assert_eq!(stage.store.reset_keys(None).await.unwrap(), 2);
    assert_eq!(stage.store.keys().await.unwrap(), []);
}

pub(crate) async fn the_salt_stays_and_is_this_databases_own(open: impl Open) {
    let stage = Stage::empty(open).await;
    let salt = stage.store.salt().await.unwrap();
    assert_eq!(salt.len(), 16);
    assert!(salt.iter().any(|byte| *byte != salt[0]), "{salt:?}");
    let mut stage = stage.reopen().await;
    assert_eq!(stage.store.salt().await.unwrap(), salt);
    stage.crash().await;
    assert_eq!(stage.store.salt().await.unwrap(), salt);
    let other = Stage::empty(open).await;
    assert_ne!(other.store.salt().await.unwrap(), salt);
}

fn key(fingerprint: &str, label: &str, state: &str) -> KeyRow {
    KeyRow {
        model: String::new(),
        fingerprint: fingerprint.to_owned(),
        base_url: "https://api.test/v1".to_owned(),
        label: label.to_owned(),
        state: state.to_owned(),
        until: None,
        reason: String::new(),
    }
}
