//! The HTML report of a batch: requests, results and cost on one self-contained page.
//!
//! Requests are added one by one and aggregated in bounded memory. The page contains no prompts, no
//! responses and no scripts.

mod chart;
mod charts;
mod escape;
mod histogram;
mod page;
mod tables;
mod ticks;
mod timeline;
mod totals;

pub use self::page::page;
pub use self::totals::{Report, ReportContext};
