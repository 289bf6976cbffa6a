//! A policy document from anywhere: parsed or refused with places inside the text, and stable once parsed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trust_engine::Policy;

fuzz_target!(|text: &str| {
    match Policy::parse(text) {
        Ok(policy) => {
            // The canonical form says the same, so it has the same hash.
            let canonical = serde_json::to_string(policy.document()).expect("a document is JSON");
            let again = Policy::parse(&canonical).expect("a parsed document parses again");
            assert_eq!(policy.hash(), again.hash());
        }
        Err(mistakes) => {
            assert!(mistakes.len() > 0);
            for mistake in mistakes.iter() {
                assert!(!mistake.to_string().is_empty());
            }
        }
    }
});
