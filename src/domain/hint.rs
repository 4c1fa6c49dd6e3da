//! How long a provider asks to wait, in every spelling seen.
