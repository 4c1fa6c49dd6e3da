//! Failpoints: named places where a test makes the program crash, fail or panic.
//!
//! They require the feature `failpoints`. Without it, a failpoint is an empty function with an
//! uninhabited error type, which compiles to nothing.

#[cfg(not(feature = "failpoints"))]
pub(crate) use absent::{FailpointError, hit, hit_or_panic};
#[cfg(feature = "failpoints")]
pub(crate) use present::{FailpointError, hit, hit_or_panic, set};

#[cfg(not(feature = "failpoints"))]
mod absent {
    use std::{fmt, io};

    /// An error that cannot occur.
    #[derive(Debug)]
    pub(crate) enum FailpointError {}

    /// Does nothing.
    #[expect(clippy::unnecessary_wraps, reason = "can fail with the feature")]
    pub(crate) const fn hit(_name: &str) -> Result<(), FailpointError> {
        Ok(())
    }

    /// Does nothing.
    pub(crate) const fn hit_or_panic(_name: &str) {}

    impl fmt::Display for FailpointError {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            match *self {}
        }
    }

    impl From<FailpointError> for io::Error {
        fn from(error: FailpointError) -> Self {
            match error {}
        }
    }
}

#[cfg(feature = "failpoints")]
mod present {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::{fmt, io};

    use rustix::process::{Signal, getpid, kill_process};

    static FAILPOINTS: OnceLock<Vec<Failpoint>> = OnceLock::new();

    /// What happens at a failpoint.
    #[derive(Clone, Copy, Debug)]
    enum FailpointAction {
        /// Kills the process with SIGKILL.
        Kill,
        /// Returns an error.
        Error,
        /// Panics.
        Panic,
    }

    #[derive(Debug)]
    struct Failpoint {
        name: String,
        action: FailpointAction,
        /// The hit at which the action happens, counted from 1.
        nth: u64,
        /// Whether the action also happens at every later hit.
        repeats: bool,
        hits: AtomicU64,
    }

    /// The error of a failpoint.
    #[derive(Debug)]
    pub(crate) struct FailpointError(String);

    impl fmt::Display for FailpointError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "failpoint {}", self.0)
        }
    }

    impl From<FailpointError> for io::Error {
        fn from(error: FailpointError) -> Self {
            Self::other(error.to_string())
        }
    }

    /// Activates failpoints, for example `turn-commit=kill@3,worker=panic@1+`: the name, the
    /// action, the number of the hit (1 by default), and `+` to include all later hits.
    pub(crate) fn set(text: &str) -> Result<(), String> {
        let failpoints: Result<Vec<_>, _> = text.split(',').map(parse).collect();
        let _ = FAILPOINTS.set(failpoints?);
        Ok(())
    }

    /// Records a hit of a failpoint, and performs its action if it is due.
    pub(crate) fn hit(name: &str) -> Result<(), FailpointError> {
        let points = FAILPOINTS.get().map_or(&[][..], Vec::as_slice);
        for point in points.iter().filter(|point| point.name == name) {
            let hits = point.hits.fetch_add(1, Ordering::Relaxed) + 1;
            if hits == point.nth || (point.repeats && hits > point.nth) {
                match point.action {
                    FailpointAction::Kill => {
                        let _ = kill_process(getpid(), Signal::KILL);
                        // The signal may be delivered late; do nothing else until then.
                        std::thread::park();
                    }
                    FailpointAction::Error => return Err(FailpointError(name.to_owned())),
                    FailpointAction::Panic => panic!("failpoint {name}"),
                }
            }
        }
        Ok(())
    }

    /// Like [`hit`], for code that cannot return an error: an error becomes a panic.
    pub(crate) fn hit_or_panic(name: &str) {
        hit(name).unwrap_or_else(|error| panic!("{error}"));
    }

    fn parse(text: &str) -> Result<Failpoint, String> {
        let invalid =
            || format!("invalid failpoint `{text}`: expected NAME=kill|error|panic[@N[+]]");
        let (name, action) = text.split_once('=').ok_or_else(invalid)?;
        let (action, nth) = action.split_once('@').unwrap_or((action, "1"));
        let action = match action {
            "kill" => FailpointAction::Kill,
            "error" => FailpointAction::Error,
            "panic" => FailpointAction::Panic,
            _ => return Err(invalid()),
        };
        Ok(Failpoint {
            name: name.to_owned(),
            action,
            nth: nth.trim_end_matches('+').parse().map_err(|_| invalid())?,
            repeats: nth.ends_with('+'),
            hits: AtomicU64::new(0),
        })
    }
}
