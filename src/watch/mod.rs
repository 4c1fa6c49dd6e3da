//! The live view of `status --watch`: keeps a history of snapshots and draws it.
//!
//! This module reads neither the database nor the clock: the caller passes snapshots and the time.

mod draw;
mod rows;
mod screen;
mod state;
mod theme;

pub use self::draw::draw;
pub use self::screen::{Screen, UserInput};
pub use self::state::{Snapshot, WatchState, WatchedBatch, WatchedFailure};
