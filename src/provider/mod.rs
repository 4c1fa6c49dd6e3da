//! (provider)

pub mod refusal;
