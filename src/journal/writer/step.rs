//! One step on a statement: who may take it, what it changes, and the rows it leaves.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use super::{Answered, Group, Writer};
use crate::{
    domain::{
        answer::Answer,
        command::{Call, Step},
        decide::{Context, Decision, decide, redirect_target},
        digest::{Digest, Salt},
        event::Event,
        id::StatementId,
        rejection::Rejection,
        state::State,
        time::Timestamp,
    },
    journal::{
        JournalError, Refusal,
        commit::{self, Asked},
        row::decode,
        view::{Reader, Words},
    },
    trace::Trace,
};

/// Bytes of a text that is read for those who wait, between one commit and the next.
const WORDS_BYTES_MAX: usize = 64 * 1024;

impl Writer {
    /// Decides a call, and adds what it changes to the group.
    pub(super) fn step(&mut self, group: &mut Group, call: &Call, trace: &Trace) -> Result<Answered, Refusal> {
        let asked = Asked::of(call);
        let remembered = self.remembered(group, &asked)?;
        let state = self.state(group, &call.command.statement)?;
        let call = &state.as_ref().map_or_else(|| Cow::Borrowed(call), |state| resolved(call, state));
        if let Some(answer) = remembered {
            admit_again(call, state.as_ref(), &answer)?;
            return Ok(Answered::new(answer?, state.map(|state| state.statement.kind)));
        }
        let redirect_fits = self.redirect_fits(group, state.as_ref(), call)?;
        let now = self.time_of_step(call.command.step.protects_readers())?;
        let salt = salt()?;
        let context = Context {
            now,
            caller: &call.caller,
            entry: self.meta.next_entry,
            sequence: self.meta.next_sequence,
            salt,
            redirect_fits,
            restored: self.restored(),
        };
        admit(call, state.as_ref(), context)?;
        let decision = decide(state.as_ref(), &call.command, context)?;
        if !call.mandate.admits_result(state.as_ref(), &decision.state) {
            return Err(Rejection::OutOfMandate.into());
        }
        self.quota.admit(&call.command.step)?;
        let mut answered = Answered::new(decision.answer.clone(), Some(decision.state.statement.kind.clone()));
        if call.validate_only {
            return tried(answered, &decision, state.as_ref(), call, context);
        }
        answered.words = self.words(&decision.events);
        answered.words.extend(written(&decision));
        let entry = self.meta.next_entry;
        if commit::erases(state.as_ref(), &decision) {
            group.erasures.push((call.command.statement.clone(), entry));
        }
        let (changes, events) = commit::changes(state.as_ref(), &decision, call, &asked, now, salt, &mut self.meta);
        group.add(entry, changes);
        if !events.is_empty() {
            group.dates.add(now, self.meta.next_sequence);
        }
        group.hand_over(events, &answered.words, trace);
        group.remember(&asked, &decision.answer, now);
        group.states.insert(call.command.statement.clone(), decision.state);
        Ok(answered)
    }

    /// The texts that these events show, as far as they are in the store and short: a long one would keep those who wait.
    fn words(&self, events: &[Event]) -> BTreeMap<Digest, Arc<Words>> {
        let reader = Reader { store: &self.store };
        // One that cannot be read is met again, and told, by whoever needs it.
        let read =
            |digest| reader.words(&digest, WORDS_BYTES_MAX).ok().flatten().map(|words| (digest, Arc::new(words)));
        events.iter().filter_map(Event::words).filter_map(read).collect()
    }

    /// The answer that was given to this very call before.
    pub(super) fn remembered(
        &self,
        group: &Group,
        asked: &Asked<'_>,
    ) -> Result<Option<Result<Answer, Rejection>>, JournalError> {
        let Some(key) = asked.key() else { return Ok(None) };
        let row = match group.answers.get(&key) {
            Some(row) => Some(row.clone()),
            None => self.store.get(&key)?.map(|row| decode(&row.value)).transpose()?,
        };
        Ok(row.map(|row| if asked.is(&row) { Ok(row.answer) } else { Err(Rejection::RequestIdReused) }))
    }

    /// The time of a step that is taken now.
    ///
    /// # Errors
    /// [`JournalError::ClockInDoubt`], unless the step protects readers: then it is dated by the trusted time.
    pub(super) fn time_of_step(&self, protects_readers: bool) -> Result<Timestamp, JournalError> {
        match self.clock.judged() {
            (_, Some(doubt)) if !protects_readers => Err(JournalError::of_doubt(doubt)),
            (now, _) => Ok(now),
        }
    }

    /// Up to when the record was restored: an epoch after the first is numbered by its beginning, in Unix seconds.
    fn restored(&self) -> Option<Timestamp> {
        let next_second = (i64::from(self.meta.epoch) + 1) * 1_000_000;
        (self.meta.epoch > 1).then(|| Timestamp::from_micros(next_second))
    }

    fn state(&self, group: &Group, id: &StatementId) -> Result<Option<State>, JournalError> {
        if let Some(state) = group.states.get(id) {
            return Ok(Some(state.clone()));
        }
        Ok(Reader { store: &self.store }.state(id)?.map(|(state, _)| state))
    }

    /// Whether readers can be sent to the statement that the call names: they can read it, and it does not lead back.
    fn redirect_fits(&self, group: &Group, state: Option<&State>, call: &Call) -> Result<bool, JournalError> {
        let Some(target) = redirect_target(state, &call.command.step) else { return Ok(false) };
        let Some(first) = self.state(group, target)? else { return Ok(false) };
        if !call.mandate.narrow(first.clone()).is_some_and(|seen| seen.has_text()) {
            return Ok(false);
        }
        let (mut seen, mut open) = (Vec::new(), vec![first]);
        while let Some(state) = open.pop() {
            for next in state.languages.values().filter_map(|slots| slots.live.as_ref()?.redirect.clone()) {
                if next == call.command.statement {
                    return Ok(false);
                }
                if !seen.contains(&next) {
                    open.extend(self.state(group, &next)?);
                    seen.push(next);
                }
            }
        }
        Ok(true)
    }
}

/// The call with each language under the tag that the statement has it by.
fn resolved<'c>(call: &'c Call, state: &State) -> Cow<'c, Call> {
    if call.command.step.is_resolved(state) {
        return Cow::Borrowed(call);
    }
    let mut call = call.clone();
    call.command.step = call.command.step.resolved(state);
    Cow::Owned(call)
}

/// Whether the scope of a call lets it be decided. What its caller does not see is answered as what is not there.
fn admit(call: &Call, state: Option<&State>, context: Context<'_>) -> Result<(), Rejection> {
    let (mandate, step) = (&call.mandate, &call.command.step);
    let Some(state) = state.filter(|_| !mandate.is_unlimited()) else { return Ok(()) };
    if let Step::CreateStatement { kind, source_language, .. } = step {
        let may_create = mandate.admits_name(&call.command.statement, Some(kind), source_language);
        return if may_create { Ok(()) } else { Err(Rejection::OutOfMandate) };
    }
    if !mandate.sees(state) {
        return Err(Rejection::StatementNotFound);
    }
    if let Step::ApproveEdition { language, number, .. } = step
        && mandate.hides_owed(state, language, *number)
    {
        return Err(Rejection::EditionNotFound);
    }
    let languages = step.languages();
    if mandate.admits_request(state, languages.as_deref()) {
        return Ok(());
    }
    if languages.is_some_and(|languages| mandate.hides_texts(state, &languages)) {
        decide(mandate.narrow(state.clone()).as_ref(), &call.command, context)?;
    }
    Err(Rejection::OutOfMandate)
}

/// Whether the scope of a call that is repeated lets it have the answer again.
fn admit_again(call: &Call, state: Option<&State>, answer: &Result<Answer, Rejection>) -> Result<(), Rejection> {
    let mandate = &call.mandate;
    let Some(state) = state.filter(|_| !mandate.is_unlimited()) else { return Ok(()) };
    if !mandate.sees(state) {
        return Err(Rejection::StatementNotFound);
    }
    let admits = answer.as_ref().is_ok_and(|answer| mandate.admits_answer(state, answer));
    if admits { Ok(()) } else { Err(Rejection::OutOfMandate) }
}

/// The answer to a call that changes nothing, with that of the same step in another commit.
fn tried(
    mut answered: Answered,
    decision: &Decision,
    state: Option<&State>,
    call: &Call,
    context: Context<'_>,
) -> Result<Answered, Refusal> {
    let (now, entry, sequence) = (context.now.next(), context.entry + 1, context.sequence + 1);
    let other = decide(state, &call.command, Context { now, entry, sequence, salt: salt()?, ..context })?;
    answered.words.extend([decision, &other].into_iter().filter_map(written));
    answered.in_another_commit = Some(other.answer);
    Ok(answered)
}

/// The text that a decision writes.
fn written(decision: &Decision) -> Option<(Digest, Arc<Words>)> {
    let (text, content) = decision.text.as_ref().zip(decision.content.clone())?;
    Some((text.digest, Arc::new(Words { content, canonical: text.bytes.clone().into() })))
}

/// What hides a text that may be erased from those who have its digest.
pub(super) fn salt() -> Result<Salt, JournalError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| JournalError::Store(format!("no random numbers: {error}")))?;
    Ok(Salt(bytes))
}
