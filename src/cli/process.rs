//! Process setup: disables core dumps, raises the open-file limit, and reports panics as errors.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::domain::concurrency::Concurrency;
use crate::domain::redact::redact;
use crate::progress::safe::Safe;

use super::console;
use super::exit::{CliError, Exit};

/// Open files that a run needs besides those of requests: standard streams, database connections
/// and their WAL files, the lock, the spool, the results, and files of the name service.
const BASE_FILES: u64 = 28;

/// Disables core dumps and reading by other processes of the same user, since the memory of the
/// process contains keys, prompts, and responses.
pub(super) fn disable_core_dumps() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // This is a safeguard: a run continues without it.
    let _ = setrlimit(Resource::Core, none);
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // The limit does not apply if the kernel pipes core dumps to a program.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// A concurrency below the configured one, because of the open-file limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReducedConcurrency {
    /// The maximum number of requests in flight.
    pub(super) max: NonZeroU32,
    /// The open-file limit.
    pub(super) open_files: u64,
}

/// Raises the open-file limit to what the concurrency requires. If the system does not allow that,
/// reduces the concurrency; fails if there are not enough files for a single request, as its
/// connection errors would look like an endpoint that is unavailable.
pub(super) fn raise_open_file_limit(
    concurrency: &mut Concurrency,
    files_per_request: u64,
) -> Result<Option<ReducedConcurrency>, CliError> {
    let required = (concurrency.max() as u64)
        .saturating_mul(files_per_request)
        .saturating_add(BASE_FILES);
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= required {
        return Ok(None);
    }
    let raised = limit.maximum.map_or(required, |max| max.min(required));
    let raise = Rlimit {
        current: Some(raised),
        maximum: limit.maximum,
    };
    let open_files = match setrlimit(Resource::Nofile, raise) {
        Ok(()) => raised,
        Err(_) => current,
    };
    let Some(max) = max_requests(open_files, files_per_request) else {
        let min = BASE_FILES + files_per_request;
        let what =
            format!("the system allows {open_files} open files, but a run requires at least {min}");
        let hint = "raise the limit with `ulimit -n 1024`, or LimitNOFILE of a systemd service";
        return Err(CliError::new(Exit::Config, &what, hint));
    };
    *concurrency = concurrency.capped_at(max);
    Ok((open_files < required).then_some(ReducedConcurrency { max, open_files }))
}

/// Returns how many requests can be in flight with this open-file limit, if any.
fn max_requests(open_files: u64, per_request: u64) -> Option<NonZeroU32> {
    let requests = open_files.saturating_sub(BASE_FILES) / per_request.max(1);
    NonZeroU32::new(u32::try_from(requests).unwrap_or(u32::MAX))
}

/// Reports panics like other errors: without secrets and escape sequences. `RUST_BACKTRACE=1` adds
/// a backtrace.
pub(super) fn install_panic_hook() {
    panic::set_hook(Box::new(|info| console::eprint(&panic_report(info))));
}

/// Runs a function; returns `None` if it panicked, which the panic hook has reported.
pub(super) fn catch_panic<T>(function: impl FnOnce() -> T) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(function)).ok()
}

fn panic_report(info: &PanicHookInfo<'_>) -> String {
    let message = redact(payload_text(info.payload()), &[]).into_owned();
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let mut report = format!(
        "error: internal error in promptmill {} at {location}: {}\n\
         hint: recorded results are on disk; run the same command again, and report this bug\n",
        env!("CARGO_PKG_VERSION"),
        Safe(&message)
    );
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        let _ = writeln!(report, "{backtrace}");
    }
    report
}

fn payload_text(payload: &(dyn Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    let borrowed = payload.downcast_ref::<&str>().copied();
    owned.or(borrowed).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computes_the_concurrency_for_an_open_file_limit() {
        for (open_files, per_request, max) in [
            (1_028, 1, Some(1_000)),
            (1_028, 2, Some(500)),
            (29, 1, Some(1)),
            (29, 2, None),
            (3, 1, None),
            (u64::MAX, 1, Some(u32::MAX)),
        ] {
            let requests = max_requests(open_files, per_request).map(NonZeroU32::get);
            assert_eq!(
                requests, max,
                "{open_files} files, {per_request} per request"
            );
        }
    }

    #[test]
    fn keeps_a_concurrency_that_the_limit_allows() {
        let mut concurrency = Concurrency::fixed(3);
        assert_eq!(raise_open_file_limit(&mut concurrency, 1).unwrap(), None);
        assert_eq!(concurrency, Concurrency::fixed(3));
    }
}
