//! Who may do what, over real connections: every method with every role, what a mandate hides, and what revocation ends.

mod audit;
mod encryption;
mod fetched;
mod limits;
mod mandates;
mod matrix;
mod provider;
pub(crate) mod revocation;
mod side_doors;
mod visible;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use onrecord::{
    access::{Access, Role, Token},
    domain::digest::Digest,
};
use tempfile::TempDir;

use crate::harness::{Person, Service};
use provider::{AUDIENCE, ISSUER, Provider};

/// A policy that a test writes, and the tokens of those in it. A copy is written to the same file.
#[derive(Clone)]
pub(crate) struct Policy {
    directory: Arc<TempDir>,
    text: String,
}

impl Policy {
    pub(crate) fn new() -> Self {
        Self { directory: Arc::new(tempfile::tempdir().unwrap()), text: String::new() }
    }

    /// Where it is.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("policy.toml")
    }

    /// Adds lines as they are.
    pub(crate) fn line(&mut self, lines: &str) {
        writeln!(self.text, "{lines}").unwrap();
    }

    /// Gives a caller something: the lines of a grant but for `to`.
    pub(crate) fn grant(&mut self, caller: &str, lines: &str) -> &mut Self {
        write!(self.text, "[[grants]]\nto = [\"{caller}\"]\n{lines}\n").unwrap();
        self
    }

    /// A new token for a caller, with further lines.
    pub(crate) fn token(&mut self, caller: &str, lines: &str) -> String {
        let token = Token::random().unwrap();
        write!(self.text, "[[tokens]]\ncaller = \"{caller}\"\nsha256 = \"{}\"\n{lines}\n", token.digest()).unwrap();
        token.secret().to_owned()
    }

    /// The same for a token that there is already.
    pub(crate) fn known(&mut self, caller: &str, token: &str) {
        let digest = Digest::of(&[token.as_bytes()]);
        write!(self.text, "[[tokens]]\ncaller = \"{caller}\"\nsha256 = \"{digest}\"\n").unwrap();
    }

    /// A caller with one role, everywhere, and its token.
    pub(crate) fn role(&mut self, role: Role) -> String {
        self.grant(role.as_str(), &format!("roles = [\"{}\"]", role.as_str()));
        self.token(role.as_str(), "")
    }

    /// Believes the tokens of a provider.
    pub(crate) fn believe(&mut self, provider: &Provider) {
        let keys = self.beside("keys.json", &provider.keys());
        self.issuer(&format!("keys = \"{keys}\""));
    }

    /// Believes the tokens of a provider whose keys are where these lines say.
    pub(crate) fn issuer(&mut self, lines: &str) {
        write!(
            self.text,
            "[[issuers]]\nname = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\nalgorithms = [\"ES256\"]\n{lines}\n"
        )
        .unwrap();
    }

    /// Writes a file beside it, and gives its name.
    pub(crate) fn beside<'n>(&self, name: &'n str, text: &str) -> &'n str {
        fs::write(self.directory.path().join(name), text).unwrap();
        name
    }

    /// Writes it over what was written before.
    pub(crate) fn write(&self) {
        self.replace(self);
    }

    /// Writes another over it.
    pub(crate) fn replace(&self, other: &Self) {
        // Beside it, then in its place: whoever reads it meanwhile finds a whole one.
        let beside = self.file().with_extension("new");
        fs::write(&beside, &other.text).unwrap();
        fs::rename(beside, self.file()).unwrap();
    }

    /// A service that follows it.
    pub(crate) async fn serve(&self) -> (Service, Access) {
        self.write();
        let access = Access::by_policy(&self.file()).unwrap();
        let given = access.clone();
        (Service::start_with(|config| config.access = given).await, access)
    }
}

/// Somebody who has a token.
pub(crate) fn holder(service: &Service, token: &str) -> Person {
    Person::with_token(&service.channel, token)
}
