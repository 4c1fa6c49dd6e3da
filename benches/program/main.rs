//! Benchmark of the whole program, which runs in a child process against a simulated provider in
//! this process. `scripts/bench` builds it, pins the processes to different cores, and prints the
//! table in `docs/PERFORMANCE.md`.
//!
//! Without `--bench`, as when all targets are tested, a single small run checks that it works.

#![expect(clippy::print_stdout, reason = "prints the results")]
#![expect(clippy::cast_precision_loss, reason = "the numbers are far below 2^53")]
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first error")]

mod bare;
mod child;
mod sections;
mod work_dir;

use sections::Size;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, url, total, in_flight] = arguments.as_slice()
        && first == bare::FLAG
    {
        bare::run(url, total.parse().unwrap(), in_flight.parse().unwrap());
        return;
    }
    if let Some(core) = arguments
        .iter()
        .find_map(|argument| argument.strip_prefix("--core="))
    {
        child::CORE.get_or_init(|| core.to_owned());
    }
    let is_bench = arguments.iter().any(|argument| argument == "--bench");
    let requested: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let size = Size {
        full: is_bench,
        million: arguments.iter().any(|argument| argument == "--million"),
    };
    println!("| what | measured |\n| --- | --- |");
    for (name, measure) in sections::ALL {
        let selected = if is_bench {
            requested.is_empty() || requested.contains(&name)
        } else {
            name == "throughput"
        };
        if selected {
            measure(size);
        }
    }
}
