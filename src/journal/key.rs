//! Every key on disk. One byte names the space; numbers are big-endian, so that keys sort as they count.
//!
//! ```text
//! m                            where the journal stands
//! j entry                      an entry, with the rows it wrote
//! a id 0 entry                 entries of a statement
//! e sequence                   an event
//! v id 0 language 0 sequence   events of a (statement, language)
//! s id                         a statement
//! l id 0 language              the slots of a language
//! n id 0 language 0 number     an edition
//! t digest                     a text, as canonical JSON
//! d time id 0 language 0 step  a step that time will take
//! o time id 0 language 0 number  an approval that is owed
//! r caller 0 request-id        the answer to a call
//! x id                         a statement whose texts are being erased
//! k                            from when on answers are kept
//! i time                       how far the feed was at that time: see `dates`
//! u id                         a named subscription, or the trace of one
//! p id                         how far it is
//! ```
//!
//! The store itself keeps the chunks of long rows under `~`.

use crate::domain::{
    digest::Digest,
    id::{Caller, LanguageTag, StatementId, SubscriptionId},
    state::{Due, DueStep},
    time::Timestamp,
};

const END: u8 = 0;

/// A key under construction.
struct Key(Vec<u8>);

impl Key {
    fn new(space: u8) -> Self {
        Self(vec![space])
    }

    fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn end(mut self) -> Self {
        self.0.push(END);
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn number(self, number: u64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    /// Times before 1970 sort before those after.
    fn time(self, time: Timestamp) -> Self {
        self.number(time.micros().cast_unsigned() ^ (1 << 63))
    }
}

pub(super) fn meta() -> Vec<u8> {
    Key::new(b'm').0
}

pub(super) fn entry(number: u64) -> Vec<u8> {
    Key::new(b'j').number(number).0
}

pub(super) fn entries() -> Vec<u8> {
    Key::new(b'j').0
}

pub(super) fn entry_of(id: &StatementId, number: u64) -> Vec<u8> {
    Key(entries_of(id)).number(number).0
}

pub(super) fn entries_of(id: &StatementId) -> Vec<u8> {
    Key::new(b'a').text(id.as_str()).end().0
}

pub(super) fn event(sequence: u64) -> Vec<u8> {
    Key::new(b'e').number(sequence).0
}

pub(super) fn events() -> Vec<u8> {
    Key::new(b'e').0
}

pub(super) fn event_of(id: &StatementId, language: &LanguageTag, sequence: u64) -> Vec<u8> {
    Key(events_of(id, language)).number(sequence).0
}

pub(super) fn events_of(id: &StatementId, language: &LanguageTag) -> Vec<u8> {
    Key::new(b'v').text(id.as_str()).end().text(language.as_str()).end().0
}

pub(super) fn statement(id: &StatementId) -> Vec<u8> {
    Key::new(b's').text(id.as_str()).0
}

pub(super) fn statements() -> Vec<u8> {
    Key::new(b's').0
}

pub(super) fn language(id: &StatementId, language: &LanguageTag) -> Vec<u8> {
    Key(languages(id)).text(language.as_str()).0
}

pub(super) fn languages(id: &StatementId) -> Vec<u8> {
    Key::new(b'l').text(id.as_str()).end().0
}

pub(super) fn edition(id: &StatementId, language: &LanguageTag, number: u32) -> Vec<u8> {
    Key(editions(id, language)).bytes(&number.to_be_bytes()).0
}

pub(super) fn editions(id: &StatementId, language: &LanguageTag) -> Vec<u8> {
    Key::new(b'n').text(id.as_str()).end().text(language.as_str()).end().0
}

pub(super) fn text(digest: &Digest) -> Vec<u8> {
    Key::new(b't').bytes(digest.as_bytes()).0
}

pub(super) fn due(id: &StatementId, due: &Due) -> Vec<u8> {
    let step = match due.step {
        DueStep::Release => b'r',
        DueStep::Expiry => b'x',
    };
    Key::new(b'd').time(due.time).text(id.as_str()).end().text(due.language.as_str()).end().bytes(&[step]).0
}

pub(super) fn dues() -> Vec<u8> {
    Key::new(b'd').0
}

pub(super) fn owed(id: &StatementId, language: &LanguageTag, number: u32, time: Timestamp) -> Vec<u8> {
    let key = Key::new(b'o').time(time).text(id.as_str()).end();
    key.text(language.as_str()).end().bytes(&number.to_be_bytes()).0
}

pub(super) fn owed_all() -> Vec<u8> {
    Key::new(b'o').0
}

pub(super) fn request(caller: &Caller, id: uuid::Uuid) -> Vec<u8> {
    Key::new(b'r').text(caller.as_str()).end().bytes(id.as_bytes()).0
}

pub(super) fn requests() -> Vec<u8> {
    Key::new(b'r').0
}

pub(super) fn date(time: Timestamp) -> Vec<u8> {
    Key(dates()).time(time).0
}

pub(super) fn dates() -> Vec<u8> {
    Key::new(b'i').0
}

/// The time of a key of [`date`].
pub(super) fn date_of(key: &[u8]) -> Option<Timestamp> {
    let (_, time) = key.split_last_chunk::<8>().filter(|(space, _)| *space == b"i")?;
    Some(Timestamp::from_micros((u64::from_be_bytes(*time) ^ (1 << 63)).cast_signed()))
}

pub(super) fn kept() -> Vec<u8> {
    Key::new(b'k').0
}

pub(super) fn subscription(id: &SubscriptionId) -> Vec<u8> {
    Key(subscriptions()).text(id.as_str()).0
}

pub(super) fn subscriptions() -> Vec<u8> {
    Key::new(b'u').0
}

pub(super) fn progress(id: &SubscriptionId) -> Vec<u8> {
    Key(progresses()).text(id.as_str()).0
}

pub(super) fn progresses() -> Vec<u8> {
    Key::new(b'p').0
}

pub(super) fn erasing(id: &StatementId) -> Vec<u8> {
    Key(erasing_all()).text(id.as_str()).0
}

pub(super) fn erasing_all() -> Vec<u8> {
    Key::new(b'x').0
}

/// What a key of [`owed`] names.
pub(super) fn owed_parts(key: &[u8]) -> Option<(StatementId, LanguageTag, u32)> {
    let (rest, number) = key.split_last_chunk::<4>()?;
    let (id, language) = text_parts(rest.get(TIME_END..)?)?;
    Some((id, language, u32::from_be_bytes(*number)))
}

/// What a key of [`due`] names.
pub(super) fn due_parts(key: &[u8]) -> Option<(StatementId, Due)> {
    let (step, rest) = key.split_last()?;
    let time = u64::from_be_bytes(*rest.get(1..)?.first_chunk::<8>()?) ^ (1 << 63);
    let (id, language) = text_parts(rest.get(TIME_END..)?)?;
    let step = if *step == b'r' { DueStep::Release } else { DueStep::Expiry };
    Some((id, Due { time: Timestamp::from_micros(time.cast_signed()), language, step }))
}

/// Of which statement a key says that something is due or owed.
pub(super) fn indexed(key: &[u8]) -> Option<StatementId> {
    match key.first()? {
        b'd' => Some(due_parts(key)?.0),
        _ => Some(owed_parts(key)?.0),
    }
}

/// Where the text begins in a key that begins with a time.
const TIME_END: usize = 9;

fn text_parts(text: &[u8]) -> Option<(StatementId, LanguageTag)> {
    let mut parts = std::str::from_utf8(text).ok()?.split('\0');
    Some((StatementId::parse(parts.next()?).ok()?, LanguageTag::stored(parts.next()?).ok()?))
}

/// What stands at the end of a key after its prefix, as text.
pub(super) fn text_after<'k>(prefix: &[u8], key: &'k [u8]) -> Option<&'k str> {
    std::str::from_utf8(key.strip_prefix(prefix)?).ok()
}

/// The number at the end of a key.
pub(super) fn number_at_end(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_they_count() {
        let id = StatementId::parse("a").unwrap();
        let de = LanguageTag::parse("de").unwrap();
        let due_at = |micros| {
            due(&id, &Due { time: Timestamp::from_micros(micros), language: de.clone(), step: DueStep::Release })
        };
        assert!(due_at(-5) < due_at(-1) && due_at(-1) < due_at(0) && due_at(0) < due_at(7));
        assert!(event(255) < event(256));
        assert!(event_of(&id, &de, 1) < event_of(&id, &de, 300));
        let expiry = Due { time: Timestamp::from_micros(-5), language: de.clone(), step: DueStep::Expiry };
        assert_eq!(due_parts(&due(&id, &expiry)), Some((id.clone(), expiry)));
        assert_eq!(owed_parts(&owed(&id, &de, 3, Timestamp::from_micros(9))), Some((id.clone(), de.clone(), 3)));
        assert_eq!(number_at_end(&entry_of(&id, 77)), Some(77));
        for micros in [-5, 0, 7] {
            assert_eq!(date_of(&date(Timestamp::from_micros(micros))), Some(Timestamp::from_micros(micros)));
        }
        assert_eq!(date_of(&event(7)), None);
    }

    #[test]
    fn one_statement_is_no_prefix_of_another() {
        let (a, ab) = (StatementId::parse("a").unwrap(), StatementId::parse("ab").unwrap());
        let de = LanguageTag::parse("de").unwrap();
        assert!(!language(&ab, &de).starts_with(&languages(&a)));
        assert!(!entry_of(&ab, 1).starts_with(&entries_of(&a)));
    }
}
