//! One caller in one window gets the same answers from all of them; otherwise the comparison would mean nothing.

use ceiling_peers::{ALL, Ceiling};

const A: &str = "agent_000000";
const B: &str = "agent_000001";

#[test]
fn one_caller_gets_the_limit_and_no_more() {
    for make in ALL {
        let contender = make(Ceiling { limit: 10, seconds: 360_000, keys: 2 }).unwrap();
        let answers: Vec<bool> = [(A, 11), (A, 4), (B, 10), (A, 4), (A, 3), (A, 2), (A, 1), (B, 1)]
            .map(|(key, amount)| contender.check(key, amount))
            .into();
        let expected = [false, true, true, true, false, true, false, false];
        assert_eq!(answers, expected, "{}", contender.name());
    }
}
