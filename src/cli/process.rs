//! What the process asks of the system, and how it looks when something in it breaks: no image of
//! its memory on disk, enough file handles, a panic told like any other error.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::domain::redact::redact;
use crate::domain::window::Concurrency;
use crate::progress::safe::Safe;

use super::error::CliError;
use super::exit::Exit;
use super::screen;

/// File handles that a run needs besides those of requests: its streams, the queue's connections
/// and their logs, the lock, the spool, the results, and what the system's name service opens.
const OWN_HANDLES: u64 = 28;

/// Keeps the memory of the process, with keys, prompts and answers in it, from being written to disk
/// when it breaks down, and from being read by other processes of the same user.
pub(super) fn leave_no_image() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // A system that refuses has no better way to offer, and a run is worth more than that.
    let _ = setrlimit(Resource::Core, none);
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // The limit alone does not hold back a system that hands dumps to a program.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// Fewer requests in flight than were asked for, since the system gives no more file handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lowered {
    /// How many there are now.
    pub(super) most: NonZeroU32,
    /// The limit of the system.
    pub(super) handles: u64,
}

/// Raises the limit of file handles to what so many requests need, of which each takes some. Where
/// the system does not give as many, there are fewer requests; where not even one has room, an error
/// says so, as connections that never come about would look like an endpoint that is down.
pub(super) fn make_room(
    concurrency: &mut Concurrency,
    handles_each: u64,
) -> Result<Option<Lowered>, CliError> {
    let wanted = (concurrency.most() as u64)
        .saturating_mul(handles_each)
        .saturating_add(OWN_HANDLES);
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= wanted {
        return Ok(None);
    }
    let raised = limit.maximum.map_or(wanted, |most| most.min(wanted));
    let raise = Rlimit {
        current: Some(raised),
        maximum: limit.maximum,
    };
    let handles = match setrlimit(Resource::Nofile, raise) {
        Ok(()) => raised,
        Err(_) => current,
    };
    let Some(most) = fitting(handles, handles_each) else {
        let least = OWN_HANDLES + handles_each;
        let what = format!("the system allows {handles} open files, and a run needs {least}");
        let hint = "raise it with `ulimit -n 1024`, or LimitNOFILE of a systemd service";
        return Err(CliError::new(Exit::Config, &what, hint));
    };
    *concurrency = concurrency.at_most(most);
    Ok((handles < wanted).then_some(Lowered { most, handles }))
}

/// How many requests have room among so many handles, if any.
fn fitting(handles: u64, each: u64) -> Option<NonZeroU32> {
    let requests = handles.saturating_sub(OWN_HANDLES) / each.max(1);
    NonZeroU32::new(u32::try_from(requests).unwrap_or(u32::MAX))
}

/// Lets a panic be told as an error of the program, without secrets and commands for the terminal.
/// `RUST_BACKTRACE=1` adds how it came to it.
pub(super) fn tell_panics() {
    panic::set_hook(Box::new(|info| screen::say(&words(info))));
}

/// Does the work. `None` when it panicked: that has been told.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(work)).ok()
}

fn words(info: &PanicHookInfo<'_>) -> String {
    let what = redact(said(info.payload()), &[]).into_owned();
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let mut words = format!(
        "error: a defect in promptmill {}, at {place}: {}\n\
         hint: what was recorded is on disk; run the same command again, and report this line\n",
        env!("CARGO_PKG_VERSION"),
        Safe(&what)
    );
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        // A string takes all that is written to it.
        let _ = writeln!(words, "{trace}");
    }
    words
}

fn said(payload: &(dyn Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    let fixed = payload.downcast_ref::<&str>().copied();
    owned.or(fixed).unwrap_or("no reason was given")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_fit_into_the_handles_that_are_left() {
        for (handles, each, most) in [
            (1_028, 1, Some(1_000)),
            (1_028, 2, Some(500)),
            (29, 1, Some(1)),
            (29, 2, None),
            (3, 1, None),
            (u64::MAX, 1, Some(u32::MAX)),
        ] {
            let fitting = fitting(handles, each).map(NonZeroU32::get);
            assert_eq!(fitting, most, "{handles} by {each}");
        }
    }

    #[test]
    fn what_fits_is_left_as_it_is() {
        let mut concurrency = Concurrency::fixed(3);
        assert_eq!(make_room(&mut concurrency, 1).unwrap(), None);
        assert_eq!(concurrency, Concurrency::fixed(3));
    }
}
