//! What the program is compared with: a bare loop over reqwest that keeps nothing.

use std::cell::Cell;
use std::rc::Rc;

use tokio::task::LocalSet;

/// Lets this binary be the bare loop: `--bare URL REQUESTS IN_FLIGHT`.
pub(crate) const FLAG: &str = "--bare";

/// Makes so many requests, so many of them at once, on one thread.
pub(crate) fn run(url: &str, total: usize, in_flight: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // As the program does: without a provider of its own, rustls takes the process's.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .pool_max_idle_per_host(usize::MAX)
        .build()
        .unwrap();
    let left = Rc::new(Cell::new(total));
    let url = format!("{url}/chat/completions");
    let workers = LocalSet::new();
    for _ in 0..in_flight {
        let (client, url, left) = (client.clone(), url.clone(), Rc::clone(&left));
        workers.spawn_local(async move {
            while left.get() > 0 {
                let number = left.get();
                left.set(number - 1);
                let response = client
                    .post(&url)
                    .header("content-type", "application/json")
                    .header("authorization", "Bearer sk-bench-000001")
                    .body(request(number))
                    .send()
                    .await
                    .unwrap();
                assert!(response.status().is_success());
                assert!(!response.bytes().await.unwrap().is_empty());
            }
        });
    }
    runtime.block_on(workers);
}

/// A request as the program sends it for a row of [`super::folder`].
fn request(number: usize) -> String {
    let text = super::folder::prompt(number);
    format!(r#"{{"model":"gpt-4o-mini","messages":[{{"role":"user","content":"{text}"}}]}}"#)
}
