//! Failpoints: named places at which a test lets the program die, fail or panic, to see what is left.
//!
//! They are there with the feature `failpoints` alone. Without it a point is an empty function whose
//! error cannot exist, so nothing of it is left in the program.

#[cfg(not(feature = "failpoints"))]
pub(crate) use absent::{Hit, hit, pass};
#[cfg(feature = "failpoints")]
pub(crate) use present::{Hit, hit, pass, set};

#[cfg(not(feature = "failpoints"))]
mod absent {
    use std::{fmt, io};

    /// An error that cannot happen.
    #[derive(Debug)]
    pub(crate) enum Hit {}

    /// Does nothing.
    #[expect(clippy::unnecessary_wraps, reason = "with the feature it may fail")]
    pub(crate) const fn hit(_name: &str) -> Result<(), Hit> {
        Ok(())
    }

    /// Does nothing.
    pub(crate) const fn pass(_name: &str) {}

    impl fmt::Display for Hit {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            match *self {}
        }
    }

    impl From<Hit> for io::Error {
        fn from(hit: Hit) -> Self {
            match hit {}
        }
    }
}

#[cfg(feature = "failpoints")]
mod present {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::{fmt, io};

    use rustix::process::{Signal, getpid, kill_process};

    static POINTS: OnceLock<Vec<Point>> = OnceLock::new();

    /// What happens at a point.
    #[derive(Clone, Copy, Debug)]
    enum Action {
        /// The process dies as by `kill -9`.
        Kill,
        /// What was to be done fails.
        Error,
        /// The thread panics.
        Panic,
    }

    #[derive(Debug)]
    struct Point {
        name: String,
        action: Action,
        /// The passage at which it happens, from 1.
        nth: u64,
        /// Whether it happens at every later one too.
        lasts: bool,
        passed: AtomicU64,
    }

    /// The error of a point.
    #[derive(Debug)]
    pub(crate) struct Hit(String);

    impl fmt::Display for Hit {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "failpoint {}", self.0)
        }
    }

    impl From<Hit> for io::Error {
        fn from(hit: Hit) -> Self {
            Self::other(hit.to_string())
        }
    }

    /// Sets the points of this process, written like `turn-commit=kill@3,worker=panic@1+`: a name,
    /// what happens, at which passage (the first when none is named), and `+` for all later ones.
    pub(crate) fn set(text: &str) -> Result<(), String> {
        let points: Result<Vec<_>, _> = text.split(',').map(point).collect();
        let _ = POINTS.set(points?);
        Ok(())
    }

    /// Passes a point.
    pub(crate) fn hit(name: &str) -> Result<(), Hit> {
        let points = POINTS.get().map_or(&[][..], Vec::as_slice);
        for point in points.iter().filter(|point| point.name == name) {
            let passed = point.passed.fetch_add(1, Ordering::Relaxed) + 1;
            if passed == point.nth || (point.lasts && passed > point.nth) {
                match point.action {
                    Action::Kill => {
                        let _ = kill_process(getpid(), Signal::KILL);
                        // The signal may take a moment; nothing more is to happen here.
                        std::thread::park();
                    }
                    Action::Error => return Err(Hit(name.to_owned())),
                    Action::Panic => panic!("failpoint {name}"),
                }
            }
        }
        Ok(())
    }

    /// Passes a point where nothing can fail: an error there is a panic too.
    pub(crate) fn pass(name: &str) {
        hit(name).unwrap_or_else(|hit| panic!("{hit}"));
    }

    fn point(text: &str) -> Result<Point, String> {
        let unread = || format!("`{text}` is no failpoint: write NAME=kill|error|panic[@N[+]]");
        let (name, what) = text.split_once('=').ok_or_else(unread)?;
        let (action, at) = what.split_once('@').unwrap_or((what, "1"));
        let action = match action {
            "kill" => Action::Kill,
            "error" => Action::Error,
            "panic" => Action::Panic,
            _ => return Err(unread()),
        };
        let nth = at.trim_end_matches('+');
        Ok(Point {
            name: name.to_owned(),
            action,
            nth: nth.parse().map_err(|_| unread())?,
            lasts: at.ends_with('+'),
            passed: AtomicU64::new(0),
        })
    }
}
