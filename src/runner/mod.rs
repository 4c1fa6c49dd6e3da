//! (runner)
