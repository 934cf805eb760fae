//! Times as people type them, and as they are printed.

use std::{fmt, str::FromStr};

use anyhow::{Context as _, anyhow};
use jiff::{SignedDuration, Span, SpanRelativeTo, ZonedDateTime, fmt::temporal::Pieces};
use prost_types::{Duration, Timestamp};

/// A moment: RFC 3339 (`2026-12-01T09:00:00Z`), also with the name of its time zone (RFC 9557), or from now (`+90s`, `+2h`, `+1d12h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(jiff::Timestamp);

impl Moment {
    /// The time by this machine's clock.
    pub(super) fn now() -> Self {
        Self(jiff::Timestamp::now())
    }

    /// The moment as the wire has it.
    pub(super) fn timestamp(self) -> Timestamp {
        Timestamp { seconds: self.0.as_second(), nanos: self.0.subsec_nanosecond() }
    }

    /// `None` if it is out of range.
    pub(super) fn from_timestamp(time: &Timestamp) -> Option<Self> {
        jiff::Timestamp::new(time.seconds, time.nanos).ok().map(Self)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Moment {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let Some(ahead) = text.strip_prefix('+') else {
            return point(text).map(Self);
        };
        let now = jiff::Timestamp::now();
        Ok(Self(now.checked_add(length(ahead)?).context("too far ahead")?))
    }
}

/// Reads a time with its offset. If it names a time zone, that has to be known and to have the offset at that time: what contradicts
/// itself was meant for another time.
fn point(text: &str) -> anyhow::Result<jiff::Timestamp> {
    let help = "write a time as 2026-12-01T09:00:00Z, or from now as +90s";
    let time = text.parse().context(help)?;
    let pieces = Pieces::parse(text).context(help)?;
    let Some(zone) = pieces.to_time_zone().with_context(|| format!("the time zone of {text} is not known"))? else {
        return Ok(time);
    };
    text.parse::<ZonedDateTime>().map(|zoned| zoned.timestamp()).map_err(|_| {
        let (name, offset) = (zone.iana_name().unwrap_or("its zone"), zone.to_offset(time));
        anyhow!("{text} contradicts itself: {name} has the offset {offset} at that time")
    })
}

/// A length of time: `90s`, `1h30m`, `2d` (days of 24 hours).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Length(SignedDuration);

impl Length {
    /// The length as the wire has it.
    pub(super) fn duration(self) -> Duration {
        Duration { seconds: self.0.as_secs(), nanos: self.0.subsec_nanos() }
    }
}

impl FromStr for Length {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        length(text).map(Self)
    }
}

fn length(text: &str) -> anyhow::Result<SignedDuration> {
    let span: Span = text.parse().context("write a length of time as 90s, 1h30m or 2d")?;
    Ok(span.to_duration(SpanRelativeTo::days_are_24_hours())?)
}

/// RFC 3339 in UTC, to the millisecond; empty if absent.
pub(super) fn text(time: Option<&Timestamp>) -> String {
    let Some(time) = time else { return String::new() };
    match jiff::Timestamp::new(time.seconds, time.nanos) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => format!("{} s after 1970", time.seconds),
    }
}

/// As [`text`], to the second: for tables.
pub(super) fn brief(time: Option<&Timestamp>) -> String {
    let text = text(time);
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::{Length, Moment, Timestamp, brief, text};

    #[test]
    fn a_time_is_read_with_its_offset_and_written_in_utc() {
        let moment: Moment = "2026-12-01T10:00:00.25+01:00".parse().unwrap();
        assert_eq!(text(Some(&moment.timestamp())), "2026-12-01T09:00:00.250Z");
        assert_eq!(brief(Some(&moment.timestamp())), "2026-12-01T09:00:00Z");
        assert_eq!(text(None), "");
    }

    #[test]
    fn a_zone_has_to_be_known_and_to_agree_with_the_offset() {
        for right in [
            "2026-07-01T12:00:00+02:00[Europe/Berlin]",
            "2026-07-01T12:00:00+02:00[!Europe/Berlin]",
            "2026-07-01T10:00:00Z[Europe/Berlin]",
            "2026-07-01T12:00:00+02:00[+02:00]",
            "2026-07-01T12:00:00+02:00[u-ca=gregory]",
            "2026-07-01T10:00:00Z[UTC]",
        ] {
            let moment: Moment = right.parse().unwrap();
            assert_eq!(text(Some(&moment.timestamp())), "2026-07-01T10:00:00.000Z", "{right}");
        }
        for (wrong, why) in [
            ("2026-07-01T12:00:00+02:00[America/New_York]", "America/New_York has the offset -04 at that time"),
            ("2026-07-01T12:00:00+01:00[Europe/Berlin]", "contradicts itself"),
            ("2026-07-01T12:00:00+02:00[+03:00]", "contradicts itself"),
            ("2026-07-01T12:00:00+02:00[Europe/Berlyn]", "is not known"),
            ("2026-07-01T12:00:00+02:00[Mars/Olympus]", "is not known"),
            ("2026-07-01T12:00:00+02:00[!u-ca=japanese]", "write a time as"),
            ("2026-07-01T12:00:00[Europe/Berlin]", "write a time as"),
        ] {
            let fault = format!("{:#}", wrong.parse::<Moment>().unwrap_err());
            assert!(fault.contains(why), "{wrong}: {fault}");
        }
    }

    #[test]
    fn a_time_with_a_plus_is_from_now() {
        let now = jiff::Timestamp::now().as_second();
        let moment: Moment = "+1d2h".parse().unwrap();
        assert!((now + 93_600..=now + 93_602).contains(&moment.timestamp().seconds));
        for wrong in ["tomorrow", "+", "+soon", "90s", "2026-12-01"] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_length_takes_days_and_fractions() {
        assert_eq!("2d".parse::<Length>().unwrap().duration().seconds, 172_800);
        assert_eq!("1.5s".parse::<Length>().unwrap().duration().nanos, 500_000_000);
    }

    #[test]
    fn a_time_out_of_range_is_still_printed() {
        assert_eq!(text(Some(&Timestamp { seconds: i64::MAX, nanos: 0 })), format!("{} s after 1970", i64::MAX));
    }
}
