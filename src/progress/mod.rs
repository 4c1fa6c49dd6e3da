//! What a person sees of a run: progress while it lasts, the summary at its end.

pub mod event;
