//! The rules, as the design has them: what is refused, and what a step does.

use std::collections::BTreeSet;

use onrecord::api::v1::{self, ChangeKind, live};

use super::{
    HOUR, Key, LANGUAGES, Language, SOURCES,
    state::{Draft, Model, Proposal, Shown, Slots, Verdict, Waiting, Words},
    steps::{Step, When},
};

impl Model {
    pub(super) fn slot(&mut self, key: Key) -> &mut Slots {
        self.slots.entry(key).or_default()
    }

    pub(super) fn look(&self, key: Key) -> Slots {
        self.slots.get(&key).cloned().unwrap_or_default()
    }

    pub(super) fn number(&self, key: Key) -> u32 {
        self.look(key).shown.map_or(0, |shown| shown.number)
    }

    pub(super) fn open(&self, s: usize) -> Verdict {
        let whole = self.statements.get(&s).ok_or("STATEMENT_NOT_FOUND")?;
        if whole.expunged { Err("EXPUNGED") } else { Ok(()) }
    }

    /// Readers are told.
    fn tell(&mut self, key: Key) {
        self.events += 1;
        self.slot(key).told += 1;
    }

    fn tell_holders(&mut self, key: Key) {
        self.events += 1;
        self.slot(key).told_holders += 1;
    }

    pub(super) fn save(&mut self, key: Key, words: Words, proto: v1::Draft) {
        let number = self.number(key);
        let slot = self.slot(key);
        let base = slot.draft.as_ref().map_or(number, |draft| draft.base);
        slot.draft = Some(Draft { words, base, approved: false, proto });
    }

    pub(super) fn complete(draft: &Draft) -> bool {
        (draft.words.kind == ChangeKind::Initial) == (draft.base == 0)
    }

    pub(super) fn may_publish(&self, s: usize, languages: &[Language], when: When, force: bool) -> Verdict {
        self.open(s)?;
        let mut complete = true;
        for language in languages {
            let slot = self.look((s, language));
            let draft = slot.draft.ok_or("DRAFT_NOT_FOUND")?;
            if draft.base != self.number((s, language)) {
                return Err("BASE_SUPERSEDED");
            }
            if !draft.approved && !force {
                return Err("DRAFT_NOT_APPROVED");
            }
            let time = match when {
                When::Now => self.now,
                When::Later(_) | When::Embargo(_) if slot.waiting.is_some() => return Err("RELEASE_SLOT_FULL"),
                When::Later(seconds) | When::Embargo(seconds) => self.now + seconds,
            };
            complete &= Self::complete(&draft) && draft.words.expires.is_none_or(|expires| expires > time);
        }
        if complete { Ok(()) } else { Err("DRAFT_INCOMPLETE") }
    }

    pub(super) fn publish(&mut self, s: usize, languages: &[Language], when: When) {
        let mut languages = languages.to_vec();
        languages.sort_by_key(|language| *language != SOURCES[s]);
        for language in &languages {
            let Draft { words, base, .. } = self.slot((s, language)).draft.take().unwrap();
            let (time, embargoed) = match when {
                When::Now => {
                    self.put_out((s, language), words);
                    continue;
                }
                When::Later(seconds) => (self.now + seconds, false),
                When::Embargo(seconds) => (self.now + seconds, true),
            };
            let with = languages.iter().copied().collect();
            self.slot((s, language)).waiting = Some(Waiting { words, base, time, embargoed, held: false, with });
            if embargoed {
                self.tell_holders((s, language));
            }
        }
    }

    fn put_out(&mut self, key: Key, words: Words) {
        let before = self.look(key).shown;
        let number = before.as_ref().map_or(0, |shown| shown.number) + 1;
        let kind = words.kind;
        let behind = if kind == ChangeKind::Reinstatement {
            before.as_ref().and_then(|shown| shown.stale)
        } else {
            let newest = self.look((key.0, SOURCES[key.0])).shown.map_or(0, |shown| shown.major);
            words.source.filter(|source| *source < newest).map(|_| newest)
        };
        let minor = matches!(kind, ChangeKind::Minor | ChangeKind::Reinstatement);
        let major = before.filter(|_| minor).map_or(number, |shown| shown.major);
        let state = Some(live::State::Published);
        self.slot(key).shown = Some(Shown { words, number, state, stale: behind, major, redirect: None });
        self.tell(key);
        if key.1 != SOURCES[key.0] || !matches!(kind, ChangeKind::Major | ChangeKind::Correction) {
            return;
        }
        for language in LANGUAGES.into_iter().filter(|language| *language != key.1) {
            let Some(shown) = self.slot((key.0, language)).shown.as_mut() else { continue };
            if shown.is_readable() && shown.stale.is_none() {
                shown.stale = Some(number);
                self.tell((key.0, language));
            }
        }
    }

    pub(super) fn take_off(&mut self, key: Key) -> Option<Waiting> {
        let waiting = self.slot(key).waiting.take()?;
        for language in &waiting.with {
            if let Some(other) = self.slot((key.0, language)).waiting.as_mut() {
                other.with.remove(key.1);
            }
        }
        if waiting.embargoed {
            self.tell_holders(key);
        }
        Some(waiting)
    }

    fn overtake(&mut self, key: Key) {
        match self.slot(key).waiting.as_mut() {
            Some(waiting) if waiting.embargoed => drop(self.take_off(key)),
            Some(waiting) => waiting.held = true,
            None => {}
        }
    }

    /// The languages that are meant: all that fit, or those named if all of them fit.
    fn chosen(&self, s: usize, named: &[Language], fits: impl Fn(&Slots) -> bool) -> Option<Vec<Language>> {
        let fit = |language: &Language| fits(&self.look((s, language)));
        let all = if named.is_empty() { LANGUAGES.into_iter().filter(fit).collect() } else { named.to_vec() };
        (!all.is_empty() && all.iter().all(fit)).then_some(all)
    }

    pub(super) fn withdraw(&mut self, s: usize, named: &[Language]) -> Verdict {
        self.open(s)?;
        let fits = |slots: &Slots| slots.waiting.is_some() || slots.shown.as_ref().is_some_and(Shown::is_readable);
        for language in self.chosen(s, named, fits).ok_or("NOTHING_LIVE")? {
            self.overtake((s, language));
            if let Some(shown) = self.slot((s, language)).shown.as_mut().filter(|shown| shown.is_readable()) {
                shown.state = Some(live::State::Withdrawn);
                self.tell((s, language));
            }
        }
        Ok(())
    }

    fn redirect_fits(&self, from: usize, to: usize) -> bool {
        let shown = |s: usize| LANGUAGES.into_iter().filter_map(move |language| self.look((s, language)).shown);
        if from == to || !shown(to).any(|shown| shown.is_readable()) {
            return false;
        }
        let (mut reached, mut open) = (BTreeSet::new(), vec![to]);
        while let Some(s) = open.pop() {
            if reached.insert(s) {
                open.extend(shown(s).filter_map(|shown| shown.redirect));
            }
        }
        !reached.contains(&from)
    }

    pub(super) fn languages_of(&self, s: usize, named: &[Language], step: Step) -> Result<Vec<Language>, &'static str> {
        if step == Step::Redirect(s) {
            return Err("INVALID_ARGUMENT");
        }
        self.open(s)?;
        match step {
            Step::Reinstate => {
                let withdrawn =
                    |slots: &Slots| slots.shown.as_ref().is_some_and(|s| s.state == Some(live::State::Withdrawn));
                self.chosen(s, named, withdrawn).ok_or("NOT_WITHDRAWN")
            }
            Step::Gone | Step::Hidden | Step::Redirect(_) => {
                if matches!(step, Step::Redirect(to) if !self.redirect_fits(s, to)) {
                    return Err("REDIRECT_TARGET_NOT_PUBLIC");
                }
                let public = |slots: &Slots| {
                    slots.waiting.is_some() || slots.shown.as_ref().is_some_and(|shown| shown.state.is_some())
                };
                self.chosen(s, named, public).ok_or("NOTHING_LIVE")
            }
            Step::Expunge if self.statements[&s].hold => Err("LEGAL_HOLD"),
            Step::Expunge => Ok(LANGUAGES.to_vec()),
        }
    }

    pub(super) fn second(&mut self, s: usize, proposal: &Proposal, who: &str) -> Verdict {
        self.open(s)?;
        if proposal.step == Step::Expunge && self.statements[&s].hold {
            return Err("LEGAL_HOLD");
        }
        let current = self.statements[&s].proposal.as_ref().is_some_and(|current| current.id == proposal.id);
        if !current || self.now > proposal.until {
            return Err("PROPOSAL_NOT_FOUND");
        }
        if proposal.proposer == who {
            return Err("SECOND_PERSON_REQUIRED");
        }
        let languages = self.languages_of(s, &proposal.languages, proposal.step)?;
        self.statements.get_mut(&s).unwrap().proposal = None;
        for language in languages {
            self.take(proposal.step, (s, language));
        }
        self.statements.get_mut(&s).unwrap().expunged |= proposal.step == Step::Expunge;
        Ok(())
    }

    fn take(&mut self, step: Step, key: Key) {
        match step {
            Step::Reinstate => {
                let words = self.look(key).shown.unwrap().words;
                self.put_out(key, Words { kind: ChangeKind::Reinstatement, ..words });
                return;
            }
            Step::Expunge => drop(self.take_off(key)),
            Step::Gone | Step::Hidden | Step::Redirect(_) => self.overtake(key),
        }
        let slot = self.slot(key);
        slot.draft = slot.draft.take().filter(|_| step != Step::Expunge);
        let public = |shown: &&mut Shown| step == Step::Expunge || shown.state.is_some();
        let Some(shown) = slot.shown.as_mut().filter(public) else { return };
        shown.redirect = None;
        match step {
            Step::Gone => shown.state = Some(live::State::Gone),
            Step::Hidden => shown.state = None,
            Step::Redirect(to) => (shown.state, shown.redirect) = (Some(live::State::Redirected), Some(to)),
            // Readers of what was hidden are still answered as if it never was.
            Step::Expunge => shown.state = shown.state.map(|_| live::State::Expunged),
            Step::Reinstate => {}
        }
        self.tell(key);
    }

    /// What time does, in order.
    pub(super) fn time_passes(&mut self) {
        loop {
            let mut due: Vec<(i64, usize, Language, bool)> = Vec::new();
            for ((s, language), slots) in &self.slots {
                if let Some(waiting) = slots.waiting.as_ref().filter(|waiting| !waiting.held) {
                    due.push((waiting.time, *s, language, false));
                }
                let current = slots.shown.as_ref().filter(|shown| shown.state == Some(live::State::Published));
                if let Some(time) = current.and_then(|shown| shown.words.expires).filter(|_| !self.statements[s].hold) {
                    due.push((time, *s, language, true));
                }
            }
            let Some((time, s, language, expires)) = due.into_iter().min() else { return };
            if time > self.now {
                return;
            }
            if expires {
                self.slot((s, language)).shown.as_mut().unwrap().state = Some(live::State::Expired);
                self.tell((s, language));
            } else {
                self.release(s, &self.look((s, language)).waiting.unwrap().with);
            }
        }
    }

    fn release(&mut self, s: usize, with: &BTreeSet<Language>) {
        let free = |language: &Language| {
            let waiting = self.look((s, language)).waiting.unwrap();
            !waiting.held
                && waiting.base == self.number((s, language))
                && self.now <= waiting.time + HOUR
                && waiting.words.expires.is_none_or(|expires| expires > self.now)
        };
        let go = with.iter().all(free);
        let mut languages: Vec<_> = with.iter().copied().collect();
        languages.sort_by_key(|language| *language != SOURCES[s]);
        for language in languages {
            let slot = self.slot((s, language));
            if !go {
                slot.waiting.as_mut().unwrap().held = true;
                continue;
            }
            let waiting = slot.waiting.take().unwrap();
            slot.told_holders += u64::from(waiting.embargoed);
            self.put_out((s, language), waiting.words);
        }
    }
}
