//! A clock that was in doubt is believed again: an entry says who believes it, and by how far it had moved.

use std::time::Duration;

use tracing::{info, warn};

use super::{Answered, Group, Writer, step::salt};
use crate::{
    domain::{answer::Answer, draft::FieldFault, id::Caller, rejection::Rejection},
    journal::{
        ClockConfirmation, JournalError, Refusal,
        clock::BELIEVED_AFTER,
        commit::{self, Asked},
    },
};

/// How far a person's clock may be from the service's: a call takes its time, and so does typing.
const CONFIRM_WITHIN: Duration = Duration::from_secs(30);

impl Writer {
    /// Believes a clock that has stayed where it is for long enough.
    pub(super) fn settle_clock(&mut self, group: &mut Group) -> Result<(), JournalError> {
        let Some(moved) = self.clock.settle() else { return Ok(()) };
        warn!(
            moved_seconds = moved / 1_000_000,
            "the wall clock stays where it is: it is believed, and writes are taken"
        );
        let caller = Caller::service();
        let reason = format!("{}, and has stayed there for {} minutes", moved_by(moved), BELIEVED_AFTER.as_secs() / 60);
        self.note_belief(group, &Asked::by(&caller, None), reason)
    }

    /// Believes the clock, because a person says that it is right.
    pub(super) fn confirm_clock(&mut self, group: &mut Group, said: &ClockConfirmation) -> Result<Answered, Refusal> {
        let wall = self.clock.wall();
        if said.time.micros_since(wall).unsigned_abs() > CONFIRM_WITHIN.as_micros().try_into().unwrap_or(u64::MAX) {
            let seconds = CONFIRM_WITHIN.as_secs();
            let words = format!(
                "must be the time now, and within {seconds} s of the service's wall clock, which reads {wall}. Set the clock that is wrong first"
            );
            return Err(Rejection::Invalid(vec![FieldFault::new("time", words)]).into());
        }
        if let Some(moved) = self.clock.believe() {
            info!(caller = %said.caller, moved_seconds = moved / 1_000_000, "the wall clock was confirmed: writes are taken");
            self.note_belief(group, &Asked::by(&said.caller, said.origin.as_ref()), moved_by(moved))?;
        }
        Ok(Answered::new(Answer::Confirmed, None))
    }

    fn note_belief(&mut self, group: &mut Group, asked: &Asked<'_>, reason: String) -> Result<(), JournalError> {
        let entry = self.meta.next_entry;
        let now = self.clock.now();
        let changes = commit::confirm_clock(asked, reason, now, salt()?, &mut self.meta);
        group.add(entry, changes);
        // What is public now is public as of now, whatever a clock that was ahead has written on it.
        group.dates.add(now, self.meta.next_sequence);
        Ok(())
    }
}

fn moved_by(micros: i64) -> String {
    let (seconds, thousandths) = (micros / 1_000_000, micros.unsigned_abs() / 1_000 % 1_000);
    format!("the wall clock had moved by {seconds:+}.{thousandths:03} s against the steady clock")
}
