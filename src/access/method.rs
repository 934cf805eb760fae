//! Which method is open to whom: the one table. `docs/access.md` is printed from it.

use super::Role::{self, Auditor, Author, Legal, Operator, Publisher, Reviewer, Subscriber};

/// To whom a method is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// To everybody, known or not.
    Anybody,
    /// To whoever has any role.
    AnyRole,
    /// To whoever has one of these.
    Roles(&'static [Role]),
}

/// A method, by its path, and to whom it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// As HTTP/2 has it, without the first slash: `package.Service/Method`.
    pub path: &'static str,
    /// To whom.
    pub who: Who,
}

const fn method(path: &'static str, roles: &'static [Role]) -> Method {
    Method { path, who: Who::Roles(roles) }
}

/// Whoever works on statements sees the work.
pub(super) const EDITORS: &[Role] = &[Author, Reviewer, Publisher, Legal, Auditor];
/// The public record is for all who are let in.
const READERS: &[Role] = &Role::ALL;
/// Who has applied what, and whether the clock is in doubt, concerns those who publish, too.
const OVERSEERS: &[Role] = &[Publisher, Legal, Auditor, Operator];

/// Every method of ours.
pub const METHODS: [Method; 49] = [
    method("onrecord.v1.EditorialService/CreateStatement", &[Author]),
    method("onrecord.v1.EditorialService/UpdateStatement", &[Author, Publisher]),
    method("onrecord.v1.EditorialService/GetStatementOverview", EDITORS),
    method("onrecord.v1.EditorialService/ListStatementOverviews", EDITORS),
    method("onrecord.v1.EditorialService/SaveDraft", &[Author]),
    method("onrecord.v1.EditorialService/GetDraft", EDITORS),
    method("onrecord.v1.EditorialService/ListDrafts", EDITORS),
    method("onrecord.v1.EditorialService/DiffDraft", EDITORS),
    method("onrecord.v1.EditorialService/ListDraftRevisions", EDITORS),
    method("onrecord.v1.EditorialService/GetDraftRevision", EDITORS),
    method("onrecord.v1.EditorialService/SubmitDraft", &[Author]),
    method("onrecord.v1.EditorialService/ApproveDraft", &[Reviewer]),
    method("onrecord.v1.EditorialService/RejectDraft", &[Reviewer]),
    method("onrecord.v1.EditorialService/DiscardDraft", &[Author]),
    method("onrecord.v1.EditorialService/PublishDrafts", &[Publisher]),
    method("onrecord.v1.EditorialService/ApproveEdition", &[Reviewer]),
    method("onrecord.v1.EditorialService/ListPendingApprovals", EDITORS),
    method("onrecord.v1.EditorialService/GetRelease", EDITORS),
    method("onrecord.v1.EditorialService/ListReleases", EDITORS),
    method("onrecord.v1.EditorialService/CancelRelease", &[Publisher]),
    method("onrecord.v1.EditorialService/WithdrawStatement", &[Publisher, Legal]),
    method("onrecord.v1.EditorialService/ReinstateStatement", &[Publisher, Legal]),
    method("onrecord.v1.EditorialService/RemoveStatement", &[Publisher, Legal]),
    method("onrecord.v1.EditorialService/ExpungeStatement", &[Legal]),
    method("onrecord.v1.EditorialService/CancelProposal", &[Publisher, Legal]),
    method("onrecord.v1.EditorialService/SetLegalHold", &[Legal]),
    method("onrecord.v1.EditorialService/ListEntries", &[Auditor]),
    method("onrecord.v1.StatementService/GetStatement", READERS),
    method("onrecord.v1.StatementService/BatchGetStatements", READERS),
    method("onrecord.v1.StatementService/ListStatements", READERS),
    method("onrecord.v1.StatementService/GetEdition", READERS),
    method("onrecord.v1.StatementService/ListEditions", READERS),
    method("onrecord.v1.StatementService/DiffEditions", READERS),
    method("onrecord.v1.FeedService/Subscribe", &[Subscriber]),
    method("onrecord.v1.FeedService/ReadFeed", &[Subscriber]),
    method("onrecord.v1.FeedService/CreateSubscription", &[Operator]),
    method("onrecord.v1.FeedService/GetSubscription", &[Subscriber, Publisher, Legal, Auditor, Operator]),
    method("onrecord.v1.FeedService/ListSubscriptions", OVERSEERS),
    method("onrecord.v1.FeedService/UpdateSubscription", &[Operator]),
    method("onrecord.v1.FeedService/DeleteSubscription", &[Operator]),
    method("onrecord.v1.FeedService/Acknowledge", &[Subscriber]),
    method("onrecord.v1.FeedService/Reject", &[Subscriber]),
    method("onrecord.v1.FeedService/ListDeliveries", OVERSEERS),
    method("onrecord.v1.BackupService/Backup", &[Operator]),
    method("onrecord.v1.ClockService/GetClock", OVERSEERS),
    method("onrecord.v1.ClockService/ConfirmClock", &[Operator]),
    method("onrecord.v1.InfoService/GetServiceInfo", READERS),
    method("onrecord.v1.InfoService/WhoAmI", READERS),
    Method { path: "grpc.health.v1.Health/*", who: Who::Anybody },
];

/// To whom a path is open, as HTTP/2 has it. What is not ours (reflection, and what does not exist) is for whoever has a role.
pub(super) fn who(path: &str) -> Who {
    row(path).map_or(Who::AnyRole, |method| method.who)
}

/// Whether there is such a method.
#[must_use]
pub fn is_known(path: &str) -> bool {
    row(path).is_some()
}

fn row(path: &str) -> Option<&'static Method> {
    let path = path.strip_prefix('/').unwrap_or(path);
    METHODS.iter().find(|method| match method.path.strip_suffix('*') {
        Some(service) => path.starts_with(service),
        None => path == method.path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_open_to_whom_the_table_says() {
        assert_eq!(who("/onrecord.v1.EditorialService/ListEntries"), Who::Roles(&[Auditor]));
        assert_eq!(who("/grpc.health.v1.Health/Watch"), Who::Anybody);
        for other in ["/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/onrecord.v1.EditorialService/", ""]
        {
            assert_eq!(who(other), Who::AnyRole, "{other}");
        }
    }
}
