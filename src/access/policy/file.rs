//! Reads the file of a policy, and notes all that is wrong with it.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    ops::Range,
    path::Path,
};

use jsonwebtoken::{Algorithm, AlgorithmFamily, jwk::JwkSet};
use toml::{Spanned, value::Datetime};

use super::{
    Fault, Given, Issuer, Known, Policy, Role, mandates,
    rows::{File, GrantRow, IssuerRow, Names, TokenRow},
};
use crate::{
    access::{
        keys::{self, KeySource},
        method::EDITORS,
    },
    domain::{
        digest::Digest,
        filter::Filter,
        id::{Caller, Code, LanguageTag, Malformed, Region, SubscriptionId},
        mandate::Grant,
        time::Timestamp,
    },
};

/// How far the clock of an issuer may be off, unless the policy says otherwise, and at most.
const LEEWAY_SECONDS_DEFAULT: i64 = 60;
const LEEWAY_SECONDS_MAX: i64 = 600;
/// Bytes of a file of keys.
const KEYS_BYTES_MAX: usize = 1024 * 1024;

/// How alike the name of a group has to be to be meant, of 1.
const ALIKE: f64 = 0.9;

pub(super) fn parse(text: &str, beside: &Path) -> Result<Policy, Vec<Fault>> {
    let file: File = toml::from_str(text).map_err(|error| {
        vec![Fault { line: line(text, &error.span().unwrap_or_default()), words: error.message().to_owned() }]
    })?;
    let mut reader = Reader { text, beside, faults: Vec::new() };
    let policy = reader.policy(file);
    reader.faults.sort_by_key(|fault| fault.line);
    if reader.faults.is_empty() { Ok(policy) } else { Err(reader.faults) }
}

fn line(text: &str, at: &Range<usize>) -> usize {
    1 + text.bytes().take(at.start).filter(|byte| *byte == b'\n').count()
}

/// Notes what is wrong.
struct Reader<'t> {
    text: &'t str,
    beside: &'t Path,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn fault(&mut self, at: &Range<usize>, words: impl Into<String>) {
        self.faults.push(Fault { line: line(self.text, at), words: words.into() });
    }

    fn policy(&mut self, file: File) -> Policy {
        let groups: BTreeMap<_, _> =
            file.groups.iter().map(|(name, members)| (name.as_str(), self.callers(members.get_ref()))).collect();
        let mut policy = Policy::default();
        for row in &file.grants {
            let given = self.given(row);
            for caller in self.addressees(row, &groups) {
                policy.given.entry(caller).or_default().push(given.clone());
            }
        }
        for row in &file.tokens {
            self.token(row, &mut policy);
        }
        policy.doubts = self.doubts(&file, &groups);
        policy.mandates = policy.given.iter().map(|(caller, given)| (caller.clone(), mandates(given))).collect();
        policy.limits = file.limits.into();
        policy.issuers = file.issuers.into_iter().map(|row| self.issuer(row)).collect();
        policy
    }

    /// Groups without members; and names that a grant takes for callers, and that are nearly those of groups. A caller with a token is
    /// none of them.
    fn doubts(&self, file: &File, groups: &BTreeMap<&str, Vec<Caller>>) -> Vec<Fault> {
        let has_token = |name: &str| file.tokens.iter().any(|row| row.caller.get_ref() == name);
        let named = file.grants.iter().flat_map(|row| row.to.get_ref());
        let callers = named.filter(|name| !groups.contains_key(name.get_ref().as_str()) && !has_token(name.get_ref()));
        let doubt = |name: &Spanned<String>| {
            let alike = |group: &&&str| strsim::jaro_winkler(group, name.get_ref()) > ALIKE;
            let group = groups.keys().find(alike)?;
            let words = format!("'{}' is taken for a caller: is the group '{group}' meant?", name.get_ref());
            Some(Fault { line: line(self.text, &name.span()), words })
        };
        let empty = file.groups.iter().filter(|(_, members)| members.get_ref().is_empty());
        let empty = empty.map(|(name, members)| {
            let words = format!("the group '{name}' is empty: what is granted to it, nobody has");
            Fault { line: line(self.text, &members.span()), words }
        });
        let mut doubts: Vec<_> = empty.chain(callers.filter_map(doubt)).collect();
        doubts.sort_by_key(|doubt| doubt.line);
        doubts
    }

    fn callers(&mut self, names: &Names) -> Vec<Caller> {
        self.each(names, Caller::parse)
    }

    /// All values of a list, as far as they are right.
    fn each<T>(&mut self, names: &Names, parse: impl Fn(&str) -> Result<T, Malformed>) -> Vec<T> {
        let mut values = Vec::new();
        for name in names {
            match parse(name.get_ref()) {
                Ok(value) => values.push(value),
                Err(fault) => self.fault(&name.span(), format!("'{}' {fault}", name.get_ref())),
            }
        }
        values
    }

    /// A list that is there limits, so it must have something: an empty one could be meant as nothing, or as everything.
    fn limit<T>(&mut self, names: Option<&Spanned<Names>>, parse: impl Fn(&str) -> Result<T, Malformed>) -> Vec<T> {
        let Some(names) = names else { return Vec::new() };
        if names.get_ref().is_empty() {
            self.fault(&names.span(), "an empty list: leave it out for all, or take the grant out for none");
        }
        self.each(names.get_ref(), parse)
    }

    fn addressees(&mut self, row: &GrantRow, groups: &BTreeMap<&str, Vec<Caller>>) -> Vec<Caller> {
        if row.to.get_ref().is_empty() {
            self.fault(&row.to.span(), "'to' must name at least one caller or group");
        }
        let (mut callers, mut others) = (Vec::new(), Vec::new());
        for name in row.to.get_ref() {
            match groups.get(name.get_ref().as_str()) {
                Some(members) => callers.extend(members.iter().cloned()),
                None => others.push(name.clone()),
            }
        }
        callers.extend(self.callers(&others));
        callers
    }

    fn given(&mut self, row: &GrantRow) -> Given {
        let roles = row.roles.get_ref();
        if roles.is_empty() {
            self.fault(&row.roles.span(), "'roles' must name at least one role");
        }
        if row.embargoed && !roles.contains(&Role::Subscriber) {
            self.fault(&row.roles.span(), "'embargoed' is for the role 'subscriber': editors see what they work on");
        }
        let what = Filter {
            kinds: self.limit(row.kinds.as_ref(), Code::parse),
            languages: self.limit(row.languages.as_ref(), LanguageTag::parse),
            topics: self.limit(row.topics.as_ref(), Code::parse),
            regions: self.limit(row.regions.as_ref(), Region::parse),
            audiences: self.limit(row.audiences.as_ref(), Code::parse),
            channels: self.limit(row.channels.as_ref(), Code::parse),
            statements: Vec::new(),
        };
        let subscriptions = self.limit(row.subscriptions.as_ref(), SubscriptionId::parse);
        let unpublished = roles.iter().any(|role| EDITORS.contains(role));
        let grant = Grant { what, embargoed: row.embargoed, unpublished, subscriptions };
        Given { roles: roles.iter().copied().collect(), grant }
    }

    fn token(&mut self, row: &TokenRow, policy: &mut Policy) {
        let caller = self.each(&vec![row.caller.clone()], Caller::parse).pop();
        let digest = self.each(&vec![row.sha256.clone()], Digest::parse).pop();
        let expire_time = row.expires.as_ref().and_then(|time| self.time(time));
        let (Some(caller), Some(digest)) = (caller, digest) else { return };
        if !policy.given.contains_key(&caller) {
            self.fault(&row.caller.span(), format!("'{caller}' has a token and no grant"));
        }
        if policy.tokens.insert(digest, Known { caller, expire_time }).is_some() {
            self.fault(&row.sha256.span(), "this token is there twice");
        }
    }

    fn issuer(&mut self, row: IssuerRow) -> Issuer {
        let named = self.each(row.algorithms.get_ref(), algorithm);
        if row.algorithms.get_ref().is_empty() {
            self.fault(&row.algorithms.span(), "'algorithms' must name at least one, such as \"ES256\"");
        }
        let leeway = row.leeway_seconds.as_ref();
        if let Some(leeway) = leeway.filter(|leeway| !(0..=LEEWAY_SECONDS_MAX).contains(leeway.get_ref())) {
            self.fault(&leeway.span(), format!("'leeway_seconds' must be 0 to {LEEWAY_SECONDS_MAX}"));
        }
        let source = self.key_source(&row);
        let is_file = !KeySource::is_named_by(row.keys.get_ref());
        let keys = if is_file { self.keys(&row.keys) } else { JwkSet { keys: Vec::new() } };
        Issuer {
            name: row.name,
            audience: row.audience,
            algorithms: named,
            caller_claim: row.caller_claim,
            prefix: row.prefix,
            leeway_seconds: leeway.map_or(LEEWAY_SECONDS_DEFAULT, |leeway| *leeway.get_ref()),
            keys,
            source,
        }
    }

    /// Where the keys are fetched, if the policy names an address.
    fn key_source(&mut self, row: &IssuerRow) -> Option<KeySource> {
        let ca = row.keys_ca.as_ref();
        if !KeySource::is_named_by(row.keys.get_ref()) {
            if let Some(ca) = ca {
                self.fault(&ca.span(), "'keys_ca' is for keys that are fetched");
            }
            return None;
        }
        let ca = ca.map(|ca| self.beside.join(ca.get_ref()));
        let source = KeySource::new(row.keys.get_ref(), ca.as_deref());
        source.map_err(|fault| self.fault(&row.keys.span(), format!("'keys' {fault}"))).ok()
    }

    fn keys(&mut self, given: &Spanned<String>) -> JwkSet {
        let file = self.beside.join(given.get_ref());
        let read = read_at_most(&file, KEYS_BYTES_MAX).map_err(|error| error.to_string()).and_then(|bytes| {
            if bytes.len() > KEYS_BYTES_MAX {
                return Err(format!("has more than {KEYS_BYTES_MAX} bytes"));
            }
            keys::parse(&bytes).map_err(|fault| fault.to_string())
        });
        match read {
            Ok(keys) => keys,
            Err(words) => {
                self.fault(&given.span(), format!("{}: {words}", file.display()));
                JwkSet { keys: Vec::new() }
            }
        }
    }

    fn time(&mut self, given: &Spanned<Datetime>) -> Option<Timestamp> {
        let parsed = given.get_ref().to_string().parse::<jiff::Timestamp>();
        let Ok(time) = parsed else {
            self.fault(&given.span(), "'expires' must be a time with its offset, such as 2027-01-01T00:00:00Z");
            return None;
        };
        Some(Timestamp::from_micros(time.as_microsecond()))
    }
}

/// A file, as far as one byte more than it may have.
fn read_at_most(file: &Path, bytes: usize) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    fs::File::open(file)?.take(u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut read)?;
    Ok(read)
}

/// A signature that only its issuer can make: a shared secret is none.
fn algorithm(text: &str) -> Result<Algorithm, Malformed> {
    let known = text.parse().ok().filter(|it| !AlgorithmFamily::Hmac.algorithms().contains(it));
    known.ok_or_else(|| Malformed::new("must be one of ES256, ES384, EdDSA, RS256, RS384, RS512, PS256, PS384, PS512"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        parse(text, Path::new("")).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let text = r#"[groups]
press = ["anna", "a b"]

[[grants]]
to = []
roles = []

[[grants]]
to = ["press"]
roles = ["author"]
kinds = ["Press Release"]
embargoed = true

[[tokens]]
caller = "carl"
sha256 = "abc"
expires = 2027-01-01
"#;
        let told = faults(text);
        let lines: Vec<_> = told.iter().filter_map(|fault| fault.split(':').next()).collect();
        assert_eq!(lines, ["line 2", "line 5", "line 6", "line 10", "line 11", "line 16", "line 17"], "{told:#?}");
    }

    #[test]
    fn a_name_that_is_nearly_that_of_a_group_is_doubted_and_so_is_an_empty_group() {
        let policy = |name: &str, more: &str| {
            let text = format!(
                "[groups]\npress = [\"anna\"]\n\n[[grants]]\nto = [\"anna\", \"{name}\"]\nroles = [\"author\"]\n{more}"
            );
            parse(&text, Path::new("")).unwrap().doubts().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(policy("presss", ""), ["line 5: 'presss' is taken for a caller: is the group 'press' meant?"]);
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let token = format!("[[tokens]]\ncaller = \"presss\"\nsha256 = \"{digest}\"");
        let empty = parse("[limits]\n[groups]\npress = []", Path::new("")).unwrap();
        let told: Vec<_> = empty.doubts().iter().map(ToString::to_string).collect();
        assert_eq!(told, ["line 3: the group 'press' is empty: what is granted to it, nobody has"]);
        assert!(policy("press", "").is_empty() && policy("paul", "").is_empty() && policy("presss", &token).is_empty());
    }

    #[test]
    fn a_word_that_is_not_known_is_refused() {
        for (text, line) in [
            ("[[grants]]\nto = [\"a\"]\nroles = [\"king\"]", "line 3"),
            ("[[grants]]\nto = [\"a\"]\nroles = [\"author\"]\nkind = [\"x\"]", "line 4"),
            ("[[grants]]\nroles = [\"author\"]", "line 1"),
            ("[[grants]]\nto = [\"a\"]\nroles = [\"author\"]\naudiences = []", "line 4"),
            ("[groups", "line 1"),
            (
                "[[tokens]]\ncaller = \"a\"\nsha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"",
                "line 2",
            ),
        ] {
            let told = faults(text);
            assert!(told.len() == 1 && told[0].starts_with(line), "{text}: {told:?}");
        }
    }

    #[test]
    fn a_shared_secret_and_a_file_without_keys_are_no_issuer() {
        let told = faults(
            "[[issuers]]\nname = \"a\"\naudience = \"b\"\nalgorithms = [\"HS256\"]\nkeys = \"Cargo.toml\"\nleeway_seconds = 601",
        );
        let lines: Vec<_> = told.iter().filter_map(|fault| fault.split(':').next()).collect();
        assert_eq!(lines, ["line 4", "line 5", "line 6"], "{told:#?}");
        assert!(told[1].contains("RFC 7517"));
    }

    #[test]
    fn nothing_is_a_policy_that_lets_nobody_in() {
        assert_eq!(parse("", Path::new("")), Ok(Policy::default()));
    }
}
