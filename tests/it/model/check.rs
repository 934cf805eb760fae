//! What has to hold at the end of a run: lists, reads, folded streams, the chain, and whoever polls.

use std::collections::BTreeMap;

use onrecord::api::v1;

use super::{
    Key, LANGUAGES, SOURCES, STATEMENTS, key,
    run::{Run, agree},
    site::Site,
    state::Seen,
    steps::{Plan, Wanted},
};
use crate::harness::Service;

impl Run {
    /// Compares everything.
    pub(super) async fn check(&mut self) {
        self.mark().await;
        let (service, model) = (&self.service, &self.model);
        self.check_readers().await;
        for site in &mut self.sites {
            site.read(service, model, self.marks, usize::MAX).await;
            site.check(model);
        }
        self.sites[0].check_chain();
        let marks = u64::from(self.marks) * LANGUAGES.len() as u64;
        assert_eq!(self.sites[0].last, model.events + marks, "every event is accounted for");
        for site in &self.sites[1..] {
            let request = v1::ListStatementsRequest { filter: Some(site.plan.wanted.filter()), ..Default::default() };
            assert_eq!(list(service, request).await, model.live(&site.plan.wanted));
            // One that comes only now, and polls.
            let plan = Plan { start: v1::Start::Beginning, ..site.plan.clone() };
            poll(service, Site::new(plan)).await.check(model);
        }
    }

    async fn check_readers(&self) {
        let model = &self.model;
        let listed = list(&self.service, v1::ListStatementsRequest { page_size: 2, ..Default::default() }).await;
        assert_eq!(listed, model.live(&Wanted::default()));
        let mut reader = self.service.person("reader");
        for s in 0..STATEMENTS.len() {
            for language in LANGUAGES {
                let mut candidates = vec![language];
                candidates.extend((language == "fr-CA").then_some("fr"));
                candidates.push(SOURCES[s]);
                let served = candidates.into_iter().find_map(|language| Some((language, model.seen((s, language))?)));
                let result = reader.read(STATEMENTS[s], language).await;
                agree(&result, served.as_ref().map(|_| ()).ok_or("STATEMENT_NOT_FOUND"));
                let read = result.ok().map(|reading| reading.live.unwrap());
                let read = read.map(|live| (live.language_code.clone(), Seen::of(&live)));
                assert_eq!(read, served.map(|(language, seen)| (language.to_owned(), seen)));
            }
        }
    }
}

async fn list(service: &Service, mut request: v1::ListStatementsRequest) -> BTreeMap<Key, Seen> {
    let (mut reader, mut all) = (service.person("reader"), BTreeMap::new());
    loop {
        let page = reader.statements.list_statements(request.clone()).await.unwrap().into_inner();
        for live in &page.live {
            if let Some(key) = key(&live.statement, &live.language_code) {
                assert_eq!(all.insert(key, Seen::of(live)), None, "listed twice");
            }
        }
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

/// Reads the whole feed with `ReadFeed`, three events at a time.
async fn poll(service: &Service, mut site: Site) -> Site {
    let mut person = service.person("poller");
    let mut request = v1::ReadFeedRequest {
        start: site.plan.start.into(),
        filter: Some(site.plan.wanted.filter()),
        include_embargoed: site.plan.include_embargoed,
        max_events: 3,
        ..Default::default()
    };
    loop {
        let page = person.feed.read_feed(request.clone()).await.unwrap().into_inner();
        if page.deliveries.is_empty() && page.cursor == request.cursor {
            return site;
        }
        for delivery in page.deliveries {
            site.apply(delivery, 0);
        }
        (request.start, request.cursor) = (v1::Start::Cursor.into(), page.cursor);
    }
}
