//! A reply: what a completed chat request gave back.
