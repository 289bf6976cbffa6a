//! The most that is admitted in any interval as long as a window, to one thread, in real time.
//!
//! One unit at the start opens a window where windows open with the first use; the start is a whole number of
//! windows after 1970, so that windows of the calendar have their edges at the same places. Then nothing is asked
//! until shortly before the window ends, and from there on as much as there is, for longer than another window. That
//! takes the limit twice from a counter that starts again at the edge, and from a full token bucket the burst and
//! what comes back.

use std::collections::VecDeque;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ceiling_peers::{Ceiling, Contender};

use super::LIMIT;

const WINDOW: Duration = Duration::from_secs(2);
/// How long before and after an edge is asked for as much as there is.
const MARGIN: Duration = Duration::from_millis(100);
/// Between two questions after a refusal; a token bucket gets a unit back in 2 ms.
const PAUSE: Duration = Duration::from_micros(100);

pub(crate) const CEILING: Ceiling = Ceiling { limit: LIMIT, seconds: 2, keys: 1 };

/// The clock just before the check and just after it: the moment that the contender saw lies between.
struct Admission {
    before: Instant,
    after: Instant,
}

/// The most in any window.
pub(crate) fn run(contender: &dyn Contender) -> usize {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let window = WINDOW.as_nanos();
    let wait = window - since_1970.as_nanos() % window;
    sleep(Duration::from_nanos(u64::try_from(wait).unwrap_or_default()));

    let start = Instant::now();
    let mut admissions = Vec::new();
    admissions.extend(ask(contender));
    sleep((WINDOW - MARGIN).saturating_sub(start.elapsed()));
    while start.elapsed() < 2 * WINDOW + MARGIN {
        match ask(contender) {
            Some(admission) => admissions.push(admission),
            None => sleep(PAUSE),
        }
    }
    most_in_a_window(admissions)
}

fn ask(contender: &dyn Contender) -> Option<Admission> {
    let before = Instant::now();
    contender.check("agent", 1).then(|| Admission { before, after: Instant::now() })
}

/// Counts admissions as within one window only when they surely were.
fn most_in_a_window(admissions: Vec<Admission>) -> usize {
    let mut most = 0;
    let mut within: VecDeque<Admission> = VecDeque::new();
    for last in admissions {
        while within.front().is_some_and(|first| last.after.duration_since(first.before) >= WINDOW) {
            within.pop_front();
        }
        within.push_back(last);
        most = most.max(within.len());
    }
    most
}
