//! One caller in one window gets the same answers from all of them; otherwise the comparison would mean nothing.

use ceiling_peers::{ALL, Ceiling};

#[test]
fn one_caller_gets_the_limit_and_no_more() {
    for make in ALL {
        let contender = make(Ceiling { limit: 10, seconds: 360_000, keys: 2 }).unwrap();
        let answers: Vec<bool> =
            [("a", 11), ("a", 4), ("b", 10), ("a", 4), ("a", 3), ("a", 2), ("a", 1), ("b", 1)]
                .map(|(key, amount)| contender.check(key, amount))
                .into();
        let expected = [false, true, true, true, false, true, false, false];
        assert_eq!(answers, expected, "{}", contender.name());
    }
}
