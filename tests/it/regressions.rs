//! Faults that other systems had, some for years, each as a test over a real connection: nobody is to meet them here.
//!
//! | where | what went wrong | test |
//! |---|---|---|
//! | etcd #15220 | a progress notification overtook events | `streams::a_heartbeat_never_overtakes_an_event` |
//! | etcd #15271 | a watch went back after a partition | `connections::whoever_is_cut_off_again_and_again_never_goes_back` |
//! | etcd #17529 | the starved lost events to a compaction, without a word | `streams::the_starved_are_told_and_lose_nothing_without_a_word` |
//! | etcd #18089, #19179 | a removal was missing where the compaction ended at it | `places::a_removal_at_the_floor_is_still_sent` |
//! | etcd #20221 | a position in the future brought old events | `places::a_place_in_the_future_brings_nothing_old` |
//! | etcd #17566 | a filtered watch far behind never heard of progress | `streams::a_filtered_subscriber_far_behind_hears_where_it_is` |
//! | etcd | what was sent with the answer to a new watch was not split up | `streams::nothing_comes_with_the_first_message_and_no_message_is_large` |
//! | etcd (Jepsen 2020) | revision 0 meant something else | `places::there_is_nothing_before_the_first` |
//! | Kubernetes KEP-6178 | a snapshot so slow that what follows it was gone | `places::a_slow_snapshot_is_not_followed_by_a_gap` |
//! | Kubernetes #94315, #107133 | a replica behind a token was answered with everything anew | `places::a_replica_behind_never_makes_a_site_begin_anew` |
//! | neon `storage_broker` | whoever lagged lost messages, which were counted | `streams::a_pause_during_a_burst_loses_nothing` |
//! | h2 0.4.16 | small messages that nobody read ended the connection | `connections::small_events_that_nobody_reads_end_no_connection` |
//! | HTTP/2 | three streams that nobody read held up all calls of their channel: a follower has one of its own | `connections::streams_that_nobody_reads_hold_up_no_follower` |
//! | tonic `EncodedBytes` | a stream without room was asked for more, and kept what others waited for | `connections::newcomers_that_take_nothing_hold_up_no_other` |
//! | tonic `max_connection_age_grace` | streams of a certain age were cut off | `connections::a_stream_of_age_ends_with_a_cursor_and_its_connection_stays` |
//! | tonic `serve_with_shutdown` | a stream without an end held up the end | `connections::a_stream_that_nobody_reads_does_not_hold_up_the_end` |
//! | async-nats ordered consumer | made anew before its first message, it began at the beginning | `connections::whoever_is_cut_off_before_the_first_event_goes_on_from_there` |
//! | hyper, h2 | an answer that nobody read had no place, no deadline and no limit | `unread::an_unread_answer_keeps_its_place_until_its_deadline`, `unread::unread_answers_are_bounded` |
//! | hyper, h2 | whoever read a byte now and then kept all that waited for it | `unread::a_byte_now_and_then_is_no_progress` |
//! | NATS streams | deleted and made again under the same name, positions began anew | `places::a_store_begun_anew_under_the_same_names_has_diverged` |
//!
//! Elsewhere: a mirror with a gap (`copying::a_copy_that_lost_words_on_the_way_is_not_whole_before_the_erasure`, and the chain that
//! `client::check` follows); a subscription deleted and made again (`subscriptions::whoever_followed_a_deleted_name_may_say_nothing_under_the_new_one`).
//! `JetStream`'s error codes 10164, 10158, 503 and `duplicate` have no counterpart on one node. The faults are described in the issues of
//! the repositories named, and in Jepsen's analysis of etcd 3.4.3.

mod connections;
mod places;
mod streams;
mod unread;

use std::convert::Infallible;

use onrecord::{
    api::v1::{self, Delivery, Snapshot},
    client::{Note, Position, Site},
};
use tokio::sync::watch;

use crate::harness::{Person, Service, Stream, sequences, words};

/// Waits a second for news, then says so.
fn impatient(request: v1::SubscribeRequest) -> v1::SubscribeRequest {
    v1::SubscribeRequest { heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }), ..request }
}

/// Somebody with a connection of their own.
fn apart(service: &Service, name: &str) -> Person {
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", service.address));
    Person::new(&channel.unwrap().connect_lazy(), name)
}

/// One event: a statement with a body of so many bytes.
async fn say(service: &Service, id: &str, bytes: usize) {
    let mut editor = service.person("editor");
    editor.create(id, "en").await;
    let draft = editor.save(id, "en", v1::Content { body: "x".repeat(bytes.max(1)), ..words(id) }).await;
    let request =
        v1::PublishDraftsRequest { force: true, reason: "A rehearsal.".to_owned(), ..Person::publication(&[&draft]) };
    editor.publish(request).await.unwrap();
}

/// Events of so many bytes, `first` to `last`.
async fn say_all(service: &Service, numbers: impl IntoIterator<Item = u64>, bytes: usize) {
    for number in numbers {
        say(service, &format!("s{number}"), bytes).await;
    }
}

/// A statement, withdrawn with one notice after the other: an event each, as small as one can be.
async fn notices(service: &Service, id: &str, count: u64) {
    say(service, id, 1).await;
    let mut publisher = service.person("publisher");
    for number in 1..count {
        let notice = v1::Notice { text: number.to_string(), ..Default::default() };
        let name = format!("statements/{id}");
        let request = v1::WithdrawStatementRequest { name, notice: Some(notice), ..Default::default() };
        publisher.editorial.withdraw_statement(request).await.unwrap();
    }
}

/// The first message.
async fn opened(stream: &mut Stream) -> v1::Opened {
    match stream.next().await {
        v1::subscribe_response::Message::Opened(opened) => opened,
        other => panic!("opened first, not {other:?}"),
    }
}

/// A site that shows what it applied to whoever watches.
#[derive(Debug)]
pub(crate) struct Shelf(pub watch::Sender<Shown>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    position: Option<Position>,
    applied: Vec<u64>,
    snapshots: usize,
    pub opened: usize,
    lost: usize,
}

impl Shelf {
    /// One that goes on from there.
    fn at(cursor: &str) -> Self {
        let position = Position { cursor: cursor.to_owned(), last: None };
        Self(watch::Sender::new(Shown { position: Some(position), ..Shown::default() }))
    }

    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Shown::default()))
    }

    fn change(&self, change: impl FnOnce(&mut Shown)) -> Result<(), Infallible> {
        self.0.send_modify(change);
        Ok(())
    }
}

impl Site for Shelf {
    type Error = Infallible;

    fn position(&self) -> Option<Position> {
        self.0.borrow().position.clone()
    }

    async fn replace(&mut self, _: Snapshot, position: Position) -> Result<(), Infallible> {
        self.change(|shown| (shown.snapshots, shown.position) = (shown.snapshots + 1, Some(position)))
    }

    async fn apply(&mut self, deliveries: Vec<Delivery>, position: Position) -> Result<(), Infallible> {
        self.change(|shown| {
            shown.applied.extend(sequences(&deliveries));
            shown.position = Some(position);
        })
    }

    async fn advance(&mut self, position: Position) -> Result<(), Infallible> {
        self.change(|shown| shown.position = Some(position))
    }

    fn note(&mut self, note: &Note) {
        let _ = self.change(|shown| match note {
            Note::Opened { .. } => shown.opened += 1,
            Note::Lost { .. } => shown.lost += 1,
            Note::Closed { .. } | Note::Trimmed | Note::Diverged => {}
        });
    }
}
