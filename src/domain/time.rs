//! Points in time, to the microsecond.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::id::Malformed;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// A point in time: microseconds since 1970-01-01T00:00:00Z, from 0001-01-01 to 9999-12-30. Finer digits are cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest time that can be told: 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800 * MICROS_PER_SECOND);
    /// The latest: 9999-12-30T22:00:00Z, the last moment that is in the year 9999 in every time zone, and the last that can be
    /// written.
    pub const MAX: Self = Self(253_402_207_200 * MICROS_PER_SECOND);

    /// The time that many microseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// The time of a `google.protobuf.Timestamp`.
    ///
    /// # Errors
    /// If it lies before [`Timestamp::MIN`] or after [`Timestamp::MAX`], or `nanos` outside of 0 to 999,999,999.
    pub fn from_parts(seconds: i64, nanos: i32) -> Result<Self, Malformed> {
        let fault = || {
            Malformed::new("must be a time from 0001-01-01 to 9999-12-30T22:00:00Z with nanos from 0 to 999,999,999")
        };
        if !(0..1_000_000_000).contains(&nanos) {
            return Err(fault());
        }
        let micros = seconds.checked_mul(MICROS_PER_SECOND).ok_or_else(fault)?;
        let micros = micros.checked_add(i64::from(nanos / 1_000)).ok_or_else(fault)?;
        if (Self::MIN.0..=Self::MAX.0).contains(&micros) { Ok(Self(micros)) } else { Err(fault()) }
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds, rounded down, and the nanoseconds above them.
    #[must_use]
    pub fn parts(self) -> (i64, i32) {
        let nanos = self.0.rem_euclid(MICROS_PER_SECOND) * 1_000;
        (self.0.div_euclid(MICROS_PER_SECOND), i32::try_from(nanos).unwrap_or_default())
    }

    /// The time that many seconds later, at most [`Timestamp::MAX`].
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self::from_micros(self.0.saturating_add(seconds.saturating_mul(MICROS_PER_SECOND)))
    }

    /// The next microsecond, at most [`Timestamp::MAX`].
    #[must_use]
    pub fn next(self) -> Self {
        Self::from_micros(self.0.saturating_add(1))
    }

    /// Microseconds from `earlier` to this time.
    #[must_use]
    pub fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with 0, 3 or 6 digits after the second, as `ProtoJSON` writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = self.parts();
        let whole = jiff::Timestamp::from_second(seconds).map_err(|_| fmt::Error)?;
        let text = whole.strftime("%Y-%m-%dT%H:%M:%S");
        match nanos {
            0 => write!(f, "{text}Z"),
            n if n % 1_000_000 == 0 => write!(f, "{text}.{:03}Z", n / 1_000_000),
            n => write!(f, "{text}.{:06}Z", n / 1_000),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        serializer.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return i64::deserialize(deserializer).map(Self::from_micros);
        }
        let text = String::deserialize(deserializer)?;
        let time: jiff::Timestamp = text.parse().map_err(de::Error::custom)?;
        Ok(Self::from_micros(time.as_microsecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_proto_json_writes_it() {
        for (seconds, nanos, text) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (1_700_000_000, 120_000_000, "2023-11-14T22:13:20.120Z"),
            (1_700_000_000, 123_456_789, "2023-11-14T22:13:20.123456Z"),
            (-1, 999_000_000, "1969-12-31T23:59:59.999Z"),
            (-62_135_596_800, 0, "0001-01-01T00:00:00Z"),
            (253_402_207_200, 0, "9999-12-30T22:00:00Z"),
        ] {
            let time = Timestamp::from_parts(seconds, nanos).unwrap();
            assert_eq!(time.to_string(), text);
            let json = serde_json::to_string(&time).unwrap();
            assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), time);
        }
        assert!(Timestamp::from_parts(253_402_207_201, 0).is_err());
        assert!(Timestamp::from_parts(9_223_372_036_854, 999_999_999).is_err());
        assert!(Timestamp::from_parts(0, -1).is_err());
    }
}
