//! Embeddings: small vectors of length one, made up from the text.

use serde::Serialize;

use super::question::{Question, tokens_of};
use super::reply::{SimulatedResponse, json};
use super::seed::{Dice, digest};

/// The dimensions of a vector: enough to see that two differ.
const DIMENSIONS: usize = 8;

#[derive(Serialize)]
struct Embeddings<'a> {
    object: &'static str,
    data: Vec<Embedding>,
    model: &'a str,
    usage: Usage,
}

#[expect(clippy::struct_field_names, reason = "the name on the wire")]
#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: [f64; DIMENSIONS],
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// Makes the vectors of all texts of a question; the same text gets the same vector.
pub(super) fn embed(question: &Question<'_>, seed: u64) -> SimulatedResponse {
    let embedding = |(index, text): (usize, &str)| Embedding {
        object: "embedding",
        index,
        embedding: vector(text, seed),
    };
    let tokens = question.texts().map(|text| tokens_of(text.len())).sum();
    let embeddings = Embeddings {
        object: "list",
        data: question.texts().enumerate().map(embedding).collect(),
        model: question.model(),
        usage: Usage {
            prompt_tokens: tokens,
            total_tokens: tokens,
        },
    };
    json(200, &embeddings)
}

fn vector(text: &str, seed: u64) -> [f64; DIMENSIONS] {
    let mut dice = Dice::new(seed, digest(text.as_bytes()), 0);
    let numbers = [(); DIMENSIONS].map(|()| dice.normal());
    let length = numbers.iter().map(|number| number * number).sum::<f64>();
    // Eight normal numbers are never all zero, but a division by zero would not be JSON.
    let length = length.sqrt().max(f64::EPSILON);
    numbers.map(|number| number / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_depends_on_the_text_and_the_seed_and_has_length_one() {
        let bits = |text, seed| vector(text, seed).map(f64::to_bits);
        assert_eq!(bits("a", 1), bits("a", 1));
        assert_ne!(bits("a", 1), bits("b", 1));
        assert_ne!(bits("a", 1), bits("a", 2));
        let length: f64 = vector("a", 1).iter().map(|number| number * number).sum();
        assert!((length - 1.0).abs() < 1e-9);
    }
}
