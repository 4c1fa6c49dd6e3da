//! Measures the whole program as a user runs it: a child process against the simulated provider,
//! which lives in this process. `scripts/bench` builds it, keeps the two on different cores, and
//! prints what `docs/PERFORMANCE.md` shows.
//!
//! Without `--bench`, as when all targets are tested, one small run shows that it works.

#![expect(clippy::print_stdout, reason = "what a measurement says is for people")]
#![expect(
    clippy::cast_precision_loss,
    reason = "figures for people, far below what a double holds exactly"
)]
#![expect(clippy::unwrap_used, reason = "a measurement that fails shall stop")]

mod bare;
mod child;
mod folder;
mod sections;

use sections::Size;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, url, total, in_flight] = words.as_slice()
        && first == bare::FLAG
    {
        bare::run(url, total.parse().unwrap(), in_flight.parse().unwrap());
        return;
    }
    if let Some(core) = words.iter().find_map(|word| word.strip_prefix("--core=")) {
        child::CORE.get_or_init(|| core.to_owned());
    }
    let is_bench = words.iter().any(|word| word == "--bench");
    let asked: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let size = Size {
        full: is_bench,
        million: words.iter().any(|word| word == "--million"),
    };
    println!("| what | measured |\n| --- | --- |");
    for (name, measure) in sections::ALL {
        let wanted = if is_bench {
            asked.is_empty() || asked.contains(&name)
        } else {
            name == "throughput"
        };
        if wanted {
            measure(size);
        }
    }
}
