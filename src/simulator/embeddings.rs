//! Embeddings: small unit vectors derived from the text.

use serde_json::json;

use super::request_body::{RequestBody, tokens_of};
use super::response::{self, SimulatedResponse};
use super::rng::{SeededRng, digest};

/// Number of dimensions of a vector: enough to distinguish two vectors.
const DIMENSIONS: usize = 8;

/// Builds the embeddings of all inputs of a request. The same text gets the same vector.
pub(super) fn embed(request: &RequestBody<'_>, seed: u64) -> SimulatedResponse {
    let embedding = |(index, text): (usize, &str)| json!({ "object": "embedding", "index": index, "embedding": vector(text, seed) });
    let data: Vec<_> = request.texts().enumerate().map(embedding).collect();
    let tokens: u64 = request.texts().map(|text| tokens_of(text.len())).sum();
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    let model = request.model();
    response::json(
        200,
        &json!({ "object": "list", "data": data, "model": model, "usage": usage }),
    )
}

fn vector(text: &str, seed: u64) -> [f64; DIMENSIONS] {
    let mut rng = SeededRng::new(seed, digest(text.as_bytes()), 0);
    let numbers = [(); DIMENSIONS].map(|()| rng.next_normal());
    let length = numbers.iter().map(|number| number * number).sum::<f64>();
    // NaN is not valid JSON, so never divide by zero.
    let length = length.sqrt().max(f64::EPSILON);
    numbers.map(|number| number / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_vector_depends_on_the_text_and_the_seed() {
        let bits = |text, seed| vector(text, seed).map(f64::to_bits);
        assert_eq!(bits("a", 1), bits("a", 1));
        assert_ne!(bits("a", 1), bits("b", 1));
        assert_ne!(bits("a", 1), bits("a", 2));
        let length: f64 = vector("a", 1).iter().map(|number| number * number).sum();
        assert!((length - 1.0).abs() < 1e-9);
    }
}
