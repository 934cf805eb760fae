//! What nobody can do by a policy, though the record takes it. A policy with gaps is used; they are told when it is checked and when it is read.

use std::collections::BTreeSet;

use super::{Policy, Role};
use crate::domain::id::Caller;

/// Roles that the record takes, and what cannot be done where no caller has them.
const NEEDED: [(Role, &str); 6] = [
    (Role::Author, "nothing can be written"),
    (Role::Reviewer, "nothing can be approved"),
    (Role::Publisher, "nothing can be published"),
    (Role::Legal, "nothing can be erased or put under a legal hold"),
    (Role::Subscriber, "no site can follow the feed"),
    (Role::Operator, "no subscription can be named and no backup taken"),
];

impl Policy {
    /// What nobody can do, or not enough people: each in words. `has_certificates` says whether client certificates are accepted.
    #[must_use]
    pub fn gaps(&self, has_certificates: bool) -> Vec<String> {
        if self.given.is_empty() {
            return vec!["no caller has a role: every call is refused".to_owned()];
        }
        let mut gaps = Vec::new();
        if self.tokens.is_empty() && self.issuers.is_empty() && !has_certificates {
            gaps.push(
                "there is no token and no issuer: only callers with a client certificate are admitted, which takes `--tls-client-ca`"
                    .to_owned(),
            );
        }
        let is_missing = |(role, _): &&(Role, &str)| self.holders(&[*role]).is_empty();
        let missing = NEEDED.iter().filter(is_missing);
        gaps.extend(missing.map(|(role, words)| format!("no caller has the role '{}': {words}", role.as_str())));
        gaps.extend(self.lonely());
        gaps.extend(self.limited_operators());
        gaps
    }

    /// Steps that take two people, where only one has the role.
    fn lonely(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        let reviewers = self.holders(&[Role::Reviewer]);
        if let Some(one) = only(&reviewers).filter(|one| self.holders(&[Role::Author]).contains(one)) {
            gaps.push(format!("'{one}' is an author and the only reviewer: nobody can approve what '{one}' writes"));
        }
        for (roles, words, steps) in [
            (&[Role::Legal][..], "'legal'", "an erasure takes"),
            (&[Role::Publisher, Role::Legal], "'publisher' or 'legal'", "a removal and a reinstatement take"),
        ] {
            if let Some(one) = only(&self.holders(roles)) {
                gaps.push(format!("'{one}' alone has the role {words}: {steps} two people with it"));
            }
        }
        gaps
    }

    /// A backup has the whole record, so a limited operator takes none.
    fn limited_operators(&self) -> Vec<String> {
        let operators = self.holders(&[Role::Operator]);
        let is_limited = |caller: &&Caller| {
            let mut given = self.given.get(caller).into_iter().flatten();
            !given.any(|given| given.roles.contains(&Role::Operator) && given.grant.is_unlimited())
        };
        let words = "has the role 'operator' with limits: it cannot take backups, which have the whole record";
        operators.into_iter().filter(is_limited).map(|caller| format!("'{caller}' {words}")).collect()
    }

    fn holders(&self, roles: &[Role]) -> BTreeSet<&Caller> {
        let holds = |role: &Role, caller: &Caller| {
            self.given.get(caller).is_some_and(|given| given.iter().any(|given| given.roles.contains(role)))
        };
        self.given.keys().filter(|caller| roles.iter().any(|role| holds(role, caller))).collect()
    }
}

fn only<'c>(callers: &BTreeSet<&'c Caller>) -> Option<&'c Caller> {
    callers.first().copied().filter(|_| callers.len() == 1)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn gaps(text: &str) -> Vec<String> {
        Policy::parse(text, Path::new("")).unwrap().gaps(true)
    }

    #[test]
    fn a_policy_that_admits_nobody_is_told() {
        let nobody = ["no caller has a role: every call is refused"];
        assert_eq!(gaps(""), nobody);
        assert_eq!(gaps("[groups]\npress = []\n[[grants]]\nto = [\"press\"]\nroles = [\"author\"]"), nobody);
        let grant = "[[grants]]\nto = [\"anna\"]\nroles = [\"author\"]";
        let without = Policy::parse(grant, Path::new("")).unwrap().gaps(false);
        assert!(without[0].starts_with("there is no token and no issuer"), "{without:?}");
    }

    #[test]
    fn a_step_that_no_two_people_can_take_is_told() {
        let all = r#""author", "reviewer", "publisher", "legal", "subscriber", "operator""#;
        let grant = |to: &str, roles: &str| format!("[[grants]]\nto = [\"{to}\"]\nroles = [{roles}]\n");
        assert_eq!(
            gaps(&grant("anna", all)),
            [
                "'anna' is an author and the only reviewer: nobody can approve what 'anna' writes",
                "'anna' alone has the role 'legal': an erasure takes two people with it",
                "'anna' alone has the role 'publisher' or 'legal': a removal and a reinstatement take two people with it",
            ]
        );
        let two = grant("anna", all) + &grant("bea", r#""reviewer", "legal""#);
        assert_eq!(gaps(&two), Vec::<String>::new());
        let roles = ["author", "reviewer", "publisher", "legal", "subscriber", "operator"];
        for role in roles {
            let others: Vec<_> = roles.iter().filter(|other| **other != role).map(|it| format!("\"{it}\"")).collect();
            let others = others.join(", ");
            let told = gaps(&(grant("anna", &others) + &grant("bea", &others)));
            assert!(told.len() == 1 && told[0].starts_with(&format!("no caller has the role '{role}'")), "{told:?}");
        }
    }

    #[test]
    fn an_operator_with_limits_is_told_that_it_takes_no_backup() {
        for limit in ["kinds = [\"notice\"]", "topics = [\"energy\"]", "subscriptions = [\"paris\"]"] {
            let told = gaps(&format!("[[grants]]\nto = [\"olga\"]\nroles = [\"operator\"]\n{limit}"));
            assert!(told.iter().any(|gap| gap.starts_with("'olga' has the role 'operator' with limits")), "{told:?}");
        }
    }
}
