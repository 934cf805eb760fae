#!/usr/bin/env python3
"""Writes dashboard.json, for Grafana 10 and newer: python3 deploy/observability/dashboard.py > deploy/observability/dashboard.json

A panel is a line here; change it here, not in the JSON (deploy/test/alerts compares them). `@` in an expression stands for the labels of the
service that is looked at. No package is needed.
"""

import json

SELECTED = 'job="onrecord",instance=~"$instance"'
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24  # columns of Grafana's grid
GREEN_RED = [("green", None), ("red", 1)]
RED_GREEN = [("red", None), ("green", 1)]


def rising(ticket, page):
    """Green, then orange from where an alert asks for a ticket, then red from where it pages."""
    return [("green", None), ("orange", ticket), ("red", page)]


# (title, [(expression, legend)], unit, further: `steps` of colour, `words` for values, `description`)
GLANCE = [
    ("Service", [('up{job="onrecord",instance=~"$instance"}', "{{instance}}")], "none",
     {"steps": RED_GREEN, "words": {0: "down", 1: "up"}}),
    ("Writes", [("onrecord_journal_writable{@}", "{{instance}}")], "none",
     {"steps": RED_GREEN, "words": {0: "closed", 1: "open"}}),
    ("Clock", [("onrecord_clock_in_doubt{@}", "{{instance}}")], "none",
     {"steps": GREEN_RED, "words": {0: "trusted", 1: "in doubt"}}),
    ("Reads", [("onrecord_journal_readable{@}", "{{instance}}")], "none",
     {"steps": RED_GREEN, "words": {0: "fail", 1: "open"}}),
    ("Alerts that fire", [('count(ALERTS{alertstate="firing",alertname=~"Onrecord.+"}) or vector(0)', "")], "none", {"steps": GREEN_RED}),
    ("Subscribers", [("onrecord_feed_streams{@}", "{{instance}}")], "none", {}),
    ("Furthest behind", [("max(onrecord_subscription_lag_seconds{@}) or 0 * max(onrecord_journal_readable{@})", "")], "s",
     {"steps": rising(120, 300)}),
    ("Releases held", [("onrecord_releases_held{@}", "{{instance}}")], "none", {"steps": GREEN_RED}),
    ("Approvals owed", [("onrecord_approvals_owed{@}", "{{instance}}")], "none", {"steps": [("green", None), ("orange", 1)]}),
    ("Store in use", [("onrecord_store_bytes{@} / onrecord_store_bytes_max{@}", "{{instance}}")], "percentunit",
     {"steps": rising(0.8, 0.9)}),
    ("Disk free", [("onrecord_store_disk_free_bytes{@}", "{{instance}}")], "bytes",
     {"steps": [("red", None), ("orange", 256 * 1024**2), ("green", 1024**3)]}),
    ("Age of the newest backup", [("time() - (onrecord_backup_completed_timestamp_seconds{@} > 0) or "
                                   "1e9 * (onrecord_backup_completed_timestamp_seconds{@} == bool 0)", "{{instance}}")], "s",
     {"steps": rising(3 * 3600, 26 * 3600), "words": {10**9: "never"}}),
    ("Version", [("onrecord_build_info{@}", "{{version}} {{revision}}")], "none", {"show": "name"}),
]
CHARTS = {
    "Writing": [
        ("Durable writes and their entries, a second",
         [("rate(onrecord_journal_commit_seconds_count{@}[$__rate_interval])", "writes {{instance}}"),
          ("rate(onrecord_journal_commit_entries_sum{@}[$__rate_interval])", "entries {{instance}}")], "ops", {}),
        ("Time of a durable write",
         [("histogram_quantile(0.99, sum by (instance, le) (rate(onrecord_journal_commit_seconds_bucket{@}[$__rate_interval])))",
           "99 of 100, {{instance}}"),
          ("histogram_quantile(0.5, sum by (instance, le) (rate(onrecord_journal_commit_seconds_bucket{@}[$__rate_interval])))",
           "half, {{instance}}")], "s", {"description": "10 s close the journal."}),
        ("Entries a write",
         [("rate(onrecord_journal_commit_entries_sum{@}[$__rate_interval]) / rate(onrecord_journal_commit_entries_count{@}[$__rate_interval])",
           "{{instance}}")], "none", {"description": "At most 64. More than one: writers share a sync."}),
        ("Newest entry", [("onrecord_journal_newest_entry{@}", "{{instance}}")], "none", {}),
    ],
    "Feed": [
        ("Streams of subscribers", [("onrecord_feed_streams{@}", "open {{instance}}"), ("onrecord_feed_streams_max{@}", "bound {{instance}}")],
         "none", {}),
        ("Connections", [("onrecord_connections{@}", "open {{instance}}"), ("onrecord_connections_max{@}", "bound {{instance}}")], "none", {}),
        ("Connections refused or cut off, a second",
         [("sum by (limit) (rate(onrecord_connections_refused_total{@}[$__rate_interval]))", "{{limit}}")], "ops", {}),
        ("Snapshots under way", [("onrecord_feed_snapshots{@}", "{{instance}}"), ("onrecord_feed_snapshots_max{@}", "bound {{instance}}")],
         "none", {}),
        ("Events, a second", [("rate(onrecord_journal_tail{@}[$__rate_interval])", "{{instance}}")], "ops", {}),
        ("Streams that begin and end, a second",
         [('sum by (grpc_code) (rate(grpc_server_handled_total{@,grpc_method="Subscribe"}[$__rate_interval]))', "ended {{grpc_code}}"),
          ('sum(rate(grpc_server_started_total{@,grpc_method="Subscribe"}[$__rate_interval]))', "begun")], "ops", {}),
    ],
    "Named subscriptions": [
        ("By state", [("sum by (state) (onrecord_subscriptions{@})", "{{state}}")], "none", {"stack": True}),
        ("Seconds behind, the 20 furthest", [("topk(20, onrecord_subscription_lag_seconds{@})", "{{subscription}}")], "s", {}),
        ("Events behind, the 20 furthest", [("topk(20, onrecord_subscription_lag_events{@})", "{{subscription}}")], "none", {}),
        ("Acknowledgements, a second",
         [('sum by (grpc_code) (rate(grpc_server_handled_total{@,grpc_method="Acknowledge"}[$__rate_interval]))', "{{grpc_code}}")], "ops", {}),
    ],
    "Newsroom": [
        ("Releases", [("onrecord_releases_scheduled{@}", "scheduled {{instance}}"), ("onrecord_releases_held{@}", "held {{instance}}")],
         "none", {}),
        ("Release overdue", [("onrecord_release_overdue_seconds{@}", "{{instance}}")], "s", {}),
        ("Approvals owed", [("onrecord_approvals_owed{@}", "{{instance}}")], "none", {}),
        ("Approval owed for", [("onrecord_approval_owed_seconds{@}", "{{instance}}")], "s", {"description": "The one that is owed longest."}),
    ],
    "Store and backups": [
        ("Store", [("onrecord_store_bytes{@}", "store {{instance}}"), ("onrecord_store_bytes_max{@}", "bound {{instance}}"),
                   ("onrecord_store_disk_free_bytes{@}", "disk free {{instance}}")], "bytes", {}),
        ("Age of the newest backup", [("time() - (onrecord_backup_completed_timestamp_seconds{@} > 0)", "{{instance}}")], "s",
         {"description": "Nothing: there never was one."}),
        ("Backups within an hour", [("increase(onrecord_backups_total{@}[1h])", "{{result}} {{instance}}")], "none", {}),
        ("Scrub: rows read", [("onrecord_scrub_rows{@}", "{{instance}}")], "none", {"description": "Of the one that is under way."}),
        ("Scrub under way", [("onrecord_scrub_running{@}", "{{instance}}")], "none", {}),
        ("Scrub: damage found", [("onrecord_scrub_findings{@}", "{{instance}}")], "none", {}),
    ],
    "Calls": [
        ("Calls, a second", [("sum by (grpc_method) (rate(grpc_server_handled_total{@}[$__rate_interval]))", "{{grpc_method}}")], "ops",
         {"stack": True}),
        ("Calls that are not answered OK, a second",
         [('sum by (grpc_code) (rate(grpc_server_handled_total{@,grpc_code!="OK"}[$__rate_interval]))', "{{grpc_code}}")], "ops", {}),
        ("Time of 99 of 100 calls, streams left out",
         [('histogram_quantile(0.99, sum by (grpc_method, le) (rate(grpc_server_handling_seconds_bucket{@,grpc_type="unary"}[$__rate_interval])))',
           "{{grpc_method}}")], "s", {}),
        ("Faults of the service, a second",
         [('sum(rate(grpc_server_handled_total{@,grpc_code=~"Internal|Unknown|DataLoss"}[$__rate_interval])) '
           "or 0 * sum(onrecord_journal_readable{@})", "answered so"),
          ("sum(rate(onrecord_panics_total{@}[$__rate_interval]))", "panics")], "ops", {}),
    ],
    "Process": [
        ("Processors in use", [("rate(process_cpu_seconds_total{@}[$__rate_interval])", "{{instance}}")], "none", {}),
        ("Memory", [("process_resident_memory_bytes{@}", "{{instance}}")], "bytes", {}),
        ("Open files", [("process_open_fds{@}", "open {{instance}}"), ("process_max_fds{@}", "limit {{instance}}")], "none", {}),
        ("Up since", [("time() - process_start_time_seconds{@}", "{{instance}}")], "s", {}),
        ("Certificate expires in", [("onrecord_tls_certificate_expiry_timestamp_seconds{@} - time()", "{{instance}}")], "s",
         {"description": "Nothing: the service runs without TLS."}),
        ("Files that could not be used when they were read again", [("onrecord_reload_failed{@}", "{{what}} {{instance}}")], "none", {}),
    ],
}


def targets(queries):
    return [
        {"refId": chr(ord("A") + place), "datasource": DATASOURCE, "expr": expr.replace("@", SELECTED), "legendFormat": legend, "range": True}
        for place, (expr, legend) in enumerate(queries)
    ]


def thresholds(steps):
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for color, value in steps]}


def panel(kind, title, queries, unit, further, place):
    words = {str(value): {"text": text, "index": index} for index, (value, text) in enumerate(further.get("words", {}).items())}
    defaults = {
        "unit": unit,
        "min": 0,
        "mappings": [{"type": "value", "options": words}] if words else [],
        "thresholds": thresholds(further.get("steps", [("green", None)])),
    }
    made = {
        "type": kind,
        "title": title,
        "description": further.get("description", ""),
        "datasource": DATASOURCE,
        "gridPos": place,
        "targets": targets(queries),
        "fieldConfig": {"defaults": defaults, "overrides": []},
    }
    if kind == "stat":
        made["options"] = {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "background",
            "graphMode": "none",
            "textMode": further.get("show", "value"),
        }
    else:
        stacking = {"mode": "normal" if further.get("stack") else "none", "group": "A"}
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 20 if further.get("stack") else 0, "stacking": stacking, "showPoints": "never"}
        made["options"] = {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    return made


def rows():
    """Row after row: a heading, then its panels."""
    top = 0
    for title, kind, panels, width, height in [
        ("At a glance", "stat", GLANCE, 4, 4),
        *((title, "timeseries", panels, 8 if len(panels) == 6 else 6, 8) for title, panels in CHARTS.items()),
    ]:
        yield {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1}}
        top += 1
        across = WIDTH // width
        for index, (name, queries, unit, further) in enumerate(panels):
            place = {"x": index % across * width, "y": top + index // across * height, "w": width, "h": height}
            yield panel(kind, name, queries, unit, further, place)
        top += -(-len(panels) // across) * height


def dashboard():
    instances = {
        "name": "instance",
        "label": "Instance",
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": 'label_values(up{job="onrecord"}, instance)', "refId": "instance"},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "current": {"text": "All", "value": "$__all"},
    }
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return {
        "uid": "onrecord",
        "title": "onrecord",
        "description": "The service of official statements: writing, feed, sites, newsroom, store. See docs/runbook.md.",
        "tags": ["onrecord"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [source, instances]},
        "annotations": {"list": []},
        "links": [],
        "panels": [{"id": place, **made} for place, made in enumerate(rows(), start=1)],
    }


if __name__ == "__main__":
    print(json.dumps(dashboard(), indent=1))
