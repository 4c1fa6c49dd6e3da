//! (intake)
