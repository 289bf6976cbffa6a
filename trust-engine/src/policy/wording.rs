//! Words for messages: they quote the text that was found, list the names that would be right and guess the one that
//! was meant.
//!
//! A document may come from anywhere, so every quotation from it is escaped and clipped: a message stays one line of
//! bounded length.

/// The longest text that is quoted in full, in characters.
const QUOTED: usize = 60;
/// The most names that a message lists.
const LISTED: usize = 12;
/// The longest text that is compared for a suggestion; longer texts are not slips of the finger.
const COMPARED: usize = 64;

/// The text in quotes, escaped, and cut when it is long.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        None => format!("{text:?}"),
        Some((cut, _)) => format!("{:?}…", text.get(..cut).unwrap_or_default()),
    }
}

/// The number with commas between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Lists names as `A, B, C`; a list that is too long is cut and ends with the count of all names.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    let shown = names.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
    if names.len() > LISTED { format!("{shown}, … ({} in all)", names.len()) } else { shown }
}

/// The candidate that `text` was probably meant to be.
pub(crate) fn nearest<T: AsRef<str>>(text: &str, candidates: impl IntoIterator<Item = T>) -> Option<T> {
    let wanted: Vec<char> = text.chars().take(COMPARED + 1).collect();
    if wanted.is_empty() || wanted.len() > COMPARED {
        return None;
    }
    let limit = (wanted.len() / 3).max(1);
    let wanted = folded(&wanted);
    let mut best: Option<(usize, T)> = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.as_ref().chars().take(COMPARED + 1).collect();
        if letters.len().abs_diff(wanted.len()) > limit {
            continue;
        }
        // A difference in case is no slip at all.
        let distance = distance(&wanted, &folded(&letters));
        if distance <= limit && best.as_ref().is_none_or(|(least, _)| distance < *least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn folded(letters: &[char]) -> Vec<char> {
    letters.iter().map(char::to_ascii_lowercase).collect()
}

/// The number of letters to insert, remove, replace or swap with their neighbour (optimal string alignment).
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (row, a) in from.iter().enumerate() {
        let mut left = row + 1;
        let mut current = Vec::with_capacity(last.len());
        current.push(left);
        let mut behind = None;
        for ((column, b), pair) in to.iter().enumerate().zip(last.windows(2)) {
            let (diagonal, above) = (pair.first().copied().unwrap_or(0), pair.last().copied().unwrap_or(0));
            left = (diagonal + usize::from(a != b)).min(above + 1).min(left + 1);
            if previous == Some(b) && behind == Some(a) {
                let swapped = column.checked_sub(1).and_then(|column| before.get(column)).copied();
                left = left.min(swapped.unwrap_or(usize::MAX - 1) + 1);
            }
            current.push(left);
            behind = Some(b);
        }
        previous = Some(a);
        before = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        let tiers = ["UNKNOWN", "BASIC", "VERIFIED", "TRUSTED"];
        for slip in ["VERFIED", "VERIFEID", "verified", "VERIFIEDD", "VARIFIED"] {
            assert_eq!(nearest(slip, tiers), Some("VERIFIED"), "{slip}");
        }
        assert_eq!(nearest("GOLD", tiers), None);
        assert_eq!(nearest("", tiers), None);
        assert_eq!(nearest(&"V".repeat(10_000), tiers), None);
        assert_eq!(nearest("T1", ["T0", "t1"]), Some("t1"));
    }

    #[test]
    fn the_distance_counts_swaps_once() {
        let distance =
            |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        assert_eq!(distance("abcd", "abdc"), 1);
        assert_eq!(distance("ba", "ab"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }

    #[test]
    fn what_is_quoted_stays_one_short_line() {
        assert_eq!(quoted("a\nb\u{1b}"), r#""a\nb\u{1b}""#);
        assert_eq!(quoted(&"é".repeat(61)), format!("\"{}\"…", "é".repeat(60)));
        assert_eq!(grouped(1_099_511_627_775), "1,099,511,627,775");
        assert_eq!((grouped(999), grouped(1000)), ("999".into(), "1,000".into()));
    }
}
