//! A run: each step is taken by the service and by the model, and what they say is compared.

use onrecord::{
    api::v1::{self, ChangeKind},
    journal::Retention,
};
use tonic::Status;
use tonic_types::StatusExt as _;

use super::{
    HOUR, Key, LANGUAGES, Language, MARK, SOURCES, STATEMENTS, TOPICS, name, own,
    site::Site,
    state::{Draft, Model, Proposal, Verdict, Waiting, Words},
    steps::{Change, Command, PLANS, Plan, Step, Text, Wanted, When},
};
use crate::{
    harness::{Person, Service, changed},
    survival::{backup, restored, verified},
};

/// Every text goes that another took the place of.
const NOTHING_KEPT: Retention = Retention { drafts_for: None, drafts_max: Some(0), requests_for: None };

pub(super) struct Run {
    pub(super) service: Service,
    pub(super) model: Model,
    pub(super) sites: Vec<Site>,
    pub(super) titles: u32,
    pub(super) marks: u32,
}

impl Run {
    pub(super) async fn run(plans: &[Plan], commands: Vec<Command>) {
        let everything = Plan { start: v1::Start::Beginning, wanted: Wanted::default(), include_embargoed: true };
        let plans = std::iter::once(&everything).chain(plans);
        let mut run = Self {
            service: Service::start().await,
            model: Model::default(),
            sites: plans.cloned().map(Site::new).collect(),
            titles: 0,
            marks: 0,
        };
        run.service.person("author").create(MARK, "en").await;
        for command in commands {
            if let Command::Restart(seconds) = command {
                run = run.restart(seconds).await;
            } else {
                run.step(command).await;
            }
            run.service.advance(0).await;
            run.model.time_passes();
        }
        run.check().await;
        // A copy is the same record, and both are as they were written.
        let (header, entries, _) = backup(&run.service, &v1::BackupEnd::default()).await;
        let report = verified(run.service.stop().await.directory());
        let (_, restored) = restored(&header, &entries).await;
        assert_eq!((report.findings, report.state_digest), (Vec::new(), restored.state_digest));
    }

    /// The service is away for some seconds. Its subscribers come back with their cursors.
    async fn restart(mut self, seconds: i64) -> Self {
        self.sites.iter_mut().for_each(|site| site.stream = None);
        let service = self.service.stop().await.start(seconds).await;
        self.model.now += seconds;
        Self { service, ..self }
    }

    async fn step(&mut self, command: Command) {
        match command {
            Command::Restart(_) => unreachable!("see Run::run"),
            Command::Create(s) => self.create(s).await,
            Command::Release(s, languages, text, when) => {
                if !self.model.statements.contains_key(&s) {
                    self.create(s).await;
                }
                for language in &languages {
                    self.write((s, language), &text, true).await;
                }
                self.publish(s, &languages, when, false).await;
            }
            Command::Write(s, language, text, approve) => self.write((s, language), &text, approve).await,
            Command::Publish(s, languages, when, force) => self.publish(s, &languages, when, force).await,
            Command::Cancel(s, language) => self.cancel(s, language).await,
            Command::Withdraw(s, languages) => {
                let result = self.service.person("publisher").withdraw(STATEMENTS[s], &languages).await;
                agree(&result, self.model.withdraw(s, &languages));
            }
            Command::Propose(s, languages, step) => self.propose(s, &languages, step).await,
            Command::Second(s, other) => self.second(s, other).await,
            Command::Together(s, languages, step) => {
                self.propose(s, &languages, step).await;
                self.second(s, true).await;
            }
            Command::Hold(s, legal_hold) => {
                let request =
                    v1::SetLegalHoldRequest { name: name(s), legal_hold, reason: "Suit.".into(), ..Default::default() };
                let result = self.service.person("counsel").editorial.set_legal_hold(request).await;
                let whole = self.model.statements.get_mut(&s).ok_or("STATEMENT_NOT_FOUND");
                agree(&result, whole.map(|whole| whole.hold = legal_hold));
            }
            Command::Advance(seconds) => {
                self.service.advance(seconds).await;
                self.model.now += seconds;
            }
            Command::Prune => drop(self.service.journal.prune_once(NOTHING_KEPT).await.unwrap()),
            Command::Look(who, most, hang_up) => {
                self.mark().await;
                let site = &mut self.sites[who % PLANS];
                site.read(&self.service, &self.model, self.marks, most).await;
                if hang_up {
                    site.stream = None;
                }
            }
        }
        self.model.time_passes();
    }

    async fn create(&mut self, s: usize) {
        let statement =
            v1::Statement { kind: "notice".into(), source_language_code: SOURCES[s].into(), ..Default::default() };
        let request = v1::CreateStatementRequest {
            statement_id: STATEMENTS[s].into(),
            statement: Some(statement),
            ..Default::default()
        };
        let result = self.service.person("author").editorial.create_statement(request).await;
        let there = self.model.statements.contains_key(&s);
        agree(&result, if there { Err("STATEMENT_EXISTS") } else { Ok(()) });
        self.model.statements.entry(s).or_default();
    }

    fn words(&mut self, key: Key, text: &Text) -> (Words, v1::Content) {
        self.titles += 1;
        let title = format!("Text {}", self.titles);
        let slots = self.model.look(key);
        let base = slots.draft.map_or_else(|| self.model.number(key), |draft| draft.base);
        let kind = match text.change {
            Change::Fitting(_) if base == 0 => ChangeKind::Initial,
            Change::Fitting(kind) | Change::Any(kind) => kind,
        };
        let newest = self.model.number((key.0, SOURCES[key.0]));
        let source = Some(newest).filter(|newest| text.names_source && *newest > 0 && key.1 != SOURCES[key.0]);
        let content = v1::Content {
            topics: own(&text.topics),
            region_codes: own(&text.regions),
            excluded_region_codes: own(&text.excluded),
            expire_time: text.expires_in.and_then(|seconds| self.service.in_seconds(seconds)),
            source_edition: source
                .map(|number| format!("{}/editions/{}.{number}", name(key.0), SOURCES[key.0]))
                .unwrap_or_default(),
            ..changed(&title, kind)
        };
        let words = Words {
            title,
            topics: text.topics.clone(),
            regions: text.regions.clone(),
            excluded: text.excluded.clone(),
            kind,
            expires: text.expires_in.map(|seconds| self.model.now + seconds),
            source,
        };
        (words, content)
    }

    /// Saves, and has it approved if asked to.
    async fn write(&mut self, key: Key, text: &Text, approve: bool) {
        let (words, content) = self.words(key, text);
        let (mut author, mut reviewer) = (self.service.person("author"), self.service.person("reviewer"));
        let etag = self.model.look(key).draft.map(|draft| draft.proto.etag).unwrap_or_default();
        let draft = v1::Draft {
            name: format!("{}/drafts/{}", name(key.0), key.1),
            content: Some(content),
            etag,
            ..Default::default()
        };
        let result = author.try_save(draft).await;
        agree(&result, self.model.open(key.0));
        let Ok(saved) = result else { return };
        self.model.save(key, words, saved.clone());
        if !approve {
            return;
        }
        let draft = self.model.look(key).draft.unwrap();
        let result = author.submit(&saved).await;
        agree(
            &result,
            match Model::complete(&draft) {
                _ if draft.base != self.model.number(key) => Err("BASE_SUPERSEDED"),
                true => Ok(()),
                false => Err("DRAFT_INCOMPLETE"),
            },
        );
        let Ok(submitted) = result else { return };
        agree(&author.approve(&submitted).await, Err("OWN_TEXT"));
        let approved = reviewer.approve(&submitted).await.unwrap();
        let draft = self.model.slot(key).draft.as_mut().unwrap();
        (draft.approved, draft.proto) = (true, approved);
    }

    async fn publish(&mut self, s: usize, languages: &[Language], when: When, force: bool) {
        let one = |language: &Language| v1::DraftToPublish {
            language_code: (*language).to_owned(),
            etag: self.model.look((s, language)).draft.map_or_else(|| "none".to_owned(), |draft| draft.proto.etag),
        };
        let mut request = v1::PublishDraftsRequest {
            parent: name(s),
            drafts: languages.iter().map(one).collect(),
            force,
            reason: if force { "At once.".into() } else { String::new() },
            ..Default::default()
        };
        match when {
            When::Now => {}
            When::Later(seconds) => request.release_time = self.service.in_seconds(seconds),
            When::Embargo(seconds) => request.embargo_end_time = self.service.in_seconds(seconds),
        }
        let result = self.service.person("publisher").publish(request).await;
        let predicted = self.model.may_publish(s, languages, when, force);
        agree(&result, predicted);
        if predicted.is_ok() {
            self.model.publish(s, languages, when);
        }
    }

    async fn cancel(&mut self, s: usize, language: Language) {
        let mut publisher = self.service.person("publisher");
        let found = publisher.release(STATEMENTS[s], language).await;
        let waits = self.model.look((s, language)).waiting.is_some();
        let known = self.model.statements.contains_key(&s);
        let predicted = if waits {
            Ok(())
        } else if known {
            Err("RELEASE_NOT_FOUND")
        } else {
            Err("STATEMENT_NOT_FOUND")
        };
        agree(&found, predicted);
        let Ok(found) = found else { return };
        let request = v1::CancelReleaseRequest { name: found.name, etag: found.etag, ..Default::default() };
        let back = publisher.editorial.cancel_release(request).await.unwrap().into_inner().draft;
        let Waiting { words, base, embargoed, .. } = self.model.take_off((s, language)).unwrap();
        let slot = self.model.slot((s, language));
        assert_eq!(back.is_some(), !embargoed && slot.draft.is_none());
        if let Some(proto) = back {
            let approved = proto.state() == v1::draft::State::Approved;
            slot.draft = Some(Draft { words, base, approved, proto });
        }
    }

    async fn propose(&mut self, s: usize, languages: &[Language], step: Step) {
        let predicted = self.model.languages_of(s, languages, step);
        let result = self.ask(s, languages, step, "", "publisher").await;
        agree(&result, predicted.as_ref().map(|_| ()).map_err(|reason| *reason));
        let (Ok(languages), Ok(made)) = (predicted, result) else { return };
        let until = self.model.now + 7 * 24 * HOUR;
        let proposal = Proposal { id: made.unwrap().proposal_id, proposer: "publisher", step, languages, until };
        self.model.statements.get_mut(&s).unwrap().proposal = Some(proposal);
    }

    async fn second(&mut self, s: usize, other: bool) {
        let Some(whole) = self.model.statements.get(&s) else { return };
        let Some(proposal) = whole.proposal.clone() else { return };
        let who = if other { "deputy" } else { "publisher" };
        let result = self.ask(s, &[], proposal.step, &proposal.id, who).await;
        agree(&result, self.model.second(s, &proposal, who));
    }

    async fn ask(
        &self,
        s: usize,
        languages: &[Language],
        step: Step,
        proposal: &str,
        who: &str,
    ) -> Result<Option<v1::Proposal>, Status> {
        let mut person = self.service.person(who);
        let (first, proposal_id) = (proposal.is_empty(), proposal.to_owned());
        let given = |text: &str| if first { text.to_owned() } else { String::new() };
        let (name, language_codes) = (name(s), own(languages));
        match step {
            Step::Reinstate => {
                let reason = given("It is true after all.");
                let request =
                    v1::ReinstateStatementRequest { name, language_codes, reason, proposal_id, ..Default::default() };
                Ok(person.editorial.reinstate_statement(request).await?.into_inner().proposal)
            }
            Step::Expunge => {
                let reason_code = given("court-order");
                let request = v1::ExpungeStatementRequest { name, reason_code, proposal_id, ..Default::default() };
                Ok(person.editorial.expunge_statement(request).await?.into_inner().proposal)
            }
            Step::Gone | Step::Hidden | Step::Redirect(_) => {
                let mode = match step {
                    Step::Gone => v1::RemovalMode::Gone,
                    Step::Hidden => v1::RemovalMode::Hidden,
                    _ => v1::RemovalMode::Redirect,
                };
                let notice = v1::Notice { text: "Gone.".into(), ..Default::default() };
                let mut request =
                    v1::RemoveStatementRequest { name, language_codes, proposal_id, ..Default::default() };
                if first {
                    request.set_mode(mode);
                    request.notice = (step == Step::Gone).then_some(notice);
                    request.reason = given("Asked for.");
                    if let Step::Redirect(to) = step {
                        request.redirect_statement = format!("statements/{}", STATEMENTS[to]);
                    }
                }
                Ok(person.editorial.remove_statement(request).await?.into_inner().proposal)
            }
        }
    }

    /// An edition that every filter admits, in every language.
    pub(super) async fn mark(&mut self) {
        let kind = if self.marks == 0 { ChangeKind::Initial } else { ChangeKind::Minor };
        self.marks += 1;
        let mut author = self.service.person("author");
        let mut drafts = Vec::new();
        for language in LANGUAGES {
            let content = v1::Content { topics: own(&TOPICS), ..changed("Mark", kind) };
            drafts.push(author.save(MARK, language, content).await);
        }
        let drafts: Vec<_> = drafts.iter().collect();
        let request =
            v1::PublishDraftsRequest { force: true, reason: "A mark.".into(), ..Person::publication(&drafts) };
        author.publish(request).await.unwrap();
    }
}

#[track_caller]
pub(super) fn agree<T: std::fmt::Debug>(result: &Result<T, Status>, predicted: Verdict) {
    let reason = result.as_ref().map(|_| ()).map_err(|status| match status.get_details_error_info() {
        Some(info) => info.reason,
        None => format!("{status:?}"),
    });
    assert_eq!(reason, predicted.map_err(ToOwned::to_owned), "{result:?}");
}
