//! Named subscriptions: steps on them, which are entries, and how far they are, which is not.

use super::{Answered, Group, Writer, step::salt};
use crate::{
    domain::{
        answer::Answer,
        id::SubscriptionId,
        subscription::{Progress, Subscription, SubscriptionCall, decide},
    },
    journal::{
        JournalError, Refusal, commit, key,
        row::{decode, encode},
        store::Change,
    },
};

impl Writer {
    /// Takes a step on a subscription.
    pub(super) fn enrol(&mut self, group: &mut Group, call: &SubscriptionCall) -> Result<Answered, Refusal> {
        let asked = commit::Asked::of_subscription(call);
        if let Some(answer) = self.remembered(group, &asked)? {
            return Ok(Answered::new(answer?, None));
        }
        let there = self.subscription(group, &call.id)?;
        let now = self.time_of_step(false)?;
        let after = decide(there.as_ref(), call, now, self.meta.next_entry)?;
        self.quota.admit_enrolment(&call.step)?;
        let entry = self.meta.next_entry;
        let answer = Answer::Subscription(Box::new(after.clone()));
        if call.validate_only {
            let other = decide(there.as_ref(), call, now.next(), entry + 1)?;
            let in_another_commit = Some(Answer::Subscription(Box::new(other)));
            return Ok(Answered { in_another_commit, ..Answered::new(answer, None) });
        }
        let changes = commit::enrolment(&after, call.step.action(), &asked, &answer, now, salt()?, &mut self.meta);
        group.add(entry, changes);
        group.remember(&asked, &answer, now);
        group.subscriptions.insert(call.id.clone(), after);
        Ok(Answered::new(answer, None))
    }

    /// Notes how far subscriptions are. One that was deleted since is left out.
    pub(super) fn note(&self, group: &mut Group, noted: Vec<(SubscriptionId, Progress)>) -> Result<(), JournalError> {
        let mut changes = Vec::new();
        for (id, progress) in noted {
            let there = self.subscription(group, &id)?;
            if there.is_some_and(|there| there.delete_time.is_none() && there.number == progress.subscription) {
                changes.push(Change::put(key::progress(&id), encode(&progress)));
            }
        }
        group.add_rows(self.meta.next_entry - 1, changes);
        Ok(())
    }

    fn subscription(&self, group: &Group, id: &SubscriptionId) -> Result<Option<Subscription>, JournalError> {
        if let Some(subscription) = group.subscriptions.get(id) {
            return Ok(Some(subscription.clone()));
        }
        self.store.get(&key::subscription(id))?.map(|row| decode(&row.value)).transpose()
    }
}
