//! Verification without an engine refuses everything that is not as it was signed, each part by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use trust_engine::blocking::Engine;
use trust_engine::provenance::{
    Checkpoint, Ed25519Signer, Hash, InclusionProof, Payload, SignedCheckpoint, SignedNote, Signer as _,
};
use trust_engine::verify::{self, VerificationError};
use trust_engine::{Decision, NewRecord, Options, RecordType, VerifierKey};

const DEPLOYMENT: &str = "verify.example/trust";

fn signer() -> Ed25519Signer {
    Ed25519Signer::from_seed(&[1; 32])
}

fn engine() -> Engine {
    Engine::open(Options::memory().signer(Arc::new(signer())).deployment(DEPLOYMENT)).unwrap()
}

fn record(engine: &Engine) {
    engine.log().record(NewRecord::new(RecordType::Alert, "a", Decision::Deny)).unwrap();
}

fn signed(size: u64, root: Hash) -> SignedCheckpoint {
    let checkpoint = Checkpoint { origin: format!("{DEPLOYMENT}/prov/0"), size, root };
    let note = checkpoint.sign(&signer()).unwrap();
    SignedCheckpoint { checkpoint, note }
}

#[test]
fn a_log_is_consistent_with_what_it_was_and_with_nothing_else() {
    let engine = engine();
    let key = engine.verifier_key();
    (0..4).for_each(|_| record(&engine));
    let old = engine.log().checkpoint().unwrap().unwrap();
    (0..4).for_each(|_| record(&engine));
    let size = old.checkpoint.size;
    let (new, proof) = engine.log().prove_consistency(size).unwrap();
    assert!(!proof.is_empty());
    verify::consistency(&old, &new, &proof, &key).unwrap();
    verify::consistency(&old, &old, &[], &key).unwrap();

    let not_consistent =
        |old: &SignedCheckpoint, new: &SignedCheckpoint, proof: &[Hash]| match verify::consistency(
            old, new, proof, &key,
        ) {
            Err(error @ VerificationError::NotConsistent { .. }) => {
                let text = error.to_string();
                assert!(text.contains("does not begin with the log of"), "{text}");
            }
            other => panic!("{other:?}"),
        };
    not_consistent(&old, &new, &[]);
    not_consistent(&old, &new, &proof[1..]);
    not_consistent(&new, &old, &proof);
    not_consistent(&signed(size, Hash::leaf(b"another")), &new, &proof);
    not_consistent(&old, &signed(new.checkpoint.size, Hash::leaf(b"another")), &proof);
    not_consistent(&old, &signed(size, Hash::leaf(b"another")), &[]);
    // Every log begins with the empty one, which has one root and needs no proof.
    let empty = signed(0, Hash::empty_tree());
    verify::consistency(&empty, &new, &[], &key).unwrap();
    not_consistent(&empty, &new, &proof);
    not_consistent(&signed(0, Hash::leaf(b"")), &new, &[]);
    not_consistent(&signed(1, Hash::empty_tree()), &new, &[]);

    let stranger = Ed25519Signer::from_seed(&[2; 32]);
    let stranger = VerifierKey::new(key.name(), &stranger.public_key()).unwrap();
    let refused = verify::consistency(&old, &new, &proof, &stranger);
    assert!(matches!(refused, Err(VerificationError::NotSigned)));
    let forged = SignedCheckpoint { note: old.note.clone(), checkpoint: new.checkpoint.clone() };
    let refused = verify::consistency(&old, &forged, &proof, &stranger);
    assert!(matches!(refused, Err(VerificationError::NotSigned)));
}

#[test]
fn a_payload_is_the_one_that_the_entry_commits_to() {
    let engine = engine();
    record(&engine);
    let page = engine.log().query(&trust_engine::Query::new().kind(RecordType::Alert)).unwrap();
    let (entry, payload) = (page.records[0].entry(), page.records[0].payload().unwrap());
    verify::payload(entry, payload).unwrap();
    let mut salt = payload.salt;
    salt[31] ^= 1;
    let others = [
        Payload { bytes: b"{\"reason\":\"x\"}".to_vec(), ..payload.clone() },
        Payload { salt, ..payload.clone() },
    ];
    for other in others {
        let error = verify::payload(entry, &other).unwrap_err();
        assert!(matches!(error, VerificationError::WrongPayload));
        assert!(error.to_string().contains("commits to"));
    }
}

#[test]
fn a_verifier_key_tells_its_parts() {
    let key = engine().verifier_key();
    assert_eq!(key.public_key(), signer().public_key());
    let again: VerifierKey = key.to_string().parse().unwrap();
    assert_eq!((again.name(), again.id(), again.public_key()), (key.name(), key.id(), key.public_key()));
}

#[test]
fn a_malformed_line_of_signature_makes_the_note_malformed() {
    let note = |name: &str, blob: &str| format!("text\n\n\u{2014} {name} {blob}\n").parse::<SignedNote>();
    // Key id and a signature of one byte; notes may hold lines of other kinds of keys.
    assert_eq!(note("name", "AAAAAAA=").unwrap().signatures[0].signature, [0]);
    for (name, blob) in [
        ("", "AAAAAAA="),
        ("a+b", "AAAAAAA="),
        ("a\u{a0}b", "AAAAAAA="),
        ("name", "AAAAAA=="),
        ("name", "AAAA"),
        ("name", "?"),
    ] {
        assert!(note(name, blob).is_err(), "{name:?} {blob}");
    }
}

#[test]
fn a_proof_has_no_more_hashes_than_a_tree_has_levels() {
    let proof = |hashes: usize| {
        let path = vec![Hash::empty_tree(); hashes];
        InclusionProof { index: 0, path, checkpoint: "x\n".into() }.to_string().parse::<InclusionProof>()
    };
    assert_eq!(proof(63).unwrap().path.len(), 63);
    assert!(proof(64).is_err());
    assert!(proof(65).is_err());
}
