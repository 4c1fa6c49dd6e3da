//! The baseline of the benchmark: a minimal reqwest loop that stores nothing.

use std::cell::Cell;
use std::rc::Rc;

use tokio::task::LocalSet;

/// The flag that runs this binary as the baseline: `--bare URL REQUESTS IN_FLIGHT`.
pub(crate) const FLAG: &str = "--bare";

/// Sends `total` requests on one thread, with `in_flight` of them at a time.
pub(crate) fn run(url: &str, total: usize, in_flight: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // As in the program, rustls uses the default crypto provider of the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .pool_max_idle_per_host(usize::MAX)
        .build()
        .unwrap();
    let remaining = Rc::new(Cell::new(total));
    let url = format!("{url}/chat/completions");
    let workers = LocalSet::new();
    for _ in 0..in_flight {
        let (client, url, remaining) = (client.clone(), url.clone(), Rc::clone(&remaining));
        workers.spawn_local(async move {
            while remaining.get() > 0 {
                let number = remaining.get();
                remaining.set(number - 1);
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

/// Returns the request that the program sends for a row of [`super::work_dir`].
fn request(number: usize) -> String {
    let text = super::work_dir::prompt(number);
    format!(r#"{{"model":"gpt-4o-mini","messages":[{{"role":"user","content":"{text}"}}]}}"#)
}
