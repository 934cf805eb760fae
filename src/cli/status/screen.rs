//! How a service is, in ten lines.

use std::fmt::{self, Display, Formatter};

use owo_colors::OwoColorize as _;

use crate::{
    cli::output::plain,
    journal::{Copies, Scrubbed, Waiting},
    server::{ClockState, OpenConnections, Process, Record, Sites, Vitals},
};

/// Sites that are named.
const SITES_MAX: usize = 5;
/// Seconds that a site may lag before it is named.
const LAG_SHOWN: f64 = 5.0;
/// Days before its end from which on a certificate is marked.
const CERTIFICATE_DAYS: f64 = 14.0;
/// Hours after which a copy is marked: they are made every hour.
const COPY_HOURS: f64 = 3.0;
const DAY: f64 = 86_400.0;

/// How the service is now, and how it was at the look before.
pub(super) struct Screen<'v> {
    pub(super) now: &'v Vitals,
    pub(super) before: Option<&'v Vitals>,
}

impl Display for Screen<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Vitals {
            version,
            revision,
            time,
            not_ready,
            record,
            clock,
            connections,
            feed,
            sites,
            waiting,
            scrub,
            copies,
            ..
        } = self.now;
        let up =
            self.now.process.map_or_else(String::new, |process| format!(", up {}", age(time - process.start_time)));
        let state = match not_ready {
            None => "ready".green().bold().to_string(),
            Some(why) => format!("{}: {}", "NOT READY".red().bold(), plain(why)),
        };
        writeln!(f, "onrecord {version} ({revision:.12}), {state}{up}")?;
        self.record(f, record)?;
        write_clock(f, *clock, *time)?;
        write_connections(f, connections)?;
        let (streams, most) = (feed.streams, feed.streams_max);
        line(
            f,
            "feed",
            &format!("{streams} of {most} streams, {} of {} snapshots", feed.snapshots, feed.snapshots_max),
        )?;
        match sites {
            Some(sites) => write_sites(f, sites)?,
            None => line(f, "sites", &"the store cannot be read".red())?,
        }
        match waiting {
            Some(waiting) => newsroom(f, *waiting, *time)?,
            None => line(f, "newsroom", &"is being counted")?,
        }
        write_copies(f, *copies, record.newest_entry, *time)?;
        write_scrub(f, *scrub, *time)?;
        self.calls(f)?;
        if let Some(expires) = self.now.certificate_expires {
            let left = f64::from(i32::try_from(expires / 60).unwrap_or(i32::MAX)) * 60.0 - time;
            let words = if left > 0.0 { format!("ends in {}", age(left)) } else { "has ended".to_owned() };
            line(f, "certificate", &alarm(words, left < CERTIFICATE_DAYS * DAY))?;
        }
        for (what, _) in self.now.faults.iter().filter(|(_, failed)| **failed) {
            line(f, what, &"the newest cannot be used: those before are. The log says why".red())?;
        }
        self.process(f)
    }
}

impl Screen<'_> {
    fn record(&self, f: &mut Formatter<'_>, record: &Record) -> fmt::Result {
        let rate = self
            .rate(|vitals| vitals.record.newest_entry)
            .map_or_else(String::new, |rate| format!(" ({rate:.1} a second)"));
        let state = match (&record.closed, record.readable) {
            (None, _) => "takes writes".to_owned(),
            (Some(_), true) => "TAKES NO WRITES, is read".red().bold().to_string(),
            (Some(_), false) => "TAKES NO WRITES, CANNOT BE READ".red().bold().to_string(),
        };
        let (entries, tail) = (record.newest_entry, record.tail);
        line(f, "record", &format!("{entries} entries{rate}, the next event is {tail}; {state}"))?;
        let (has, may) = (record.store_bytes, record.store_bytes_max);
        let is_full = has > may / 5 * 4;
        let free =
            record.disk_free_bytes.map_or_else(String::new, |free| format!(", {} free on its disk", bytes(free)));
        line(
            f,
            "store",
            &alarm(format!("{} of {}{free}, format {}", bytes(has), bytes(may), record.storage_format), is_full),
        )
    }

    fn calls(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let calls = self.now.calls;
        let rate =
            self.rate(|vitals| vitals.calls.begun).map_or_else(String::new, |rate| format!(" ({rate:.1} a second)"));
        let words =
            format!("{}{rate} since the start, {} faults of ours, {} panics", calls.begun, calls.faults, calls.panics);
        line(f, "calls", &alarm(words, calls.panics > 0))
    }

    fn process(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(process) = self.now.process else { return Ok(()) };
        let Process { resident_bytes, open_files, open_files_max, cpu_seconds, start_time } = process;
        let (seconds, over) = match self.before.and_then(|before| Some((before.process?, self.now.time - before.time)))
        {
            Some((before, over)) => (cpu_seconds - before.cpu_seconds, over),
            None => (cpu_seconds, self.now.time - start_time),
        };
        let percent = if over > 0.0 { seconds / over * 100.0 } else { 0.0 };
        let most = open_files_max.map_or_else(String::new, |most| format!(" of {most}"));
        line(
            f,
            "process",
            &format!("{percent:.1} % of a processor, {} of memory, {open_files}{most} files", bytes(resident_bytes)),
        )
    }

    /// How much happened a second since the look before.
    fn rate(&self, of: impl Fn(&Vitals) -> u64) -> Option<f64> {
        let before = self.before?;
        let (seconds, happened) = (self.now.time - before.time, of(self.now).saturating_sub(of(before)));
        (seconds > 0.0).then(|| f64::from(u32::try_from(happened).unwrap_or(u32::MAX)) / seconds)
    }
}

fn write_clock(f: &mut Formatter<'_>, clock: ClockState, now: f64) -> fmt::Result {
    let ClockState { moved_seconds, doubted_since, behind_record_seconds: behind } = clock;
    let words = match (moved_seconds, doubted_since) {
        (Some(moved), Some(since)) => format!(
            "IN DOUBT: it moved {} {} ago by {}. Only withdrawals and the like are taken. If it is right: onrecord clock confirm",
            if moved < 0.0 { "back" } else { "ahead" },
            age(now - since),
            age(moved.abs().round())
        ),
        _ if behind > 0.0 => {
            format!("trusted, and {} behind an entry that a clock that was ahead wrote", age(behind))
        }
        _ => "trusted".to_owned(),
    };
    line(f, "clock", &alarm(words, moved_seconds.is_some() || behind > 0.0))
}

fn write_connections(f: &mut Formatter<'_>, connections: &OpenConnections) -> fmt::Result {
    let OpenConnections { open, most, refused } = connections;
    let met: Vec<_> =
        refused.iter().filter(|(_, count)| **count > 0).map(|(limit, count)| format!("{count} by {limit}")).collect();
    let met = if met.is_empty() { "none refused".to_owned() } else { format!("refused {}", met.join(", ")) };
    line(f, "connections", &alarm(format!("{open} of {most}, {met} since the start"), *open > most / 5 * 4))
}

fn write_sites(f: &mut Formatter<'_>, sites: &Sites) -> fmt::Result {
    let counts: Vec<_> = sites.by_state.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let is_bad =
        ["stalled", "rejecting"].iter().any(|state| sites.by_state.get(*state).is_some_and(|count| *count > 0));
    line(f, "sites", &alarm(counts.join(", "), is_bad))?;
    let behind = sites.most_behind.iter().filter(|site| site.lag_seconds >= LAG_SHOWN || site.state == "rejecting");
    for site in behind.take(SITES_MAX) {
        let words = format!(
            "  {} {}: {} events, {} behind",
            site.subscription,
            site.state,
            site.lag_events,
            age(site.lag_seconds)
        );
        line(f, "", &plain(&words))?;
    }
    Ok(())
}

fn newsroom(f: &mut Formatter<'_>, waiting: Waiting, now: f64) -> fmt::Result {
    let Waiting { scheduled, held, owed, owed_since_micros, .. } = waiting;
    let since = owed_since_micros.map_or_else(String::new, |micros| format!(" (since {})", age(now - seconds(micros))));
    let held = alarm(format!("{held} held for a person"), held > 0);
    let owed = alarm(format!("{owed} approvals owed{since}"), owed > 0);
    line(f, "newsroom", &format!("{scheduled} scheduled, {held}, {owed}"))
}

fn write_copies(f: &mut Formatter<'_>, copies: Copies, newest_entry: u64, now: f64) -> fmt::Result {
    let last = match copies.completed_micros {
        Some(micros) => format!("the last {} ago, up to entry {}", age(now - seconds(micros)), copies.newest_entry),
        None => "none that is known of".to_owned(),
    };
    let is_old = copies.completed_micros.is_none_or(|micros| now - seconds(micros) > COPY_HOURS * 3_600.0);
    // One that follows a quiet record lacks nothing.
    let is_old = is_old && (copies.completed_micros.is_none() || copies.newest_entry < newest_entry);
    line(f, "copies", &alarm(format!("{last}; {} failed since the start", copies.failed), is_old))
}

fn write_scrub(f: &mut Formatter<'_>, scrub: Scrubbed, now: f64) -> fmt::Result {
    let last = scrub.completed_micros.map_or_else(
        || "not read to its end since the start".to_owned(),
        |micros| format!("read to its end {} ago", age(now - seconds(micros))),
    );
    let goes_on = if scrub.running { format!(", {} rows so far", scrub.rows) } else { String::new() };
    line(f, "scrub", &alarm(format!("{last}{goes_on}; {} broken", scrub.findings), scrub.findings > 0))
}

fn line(f: &mut Formatter<'_>, title: &str, words: &impl Display) -> fmt::Result {
    let title = format!("{title:<12}");
    writeln!(f, "{}{words}", title.bold())
}

fn alarm(words: String, is_bad: bool) -> String {
    if is_bad { words.red().to_string() } else { words }
}

fn seconds(micros: i64) -> f64 {
    std::time::Duration::from_micros(micros.max(0).unsigned_abs()).as_secs_f64()
}

/// A length of time in its largest unit: `3 h`.
fn age(seconds: f64) -> String {
    let units = [(DAY, "d"), (3_600.0, "h"), (60.0, "min")];
    let unit = units.into_iter().find(|(length, _)| seconds >= 2.0 * length);
    let (length, name) = unit.unwrap_or((1.0, "s"));
    format!("{:.0} {name}", (seconds / length).max(0.0).floor())
}

/// Bytes in the largest binary unit that leaves at least two of it.
fn bytes(count: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|(shift, _)| count >> shift >= 2);
    let (shift, name) = unit.unwrap_or((0, "B"));
    format!("{} {name}", count >> shift)
}

#[cfg(test)]
mod tests {
    use super::{age, bytes};

    #[test]
    fn lengths_and_sizes_are_in_units_that_people_read() {
        let ages = [(0.4, "0 s"), (119.0, "119 s"), (120.0, "2 min"), (7_300.0, "2 h"), (200_000.0, "2 d")];
        for (seconds, expected) in ages {
            assert_eq!(age(seconds), expected);
        }
        for (count, expected) in [(0, "0 B"), (2_047, "2047 B"), (2_048, "2 KiB"), (8 << 30, "8 GiB")] {
            assert_eq!(bytes(count), expected);
        }
    }
}
