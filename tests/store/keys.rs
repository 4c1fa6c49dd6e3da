//! The stored state of API keys.

use promptmill::domain::time::Timestamp;
use promptmill::store::KeyRow;

use super::fixture::{Fixture, OpenStore};

const NOW: Timestamp = Timestamp::from_millis(5);

pub(crate) async fn states_are_saved_and_loaded(open: impl OpenStore) {
    let fixture = Fixture::empty(open).await;
    assert_eq!(fixture.store.keys().await.unwrap(), []);
    let (one, two) = (key("p1", "a", "healthy"), key("p2", "b", "dead"));
    let both = [two.clone(), one.clone()];
    fixture.store.save_keys(&both, "m", NOW).await.unwrap();
    assert_eq!(fixture.store.keys().await.unwrap(), [one.clone(), two]);
    // Saving the same key again replaces its state and label.
    let changed = KeyRow {
        label: "z".to_owned(),
        state: "cooling".to_owned(),
        until: Some(Timestamp::from_millis(77)),
        reason: "slow \"down\" 😀".to_owned(),
        ..one
    };
    fixture
        .store
        .save_keys(&[changed.clone()], "m", NOW)
        .await
        .unwrap();
    let fixture = fixture.reopen().await;
    let saved = fixture.store.keys().await.unwrap();
    assert_eq!((saved.len(), &saved[1]), (2, &changed));
    fixture.store.save_keys(&[], "m", NOW).await.unwrap();
    assert_eq!(fixture.store.keys().await.unwrap(), saved);
}

pub(crate) async fn a_key_has_a_state_per_base_url(open: impl OpenStore) {
    let fixture = Fixture::empty(open).await;
    let one_url = key("p", "a", "dead");
    let other_url = KeyRow {
        base_url: "https://other.test/v1".to_owned(),
        state: "healthy".to_owned(),
        ..one_url.clone()
    };
    let both = [one_url, other_url];
    fixture.store.save_keys(&both, "m", NOW).await.unwrap();
    assert_eq!(fixture.store.keys().await.unwrap(), both);
}

pub(crate) async fn a_key_has_a_state_per_model(open: impl OpenStore) {
    let fixture = Fixture::empty(open).await;
    let row_for = |model: &str, state: &str| KeyRow {
        model: model.to_owned(),
        ..key("p", "a", state)
    };
    for (model, row) in [
        ("m", row_for("m", "quarantined")),
        ("n", row_for("n", "cooling")),
    ] {
        fixture.store.save_keys(&[row], model, NOW).await.unwrap();
    }
    let saved = fixture.store.keys().await.unwrap();
    assert_eq!(
        saved,
        [row_for("m", "quarantined"), row_for("n", "cooling")]
    );
    // A state for all models replaces the state for model `m`, but not that for other models.
    fixture
        .store
        .save_keys(&[row_for("", "dead")], "m", NOW)
        .await
        .unwrap();
    let saved = fixture.store.keys().await.unwrap();
    assert_eq!(saved, [row_for("", "dead"), row_for("n", "cooling")]);
}

pub(crate) async fn keys_are_reset_by_label_or_all(open: impl OpenStore) {
    let fixture = Fixture::empty(open).await;
    let all = ["a", "b", "c"].map(|label| key(&format!("fingerprint of {label}"), label, "dead"));
    fixture.store.save_keys(&all, "m", NOW).await.unwrap();
    assert_eq!(fixture.store.reset_keys(Some("none")).await.unwrap(), 0);
    assert_eq!(fixture.store.reset_keys(Some("b")).await.unwrap(), 1);
    let saved = fixture.store.keys().await.unwrap();
    assert_eq!(saved, [all[0].clone(), all[2].clone()]);
    assert_eq!(fixture.store.reset_keys(None).await.unwrap(), 2);
    assert_eq!(fixture.store.keys().await.unwrap(), []);
}

pub(crate) async fn the_salt_is_persistent_and_unique_to_the_database(open: impl OpenStore) {
    let fixture = Fixture::empty(open).await;
    let salt = fixture.store.salt().await.unwrap();
    assert_eq!(salt.len(), 16);
    assert!(salt.iter().any(|byte| *byte != salt[0]), "{salt:?}");
    let mut fixture = fixture.reopen().await;
    assert_eq!(fixture.store.salt().await.unwrap(), salt);
    fixture.crash().await;
    assert_eq!(fixture.store.salt().await.unwrap(), salt);
    let other = Fixture::empty(open).await;
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
