//! Daily time windows in a civil time zone.
//!
//! A window is compared with the time of a wall clock in that zone, so it follows daylight saving by itself.
//! An overnight window belongs to the day on which it begins.

use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use super::document::TimeWindow;
use crate::clock::Timestamp;

const MINUTES_PER_DAY: u16 = 24 * 60;

/// A compiled window.
#[derive(Clone, Debug)]
pub(crate) struct DailyWindow {
    zone: TimeZone,
    /// Whether a window begins on the day, from Monday on.
    days: [bool; 7],
    from: u16,
    to: u16,
}

impl DailyWindow {
    /// Compiles a window; `None` where the document's check would have found a mistake.
    pub(crate) fn compile(window: &TimeWindow) -> Option<Self> {
        let named = |day: usize| {
            window.days.as_ref().is_none_or(|days| days.iter().any(|named| *named as usize == day))
        };
        Some(Self {
            zone: TimeZone::get(&window.zone).ok()?,
            days: std::array::from_fn(named),
            from: minute_of_day(&window.from)?,
            to: minute_of_day(&window.to)?,
        })
    }

    /// Says whether `now` falls into the window.
    pub(crate) fn contains(&self, now: Timestamp) -> bool {
        let civil = self.zone.to_datetime(now.to_jiff());
        let minute = u16::from(civil.hour().unsigned_abs()) * 60 + u16::from(civil.minute().unsigned_abs());
        let begins_on = |weekday: Weekday| {
            self.days.get(usize::from(weekday.to_monday_zero_offset().unsigned_abs())) == Some(&true)
        };
        let (today, yesterday) = (civil.weekday(), civil.weekday().previous());
        if self.from < self.to {
            return begins_on(today) && (self.from..self.to).contains(&minute);
        }
        (begins_on(today) && minute >= self.from) || (begins_on(yesterday) && minute < self.to)
    }
}

/// The minutes since midnight of `HH:MM`, 00:00 to 24:00.
pub(crate) fn minute_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= MINUTES_PER_DAY).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Day;

    fn window(zone: &str, days: Option<Vec<Day>>, from: &str, to: &str) -> DailyWindow {
        let (zone, from, to) = (zone.into(), from.into(), to.into());
        DailyWindow::compile(&TimeWindow { zone, days, from, to }).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_start_is_inside_and_the_end_is_not() {
        let office = window("UTC", None, "09:00", "17:00");
        assert!(!office.contains(at("2024-05-06T08:59:59.999999Z")));
        assert!(office.contains(at("2024-05-06T09:00:00Z")));
        assert!(office.contains(at("2024-05-06T16:59:59.999999Z")));
        assert!(!office.contains(at("2024-05-06T17:00:00Z")));
        assert!(window("UTC", None, "00:00", "24:00").contains(at("2024-05-06T23:59:59Z")));
    }

    #[test]
    fn a_time_of_day_has_two_digits_twice_and_ends_with_the_day() {
        for (text, minute) in [("00:00", 0), ("01:30", 90), ("23:59", 1439), ("24:00", 1440)] {
            assert_eq!(minute_of_day(text), Some(minute), "{text}");
        }
        for text in
            ["1:30", "01:3", "001:30", "+1:30", "01:+3", "a1:30", "01:60", "24:01", "25:00", "0130", ""]
        {
            assert_eq!(minute_of_day(text), None, "{text}");
        }
    }

    #[test]
    fn a_window_that_ends_where_it_begins_lasts_a_day() {
        let monday = window("UTC", Some(vec![Day::Mon]), "09:00", "09:00");
        assert!(!monday.contains(at("2024-05-06T08:59:59.999999Z")));
        assert!(monday.contains(at("2024-05-06T09:00:00Z")));
        assert!(monday.contains(at("2024-05-07T08:59:59.999999Z")));
        assert!(!monday.contains(at("2024-05-07T09:00:00Z")));
    }

    #[test]
    fn an_overnight_window_belongs_to_the_day_it_begins_on() {
        let friday_night = window("UTC", Some(vec![Day::Fri]), "22:00", "06:00");
        assert!(friday_night.contains(at("2024-05-10T22:00:00Z")), "Friday evening");
        assert!(friday_night.contains(at("2024-05-11T05:59:00Z")), "Saturday morning");
        assert!(!friday_night.contains(at("2024-05-10T05:00:00Z")), "Friday morning belongs to Thursday");
        assert!(!friday_night.contains(at("2024-05-11T23:00:00Z")));
        let sunday_night = window("UTC", Some(vec![Day::Sun]), "22:00", "06:00");
        assert!(sunday_night.contains(at("2024-05-13T01:00:00Z")), "Monday morning after Sunday");
    }

    #[test]
    fn the_wall_clock_rules_across_daylight_saving() {
        let office = window("Europe/Berlin", None, "09:00", "17:00");
        // CET (+1) before 31 March 2024, CEST (+2) after.
        assert!(!office.contains(at("2024-03-30T07:30:00Z")));
        assert!(office.contains(at("2024-03-31T07:30:00Z")));
        // The hour that is skipped in spring and the one that comes twice in autumn.
        let early = window("Europe/Berlin", None, "02:00", "03:00");
        assert!(!early.contains(at("2024-03-31T01:30:00Z")), "02:30 does not exist that day");
        assert!(early.contains(at("2024-10-27T00:30:00Z")) && early.contains(at("2024-10-27T01:30:00Z")));
    }
}
