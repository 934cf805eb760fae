//! Vitals as Prometheus reads them. Base units, and names that `promtool check metrics` has nothing to say of.

use std::{fmt, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, prometheus_text, text},
    metrics::{counter::ConstCounter, gauge::ConstGauge, info::Info},
    registry::{Registry, Unit},
};

use super::{
    calls::CallCounts,
    vitals::{ClockState, Connections, Process, Record, Sites, Vitals},
};
use crate::{
    feed::Occupancy,
    journal::{Commits, Copies, Scrubbed, Waiting},
    version::{REVISION, VERSION},
};

/// In which words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// What every Prometheus reads, version 0.0.4.
    Text,
    /// `OpenMetrics` 1.0.
    Open,
}

impl Format {
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Text => prometheus_text::CONTENT_TYPE,
            Self::Open => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// All that is counted; of a service that still starts only what it has begun, and how the process is.
pub(super) fn write(format: Format, calls: &CallCounts, running: Option<(Vitals, &Commits)>) -> String {
    let mut registry = Registry::default();
    calls.register(&mut registry);
    let own = registry.sub_registry_with_prefix("onrecord");
    own.register("build", "Which onrecord this is", Info::new([("version", VERSION), ("revision", REVISION)]));
    if let Some((vitals, commits)) = running {
        own.register_with_unit(
            "journal_commit",
            "Seconds that a durable write takes, a sync of the device in each",
            Unit::Seconds,
            commits.seconds.clone(),
        );
        own.register("journal_commit_entries", "Entries in a durable write", commits.entries.clone());
        registry.register_collector(Box::new(vitals));
    } else if let Some(process) = Process::now() {
        registry.register_collector(Box::new(process));
    }
    let mut text = String::new();
    // Writing to a string does not fail; a collector of ours does not either.
    let _ = match format {
        Format::Open => text::encode(&mut text, &registry),
        Format::Text => prometheus_text::encode(&mut text, &registry),
    };
    text
}

/// Metrics as they are written, one after the other.
struct Sheet<'e>(DescriptorEncoder<'e>);

impl Sheet<'_> {
    fn one(&mut self, name: &str, help: &str, metric: &impl EncodeMetric) -> fmt::Result {
        metric.encode(self.0.encode_descriptor(name, help, None, metric.metric_type())?)
    }

    fn gauge<N>(&mut self, name: &str, help: &str, value: N) -> fmt::Result
    where
        ConstGauge<N>: EncodeMetric,
    {
        self.one(name, help, &ConstGauge::new(value))
    }

    fn counter<N>(&mut self, name: &str, help: &str, value: N) -> fmt::Result
    where
        ConstCounter<N>: EncodeMetric,
    {
        self.one(name, help, &ConstCounter::new(value))
    }

    /// One for each value of a label.
    fn family<'v, M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'v str, M)>,
    ) -> fmt::Result {
        let mut values = values.into_iter().peekable();
        let Some((_, first)) = values.peek() else { return Ok(()) };
        let mut family = self.0.encode_descriptor(name, help, None, first.metric_type())?;
        for (value, metric) in values {
            metric.encode(family.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }
}

impl Collector for Vitals {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sheet = &mut Sheet(encoder);
        record(sheet, &self.record)?;
        clock(sheet, self.clock)?;
        connections(sheet, &self.connections)?;
        let refused = self.requests_refused.iter().map(|(why, count)| (why.as_str(), ConstCounter::new(*count)));
        let help = "Requests that are no gRPC calls, by what is wrong with them: answered HTTP 405 or 415";
        sheet.family("onrecord_requests_refused", help, "reason", refused)?;
        feed(sheet, self.feed)?;
        self.sites.iter().try_for_each(|named| sites(sheet, named))?;
        self.waiting.iter().try_for_each(|waiting| newsroom(sheet, waiting, self.time))?;
        scrub(sheet, self.scrub)?;
        copies(sheet, self.copies)?;
        sheet.counter("onrecord_panics", "Calls that panicked, answered INTERNAL", self.calls.panics)?;
        if let Some(expires) = self.certificate_expires {
            let help = "When the certificate in use ends";
            sheet.gauge("onrecord_tls_certificate_expiry_timestamp_seconds", help, seconds(expires * 1_000_000))?;
        }
        let help = "1 while the newest files, or keys, cannot be used and those before are";
        let faults = self.faults.iter().map(|(what, failed)| (what.as_str(), ConstGauge::new(u64::from(*failed))));
        sheet.family("onrecord_reload_failed", help, "what", faults)?;
        self.process.iter().try_for_each(|found| process(sheet, found))
    }
}

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        process(&mut Sheet(encoder), self)
    }
}

fn record(sheet: &mut Sheet<'_>, record: &Record) -> fmt::Result {
    let writable = u64::from(record.closed.is_none());
    sheet.gauge("onrecord_journal_writable", "1 while the journal takes writes", writable)?;
    if let Some(why) = &record.closed {
        let help = "Why the journal takes no writes; absent while it does";
        sheet.one("onrecord_journal_closed", help, &Info::new([("reason", why.clone())]))?;
    }
    let readable = u64::from(record.readable);
    sheet.gauge("onrecord_journal_readable", "1 while reads are answered", readable)?;
    let newest = record.newest_entry;
    sheet.gauge("onrecord_journal_newest_entry", "Number of the newest durable entry", newest)?;
    sheet.gauge("onrecord_journal_tail", "Sequence that the next event will take", record.tail)?;
    let help = "Bytes of the store on disk; 0 while it cannot be opened";
    sheet.gauge("onrecord_store_bytes", help, record.store_bytes)?;
    let help = "Bytes that the store may have: see --store-mib-max";
    sheet.gauge("onrecord_store_bytes_max", help, record.store_bytes_max)?;
    if let Some(free) = record.disk_free_bytes {
        sheet.gauge("onrecord_store_disk_free_bytes", "Bytes that are free on the disk of the store", free)?;
    }
    Ok(())
}

fn clock(sheet: &mut Sheet<'_>, clock: ClockState) -> fmt::Result {
    let in_doubt = u64::from(clock.moved_seconds.is_some());
    let help = "1 while the wall clock is in doubt, and only withdrawals and the like are committed";
    sheet.gauge("onrecord_clock_in_doubt", help, in_doubt)?;
    let help =
        "Seconds by which the wall clock is ahead of the trusted time, negative if behind; 0 unless it is in doubt";
    sheet.gauge("onrecord_clock_moved_seconds", help, clock.moved_seconds.unwrap_or(0.0))?;
    let help = "Seconds by which an entry, newest at the start or since, is dated after the trusted time; 0 if none is";
    sheet.gauge("onrecord_clock_behind_record_seconds", help, clock.behind_record_seconds)
}

fn connections(sheet: &mut Sheet<'_>, connections: &Connections) -> fmt::Result {
    sheet.gauge("onrecord_connections", "Connections that are open", connections.open)?;
    sheet.gauge("onrecord_connections_max", "Connections that may be open", connections.most)?;
    let refused = connections.refused.iter().map(|(why, count)| (why.as_str(), ConstCounter::new(*count)));
    let help = "Connections that were refused or cut off, by the limit that they met";
    sheet.family("onrecord_connections_refused", help, "limit", refused)
}

fn feed(sheet: &mut Sheet<'_>, feed: Occupancy) -> fmt::Result {
    sheet.gauge("onrecord_feed_streams", "Streams of subscribers that are open", feed.streams)?;
    sheet.gauge("onrecord_feed_streams_max", "Streams that may be open", feed.streams_max)?;
    sheet.gauge("onrecord_feed_snapshots", "Snapshots under way", feed.snapshots)?;
    sheet.gauge("onrecord_feed_snapshots_max", "Snapshots that may be under way", feed.snapshots_max)
}

fn sites(sheet: &mut Sheet<'_>, sites: &Sites) -> fmt::Result {
    let states = sites.by_state.iter().map(|(state, count)| (state.as_str(), ConstGauge::new(*count)));
    sheet.family("onrecord_subscriptions", "Named subscriptions, by how they stand", "state", states)?;
    let behind = || sites.most_behind.iter();
    let events = behind().map(|site| (site.subscription.as_str(), ConstGauge::new(site.lag_events)));
    let help = "Events that a named subscription did not acknowledge; the 500 that lag most";
    sheet.family("onrecord_subscription_lag_events", help, "subscription", events)?;
    let lags = behind().map(|site| (site.subscription.as_str(), ConstGauge::new(site.lag_seconds)));
    let help = "Seconds since the first of them happened";
    sheet.family("onrecord_subscription_lag_seconds", help, "subscription", lags)
}

fn newsroom(sheet: &mut Sheet<'_>, waiting: &Waiting, now: f64) -> fmt::Result {
    let since = |micros: Option<i64>| micros.map_or(0.0, |then| (now - seconds(then)).max(0.0));
    sheet.gauge("onrecord_releases_scheduled", "Releases that wait for their time", waiting.scheduled)?;
    sheet.gauge("onrecord_releases_held", "Releases that wait for a person", waiting.held)?;
    let help = "Seconds for which the release that is due longest waits; 0 if none is due";
    sheet.gauge("onrecord_release_overdue_seconds", help, since(waiting.release_due_micros))?;
    let help = "Editions that were published before their approval, and still lack it";
    sheet.gauge("onrecord_approvals_owed", help, waiting.owed)?;
    let help = "Seconds since the first of them was published; 0 if there is none";
    sheet.gauge("onrecord_approval_owed_seconds", help, since(waiting.owed_since_micros))
}

fn scrub(sheet: &mut Sheet<'_>, scrub: Scrubbed) -> fmt::Result {
    let running = u64::from(scrub.running);
    sheet.gauge("onrecord_scrub_running", "1 while the store is read again, slowly", running)?;
    sheet.gauge("onrecord_scrub_rows", "Rows that were read, this time or the last", scrub.rows)?;
    let help = "Places that were found broken, this time or the last, whichever are more";
    sheet.gauge("onrecord_scrub_findings", help, scrub.findings)?;
    let help = "When the store was last read to its end; 0 if it was not since the start";
    let completed = scrub.completed_micros.map_or(0.0, seconds);
    sheet.gauge("onrecord_scrub_completed_timestamp_seconds", help, completed)
}

fn copies(sheet: &mut Sheet<'_>, copies: Copies) -> fmt::Result {
    let ended = [("completed", copies.completed), ("failed", copies.failed)];
    let ended = ended.map(|(result, count)| (result, ConstCounter::new(count)));
    sheet.family("onrecord_backups", "Copies since the start, by how they ended", "result", ended)?;
    let help = "When a copy was last sent whole; 0 if none is known of";
    let completed = copies.completed_micros.map_or(0.0, seconds);
    sheet.gauge("onrecord_backup_completed_timestamp_seconds", help, completed)?;
    let help = "The newest entry in it; 0 if none is known of";
    sheet.gauge("onrecord_backup_newest_entry", help, copies.newest_entry)
}

fn process(sheet: &mut Sheet<'_>, process: &Process) -> fmt::Result {
    sheet.counter("process_cpu_seconds", "Seconds of the processor", process.cpu_seconds)?;
    sheet.gauge("process_resident_memory_bytes", "Bytes of memory in use", process.resident_bytes)?;
    sheet.gauge("process_open_fds", "Open files", process.open_files)?;
    if let Some(most) = process.open_files_max {
        sheet.gauge("process_max_fds", "Files that may be open", most)?;
    }
    sheet.gauge("process_start_time_seconds", "When the process began", process.start_time)
}

/// Microseconds since 1970 as seconds.
fn seconds(micros: i64) -> f64 {
    Duration::from_micros(micros.max(0).unsigned_abs()).as_secs_f64()
}
