//! A step under way: the state it changes, and what it has caused so far.

use super::{Context, Decision};
use crate::domain::{
    answer::Answer,
    content::{Content, Correction, Text},
    digest::{Digest, Salt},
    draft::{Draft, Release},
    event::{ChannelAction, Event, EventHead, EventKind},
    id::{EditionName, LanguageTag, StatementId},
    live::{Edition, Live, LiveState, Notice},
    rejection::{Conflict, Rejection, etag},
    state::{Removal, Slots, State},
};

/// A step under way.
pub(super) struct Work<'a> {
    pub(super) context: Context<'a>,
    pub(super) state: State,
    pub(super) text: Option<Text>,
    pub(super) content: Option<Content>,
    pub(super) digests: Vec<Digest>,
    pub(super) reason: String,
    events: Vec<Event>,
    editions: Vec<(LanguageTag, Edition)>,
}

impl<'a> Work<'a> {
    pub(super) fn new(state: &State, context: Context<'a>) -> Self {
        Self {
            context,
            state: state.clone(),
            text: None,
            content: None,
            digests: Vec::new(),
            reason: String::new(),
            events: Vec::new(),
            editions: Vec::new(),
        }
    }

    pub(super) fn finish(mut self, answer: Answer) -> Decision {
        let last = self.events.len().saturating_sub(1);
        for (place, event) in self.events.iter_mut().enumerate() {
            event.head.more = place < last;
            event.cover(self.context.salt.derived(event.head.sequence));
        }
        Decision {
            state: self.state,
            events: self.events,
            editions: self.editions,
            text: self.text,
            content: self.content,
            digests: self.digests,
            reason: self.reason,
            answer,
        }
    }

    /// The slots of a language, made if it has none yet.
    pub(super) fn slots(&mut self, language: &LanguageTag) -> &mut Slots {
        self.state.languages.entry(language.clone()).or_default()
    }

    /// The slots of a language, if it has any.
    pub(super) fn slots_of(&self, language: &LanguageTag) -> Option<&Slots> {
        self.state.languages.get(language)
    }

    /// The draft in a language, if `given` is its etag.
    pub(super) fn draft(&mut self, language: &LanguageTag, given: &str) -> Result<&mut Draft, Rejection> {
        let slots = self.state.languages.get_mut(language);
        let draft = slots.and_then(|slots| slots.draft.as_mut());
        let draft = draft.ok_or_else(|| Rejection::DraftNotFound(language.clone()))?;
        if etag(draft.version) != given {
            return Err(Rejection::EtagMismatch(Box::new(Conflict::with_draft(draft))));
        }
        Ok(draft)
    }

    /// The release in a language.
    pub(super) fn release(&mut self, language: &LanguageTag) -> Result<&mut Release, Rejection> {
        let slots = self.state.languages.get_mut(language);
        slots.and_then(|slots| slots.release.as_mut()).ok_or_else(|| Rejection::ReleaseNotFound(language.clone()))
    }

    pub(super) fn refuse_if_expunged(&self) -> Result<(), Rejection> {
        if self.state.is_expunged() { Err(Rejection::Expunged) } else { Ok(()) }
    }

    /// The sequence that the next event takes.
    pub(super) fn next_sequence(&self) -> u64 {
        self.context.sequence + u64::try_from(self.events.len()).unwrap_or(u64::MAX)
    }

    /// Keeps an edition.
    pub(super) fn keep_edition(&mut self, language: &LanguageTag, edition: Edition) {
        self.digests.push(edition.outline.digest);
        self.editions.push((language.clone(), edition));
    }

    /// Puts `live` into its slot and tells subscribers.
    pub(super) fn show(&mut self, language: &LanguageTag, kind: EventKind, mut live: Live) -> &mut Event {
        live.sequence = self.next_sequence();
        live.update_time = self.context.now;
        live.source_language = Some(self.state.statement.source_language.clone());
        live.withdraw_time = live.withdraw_time.filter(|_| live.state == LiveState::Withdrawn);
        let head = self.head(language, kind, Some(&live), live.edition.outline.digest);
        let slots = self.slots(language);
        let before = slots.live.replace(live.clone());
        let mut event = Event::hollow(head);
        event.statement_kind = Some(self.state.statement.kind.clone());
        event.before = before.as_ref().and_then(Live::facts).cloned();
        event.after = live.facts().cloned();
        event.live = Some(live);
        self.tell(event)
    }

    /// Tells those with embargo clearance about a release.
    pub(super) fn tell_holders(&mut self, language: &LanguageTag, kind: EventKind, release: &Release) {
        let sequence = self.next_sequence();
        let slots = self.slots(language);
        slots.embargo_sequence = sequence;
        let live = slots.live.clone();
        let head = self.head(language, kind, live.as_ref(), release.outline.digest);
        let mut event = Event::hollow(head);
        event.statement_kind = Some(self.state.statement.kind.clone());
        let facts = Some(release.outline.facts.clone());
        if kind == EventKind::Embargoed {
            event.after = facts;
            event.embargo = Some(release.clone());
        } else {
            event.before = facts;
        }
        self.tell(event);
    }

    fn head(&self, language: &LanguageTag, kind: EventKind, live: Option<&Live>, digest: Digest) -> EventHead {
        let id = &self.state.statement.id;
        let name = |live: &Live| EditionName::new(id, language, live.edition.number);
        let (sequence, now, entry) = (self.next_sequence(), self.context.now, self.context.entry);
        EventHead {
            edition: live.map(name),
            previous_edition: self.state.live(language).map(name),
            content_digest: Some(digest),
            ..EventHead::new(sequence, kind, now, id.clone(), language.clone(), entry)
        }
    }

    fn tell(&mut self, event: Event) -> &mut Event {
        let place = self.events.len();
        self.events.push(event);
        match self.events.get_mut(place) {
            Some(event) => event,
            None => unreachable!("it was pushed just now"),
        }
    }
}

impl Event {
    /// Whether readers should be told, and what a channel bot should do.
    pub(super) fn with_action(&mut self, notify: bool, action: ChannelAction) -> &mut Self {
        self.notify = notify;
        self.channel_action = action;
        self
    }

    pub(super) fn with_notice(&mut self, notice: &Notice) -> &mut Self {
        self.notice = Some(notice.clone());
        self
    }

    pub(super) fn with_correction(&mut self, correction: Option<&Correction>) -> &mut Self {
        self.correction = correction.cloned();
        self
    }

    pub(super) fn with_redirect(&mut self, target: &StatementId) -> &mut Self {
        self.redirect = Some(target.clone());
        self
    }
}

impl Notice {
    pub(super) fn salted(&self, salt: Salt) -> Self {
        Self { salt, ..self.clone() }
    }
}

impl Removal {
    pub(super) fn salted(&self, salt: Salt) -> Self {
        match self {
            Self::Gone(notice) => Self::Gone(notice.salted(salt)),
            Self::Redirect(target, notice) => {
                Self::Redirect(target.clone(), notice.as_ref().map(|notice| notice.salted(salt)))
            }
            Self::Hidden => Self::Hidden,
        }
    }
}

/// Whether the text in this state was taken from the public or withdrawn, so that publishing makes it stand again.
pub(super) fn stands_again(state: LiveState) -> bool {
    match state {
        LiveState::Withdrawn | LiveState::Gone | LiveState::Redirected | LiveState::Hidden => true,
        LiveState::Published | LiveState::Expired | LiveState::Expunged => false,
    }
}
