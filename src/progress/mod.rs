//! (progress)
