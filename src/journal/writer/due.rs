//! Steps that time takes: releases and expiries.

use std::{ops::Bound, time::Duration};

use tracing::warn;

use super::{Group, Writer};
use crate::{
    domain::{
        command::{Call, Command, Step},
        id::StatementId,
        state::Due,
        time::Timestamp,
    },
    journal::{JournalError, Refusal, key},
    trace::Trace,
};

/// How long the writer sleeps at most before it looks at the clock, which may have been set.
const SLEEP_MAX: Duration = Duration::from_secs(1);

impl Writer {
    /// Until the next step that time takes.
    pub(super) fn sleep(&self) -> Result<Duration, JournalError> {
        let Some((_, due)) = self.next_due(&Group::default())? else { return Ok(SLEEP_MAX) };
        let Some(now) = self.certain_time() else { return Ok(SLEEP_MAX) };
        let micros = due.time.micros_since(now).max(0);
        Ok(Duration::from_micros(micros.unsigned_abs()).min(SLEEP_MAX))
    }

    /// The next step that time takes and that this group has not taken yet.
    fn next_due(&self, group: &Group) -> Result<Option<(StatementId, Due)>, JournalError> {
        for row in self.store.scan(&key::dues(), Bound::Unbounded, false) {
            let (key, _) = row?;
            let due =
                key::due_parts(&key).ok_or_else(|| JournalError::Damaged("a due row cannot be read".to_owned()))?;
            let stands = group.states.get(&due.0).is_none_or(|state| state.due().contains(&due.1));
            if stands {
                return Ok(Some(due));
            }
        }
        Ok(None)
    }

    /// The time; none while the clock is in doubt.
    fn certain_time(&self) -> Option<Timestamp> {
        let (now, doubt) = self.clock.judged();
        doubt.is_none().then_some(now)
    }

    /// Takes what is due, in order, until the group is full. Nothing is due while the clock is in doubt.
    pub(super) fn take_due(&mut self, group: &mut Group) -> Result<(), JournalError> {
        while let Some((statement, due)) = self.next_due(group)? {
            if self.certain_time().is_none_or(|now| now < due.time) {
                break;
            }
            let step = Step::Due { language: due.language.clone(), step: due.step };
            let command = Command { statement, step };
            let call = Call::of_service(command);
            match self.step(group, &call, &Trace::default()) {
                Ok(_) => {}
                // It has moved since the look above.
                Err(Refusal::Journal(JournalError::ClockInDoubt { .. })) => break,
                Err(refusal) => return Err(JournalError::Damaged(format!("a due step: {refusal}"))),
            }
            let (statement, language) = (call.command.statement, due.language);
            let release =
                group.states.get(&statement).and_then(|state| state.languages.get(&language)?.release.as_ref());
            if let Some(reason) = release.and_then(|release| release.blocked) {
                warn!(%statement, %language, ?reason, "a release is held: somebody has to look");
            }
            if group.is_full() {
                break;
            }
        }
        Ok(())
    }
}
