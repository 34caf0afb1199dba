//! What chat templates expect beside the language: Python's methods, `raise_exception`, `strftime_now`, `tojson`.

use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind, State};

use super::{json, metered};

/// A point in time of a calendar, as a template may ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime {
    /// Days since 1970-01-01.
    days: i64,
    /// Of the day, under 86400.
    seconds: u32,
}

const DAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl DateTime {
    /// Seconds since 1970-01-01 00:00, in the caller's time zone, up to the year 9999.
    pub fn from_unix(seconds: u64) -> Self {
        // 9999-12-31 23:59:59
        let seconds = seconds.min(253_402_300_799);
        Self {
            days: (seconds / 86_400) as i64,
            seconds: (seconds % 86_400) as u32,
        }
    }

    /// Year, month and day from 1.
    fn date(self) -> (i64, usize, i64) {
        let mut year = 1970 + self.days / 366;
        let starts = |year: i64| {
            (year - 1970) * 365 + (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 - 477
        };
        while starts(year + 1) <= self.days {
            year += 1;
        }
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let mut day = self.days - starts(year);
        let lengths = [
            31,
            28 + i64::from(leap),
            31,
            30,
            31,
            30,
            31,
            31,
            30,
            31,
            30,
            31,
        ];
        let mut month = 0;
        while day >= lengths[month] {
            day -= lengths[month];
            month += 1;
        }
        (year, month + 1, day + 1)
    }

    /// As Python's `strftime`, of the directives that templates use.
    fn format(self, format: &str) -> Result<String, Error> {
        let (year, month, day) = self.date();
        let (hour, minute, second) = (
            self.seconds / 3600,
            self.seconds / 60 % 60,
            self.seconds % 60,
        );
        let half = if hour % 12 == 0 { 12 } else { hour % 12 };
        let (weekday, month_name) = (DAYS[(self.days % 7) as usize], MONTHS[month - 1]);
        let mut out = String::new();
        let mut rest = format.chars();
        while let Some(c) = rest.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let directive = rest.next();
            out += &match directive {
                Some('Y') => format!("{year:04}"),
                Some('y') => format!("{:02}", year % 100),
                Some('m') => format!("{month:02}"),
                Some('d') => format!("{day:02}"),
                Some('e') => format!("{day:2}"),
                Some('B') => month_name.into(),
                Some('b') => month_name[..3].into(),
                Some('A') => weekday.into(),
                Some('a') => weekday[..3].into(),
                Some('H') => format!("{hour:02}"),
                Some('I') => format!("{half:02}"),
                Some('M') => format!("{minute:02}"),
                Some('S') => format!("{second:02}"),
                Some('p') => if hour < 12 { "AM" } else { "PM" }.into(),
                Some('F') => format!("{year:04}-{month:02}-{day:02}"),
                Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
                Some('%') => "%".into(),
                // without padding
                Some('-') => match rest.next() {
                    Some('d') => day.to_string(),
                    Some('m') => month.to_string(),
                    Some('H') => hour.to_string(),
                    Some('I') => half.to_string(),
                    other => return Err(unknown_directive(other)),
                },
                other => return Err(unknown_directive(other)),
            };
        }
        Ok(out)
    }
}

fn unknown_directive(directive: Option<char>) -> Error {
    let directive = directive.map(String::from).unwrap_or_default();
    Error::new(
        ErrorKind::InvalidOperation,
        format!("strftime_now: %{directive} is not supported"),
    )
}

/// Adds them to an environment.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.set_unknown_method_callback(method);
    environment.add_filter("tojson", tojson);
    environment.add_function("raise_exception", |state: &State, message: Value| {
        metered::walk(state, &message)?;
        Err::<Value, _>(Error::new(ErrorKind::InvalidOperation, message.to_string()))
    });
}

/// `strftime_now` of a fixed time, or nothing.
pub(super) fn clock(now: Option<DateTime>) -> Value {
    match now {
        Some(now) => {
            let function = Value::from_function(move |state: &State, format: &str| {
                state.consume_fuel(format.len() as u64)?;
                now.format(format)
            });
            minijinja::context! { strftime_now => function }
        }
        None => minijinja::context! {},
    }
}

/// Python's methods, which pay for the text that they look through.
fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let bytes = value.as_str().map_or(0, str::len);
    let items = value
        .len()
        .filter(|_| value.as_str().is_none())
        .unwrap_or(0);
    state.consume_fuel((bytes / 64 + items) as u64)?;
    arguments
        .iter()
        .try_for_each(|argument| metered::walk(state, argument))?;
    if name == "count" {
        metered::walk(state, value)?;
    }
    let result =
        minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments)?;
    metered::listed(state, result)
}

/// As Python's `json.dumps(value, ensure_ascii=False, indent=indent)`: no escapes for HTML.
fn tojson(
    state: &State<'_, '_>,
    value: &Value,
    indent: Option<Value>,
    options: Kwargs,
) -> Result<String, Error> {
    let indent = indent
        .or(options.get::<Option<Value>>("indent")?)
        .filter(|i| !i.is_none());
    let indent = indent.map(usize::try_from).transpose()?;
    // the default of chat templates; other characters are never escaped here
    let _: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    json::dumps(state, value, indent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_calendar() {
        let at = |seconds: u64, format: &str| DateTime::from_unix(seconds).format(format).unwrap();
        assert_eq!(
            at(0, "%Y-%m-%d %H:%M:%S %A"),
            "1970-01-01 00:00:00 Thursday"
        );
        assert_eq!(at(951_782_400, "%F %a %B"), "2000-02-29 Tue February");
        assert_eq!(
            at(1_795_696_496, "%d %b %Y, %I:%M %p, %-d/%-m/%y %e%%"),
            "26 Nov 2026, 12:34 PM, 26/11/26 26%"
        );
        assert_eq!(at(4_107_542_399, "%F %T"), "2100-02-28 23:59:59");
        assert_eq!(at(4_107_542_400, "%F"), "2100-03-01");
        assert_eq!(at(u64::MAX, "%F %T"), "9999-12-31 23:59:59");
        assert!(DateTime::from_unix(0).format("%Q").is_err());
        assert!(DateTime::from_unix(0).format("%").is_err());
    }
}
