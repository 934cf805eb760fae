"""Compares what a service sent with what the feed was sealed with, field by field, and decodes texts from the bytes that were hashed.

Ask for CONTENT_VIEW_CANONICAL, and call `delivery`, `live` and `embargo` on what comes: they raise `Altered`, which names the field, or fill in
`content`. Standard library and protobuf only. `docs/feed.md` lists the members of a seal; one that is not known was hashed, and is not compared.
"""

import hashlib
import json
import re

from google.protobuf import json_format, timestamp_pb2
from onrecord.v1 import content_pb2, event_pb2, live_pb2

COMPLETE = 2  # from this version on a seal covers every field
READABLE = (live_pb2.Live.STATE_PUBLISHED, live_pb2.Live.STATE_WITHDRAWN, live_pb2.Live.STATE_EXPIRED)
Type, Delivery = event_pb2.Event, event_pb2.Delivery
EMBARGO = (Type.TYPE_EMBARGOED, Type.TYPE_EMBARGO_CANCELLED)
PUBLISHES = (Type.TYPE_PUBLISHED, Type.TYPE_UPDATED, Type.TYPE_CORRECTED, Type.TYPE_REINSTATED)
GIVES_NOTICE = (Type.TYPE_WITHDRAWN, Type.TYPE_NOTICE_CHANGED, Type.TYPE_REMOVED)


class Altered(Exception):
    """Something that was sent is not what was sealed. Apply nothing of it: a person has to look."""


def same(field, is_same):
    if not is_same:
        raise Altered(f"{field} is not what was sealed")


def digest(*parts):
    return hashlib.sha256(b"".join(part if isinstance(part, bytes) else part.encode() for part in parts)).hexdigest()


def channel_parts(item):
    """Returns the parts that the digest of a correction or a notice has of its renditions."""
    return [part for rendition in item.renditions for part in (b"\0", rendition.channel, b"\0", rendition.text)]


def has_name(enum, value, name):
    """Whether a value has that name. A name that is not known is that of a value that is not known."""
    return enum.Value(name) == value if name in enum.keys() else value not in enum.values()


class Seal:
    """The members of a seal. One that is absent has the value that a message has by default."""

    def __init__(self, seal, previous_hash, hash_, path):
        is_hash = re.fullmatch("[0-9a-f]{64}", previous_hash)
        same(f"{path}hash, previous_hash or seal", is_hash and digest(bytes.fromhex(previous_hash), seal) == hash_)
        self.members = json.loads(seal)
        self.is_complete = self.members.get("version", 0) >= COMPLETE

    def __getitem__(self, member):
        return self.members.get(member, "")

    def strings(self, message, path, **fields):
        for field, member in fields.items():
            same(path + field, getattr(message, field) == self[member])

    def times(self, message, path, **fields):
        for field, member in fields.items():
            is_there, sealed = member in self.members, timestamp_pb2.Timestamp()
            if is_there:
                sealed.FromJsonString(self[member])
            same(path + field, message.HasField(field) == is_there and getattr(message, field) == sealed)

    def has_notice(self, message):
        notice = message.notice
        parts = (notice.salt, notice.text_media_type, b"\0", notice.text, *channel_parts(notice))
        return (digest(*parts) if message.HasField("notice") else "") == self["noticeDigest"]

    def has_correction(self, message, salt):
        correction = message.correction
        parts = (salt, correction.corrected_edition, b"\0", correction.text, *channel_parts(correction))
        return (digest(*parts) if message.HasField("correction") else "") == self["correctionDigest"]

    def has_change_note(self, note, salt):
        return (digest(salt, note) if note else "") == self["changeNoteDigest"]

    def salted(self, path, salt, is_used):
        same(f"{path}salt", not self.is_complete or len(salt) == (16 if is_used else 0))


def delivery(sent):
    """Verifies an event as it was delivered."""
    event, is_left = sent.event, sent.filter_change == Delivery.FILTER_CHANGE_LEFT
    path = f"event {event.sequence}: "
    seal = Seal(event.seal, event.previous_hash, event.hash, path)
    same(f"{path}sequence", str(event.sequence) == seal["sequence"])
    same(f"{path}type", has_name(Type.Type, event.type, seal["type"]))
    seal.times(event, path, event_time="eventTime")
    names = {"statement": "statement", "language_code": "languageCode", "edition": "edition", "previous_edition": "previousEdition"}
    seal.strings(event, path, content_digest="contentDigest", **names)
    is_known = event.type in Type.Type.values()
    if seal.is_complete:
        same(f"{path}notify", event.notify == bool(seal["notify"]))
        same(f"{path}channel_action", has_name(Type.ChannelAction, event.channel_action, seal["channelAction"]))
        same(f"{path}embargo_lifted", event.embargo_lifted == bool(seal["embargoLifted"]))
        is_target = event.redirect_statement == seal["redirectStatement"]
        is_removed = event.type == Type.TYPE_REMOVED
        same(f"{path}redirect_statement", is_target if is_removed else not event.redirect_statement or (is_target and not is_known))
    # Delivered as LEFT there may be no words: they may be no longer public.
    for field, kinds, is_sealed in (
        ("notice", GIVES_NOTICE, seal.has_notice(event)),
        ("correction", PUBLISHES, not seal.is_complete or seal.has_correction(event, event.salt)),
    ):
        is_told = event.type in kinds or not is_known
        is_right = is_told and is_sealed if event.HasField(field) else is_left or is_sealed or event.type not in kinds
        same(f"{path}{field} or its salt", is_right)
    for field, is_due in (("live", event.type not in EMBARGO), ("embargo", event.type in EMBARGO)):
        same(path + field, event.HasField(field) == (is_due and not is_left) or (not is_known and not is_left))
    if event.HasField("live"):
        shown(event.live, seal, event.salt, f"{path}live.")
    if event.HasField("embargo"):
        embargoed(event.embargo, seal, f"{path}embargo.")
    seal.salted(path, event.salt, event.HasField("correction") or has_remarks(event.live.edition))


def live(item):
    """Verifies what is live: an item of a snapshot, or of GetStatement and ListStatements."""
    path = f"{item.statement}/{item.language_code}: "
    seal = opened(item, path)
    shown(item, seal, item.event_seal.salt, path, is_item=True)
    seal.salted(f"{path}event_seal.", item.event_seal.salt, has_remarks(item.edition))


def embargo(item):
    """Verifies a text under embargo: an item of a snapshot."""
    path = f"embargo of {item.statement}/{item.language_code}: "
    seal = opened(item, path)
    same(f"{path}event_seal", seal["type"] == "TYPE_EMBARGOED")
    embargoed(item, seal, path, is_item=True)
    seal.salted(f"{path}event_seal.", item.event_seal.salt, False)


def opened(item, path):
    same(f"{path}event_seal", item.HasField("event_seal"))
    return Seal(item.event_seal.seal, item.event_seal.previous_hash, item.event_seal.hash, f"{path}event_seal.")


def has_remarks(edition):
    return bool(edition.change_note) or edition.HasField("correction")


def shown(live, seal, salt, path, is_item=False):
    seal.strings(live, path, statement="statement", language_code="languageCode")
    same(f"{path}sequence", str(live.sequence) == seal["sequence"])
    seal.times(live, path, update_time="eventTime")
    same(f"{path}event_seal", live.HasField("event_seal") == is_item)
    if seal.is_complete:
        same(f"{path}state", has_name(live_pb2.Live.State, live.state, seal["state"]))
        seal.times(live, path, first_publish_time="firstPublishTime", major_change_time="majorChangeTime", withdraw_time="withdrawTime")
        names = {"kind": "kind", "stale_since_edition": "staleSinceEdition", "redirect_statement": "redirectStatement", "source_language_code": "sourceLanguageCode"}
        seal.strings(live, path, **names)
    if seal.is_complete or seal["noticeDigest"]:
        same(f"{path}notice", seal.has_notice(live))
    edition, path, is_readable = live.edition, f"{path}edition.", live.state in READABLE
    seal.strings(edition, path, name="edition", language_code="languageCode", content_digest="contentDigest")
    same(f"{path}number", edition.name.endswith(f".{edition.number}"))
    same(f"{path}expunged", edition.expunged == (live.state == live_pb2.Live.STATE_EXPUNGED))
    same(f"{path}event_seal", not edition.HasField("event_seal"))
    same(f"{path}withheld_seal", not edition.HasField("withheld_seal"))
    if seal.is_complete:
        same(f"{path}change_kind", has_name(content_pb2.ChangeKind, edition.change_kind, seal["changeKind"]))
        seal.times(edition, path, publish_time="publishTime")
        is_note = seal.has_change_note(edition.change_note, salt) if is_readable else not edition.change_note
        same(f"{path}change_note or its salt", is_note)
        is_correction = seal.has_correction(edition, salt) if is_readable else not edition.HasField("correction")
        same(f"{path}correction or its salt", is_correction)
    if live.state in live_pb2.Live.State.values():
        same(f"{path}canonical_content", bool(edition.canonical_content) == is_readable)
    decode(edition, path)


def embargoed(embargo, seal, path, is_item=False):
    seal.strings(embargo, path, statement="statement", language_code="languageCode", content_digest="contentDigest")
    same(f"{path}sequence", str(embargo.sequence) == seal["sequence"])
    same(f"{path}event_seal", embargo.HasField("event_seal") == is_item)
    if seal.is_complete:
        seal.strings(embargo, path, kind="kind")
        seal.times(embargo, path, embargo_end_time="embargoEndTime")
    same(f"{path}canonical_content", bool(embargo.canonical_content))
    decode(embargo, path)


def decode(item, path):
    """Fills in `content` from the very bytes that were hashed. A member that the stubs do not know is left out."""
    same(f"{path}content, which was not asked for,", not item.HasField("content"))
    if item.canonical_content:
        same(f"{path}canonical_content", digest(item.canonical_content) == item.content_digest)
        json_format.Parse(item.canonical_content, item.content, ignore_unknown_fields=True)
