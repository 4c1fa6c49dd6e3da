//! What a person sees of a run: progress while it lasts, the summary at its end.
//!
//! All wording of run events is in this room. It returns text or writes to what it was given; it
//! decides nothing and never stops a run: a closed standard error is ignored.

pub mod event;
pub mod json;
pub mod moment;
pub mod quantity;
pub mod safe;
