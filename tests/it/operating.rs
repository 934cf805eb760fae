//! What an operator counts on: a store that stays in its bounds, reads that go on, metrics that say how it is.

use std::sync::atomic::{AtomicBool, Ordering};

use onrecord::{api::v1, journal::JournalError};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tonic::{Code, Status};

use crate::{
    awkward_cases::expunge,
    harness::{Person, Service, approved, publish, refused, words},
};

/// Words that hardly shrink when they are compressed.
fn incompressible() -> v1::Content {
    let mut bytes = vec![0; 200_000];
    getrandom::fill(&mut bytes).unwrap();
    v1::Content { body: hex::encode(bytes), ..words("Long") }
}

/// Saves one text over the other until that is refused.
async fn fill(author: &mut Person) -> Status {
    let mut draft = author.save("fire", "fr", incompressible()).await;
    loop {
        match author.try_save(v1::Draft { content: Some(incompressible()), ..draft }).await {
            Ok(saved) => draft = saved,
            Err(full) => return full,
        }
    }
}

async fn create(author: &mut Person, id: &str) -> Result<(), Status> {
    let (kind, source_language_code) = ("notice".to_owned(), "en".to_owned());
    let statement = Some(v1::Statement { kind, source_language_code, ..Default::default() });
    let request = v1::CreateStatementRequest { statement_id: id.to_owned(), statement, ..Default::default() };
    author.editorial.create_statement(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_takes_no_new_words_but_lets_those_stand_fall_and_go_that_it_has() {
    let service = Service::start_with(|config| config.journal.store_bytes_max = 40 << 20).await;
    let (mut author, mut publisher) = (service.person("author"), service.person("publisher"));
    author.create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    let waits = approved(&service, "fire", "de", words("Erste")).await;
    let full = refused::<()>(Err(fill(&mut author).await), Code::ResourceExhausted, "STORE_FULL");
    assert!(full.message().contains("of 40 MiB"), "{full:?}");
    refused(create(&mut author, "flood").await, Code::ResourceExhausted, "STORE_FULL");

    publisher.publish(Person::publication(&[&waits])).await.unwrap();
    publisher.withdraw("fire", &["en"]).await.unwrap();
    assert_eq!(publisher.read("fire", "de").await.unwrap().live.unwrap().language_code, "de");
    expunge(&service, "fire").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_from_a_store_opened_anew_once_the_journal_is_closed() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    service.journal.close().await;
    let (fails, readable) = (AtomicBool::new(true), service.journal.readable());
    let read = service.journal.read(move |view| {
        if fails.swap(false, Ordering::Relaxed) {
            return Err(JournalError::Store("as sled says after a failed write".into()));
        }
        Ok(view.tail())
    });
    assert_eq!(read.await, Ok(2));
    assert_eq!(service.person("reader").read("fire", "en").await.unwrap().live.unwrap().language_code, "en");
    assert!(*readable.borrow());

    let failure = JournalError::Store("for good".into());
    let fails = failure.clone();
    // It was opened anew a moment ago.
    assert!(service.journal.read::<()>(move |_| Err(fails.clone())).await.is_err());
    assert!(!*readable.borrow(), "somebody is told");
    assert_eq!(service.person("reader").read("fire", "en").await.unwrap().live.unwrap().language_code, "en");
    assert!(*readable.borrow());
}

async fn metrics(address: std::net::SocketAddr) -> String {
    let mut stream = loop {
        match TcpStream::connect(address).await {
            Ok(stream) => break stream,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: onrecord\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_say_how_the_journal_is() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let service = Service::start_with(|config| config.metrics = Some(address)).await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    let text = metrics(address).await;
    assert!(text.contains("application/openmetrics-text"), "{text}");
    for line in ["onrecord_journal_writable 1", "onrecord_journal_readable 1", "onrecord_journal_tail 2"] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(!text.contains("onrecord_journal_closed"), "{text}");
    service.journal.close().await;
    let text = metrics(address).await;
    assert!(text.contains("onrecord_journal_writable 0"), "{text}");
    assert!(text.contains(r#"onrecord_journal_closed_info{reason="the service stops"} 1"#), "{text}");
}
