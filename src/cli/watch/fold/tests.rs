use super::{Mirror, Snapshot};
use crate::api::v1::{
    Content, Delivery, Edition, Embargo, Event, Live,
    delivery::FilterChange::{self, Entered, Left, Stayed},
    event::Type,
    live,
};

fn live(sequence: u64, number: u32) -> Live {
    let content = Content { title: format!("title {number}"), ..Content::default() };
    let name = format!("statements/a/editions/de.{number}");
    let edition = Edition { name, content: Some(content), ..Edition::default() };
    Live {
        statement: "statements/a".to_owned(),
        language_code: "de".to_owned(),
        state: live::State::Published.into(),
        edition: Some(edition),
        sequence,
        ..Live::default()
    }
}

fn delivery(filter_change: FilterChange, kind: Type, sequence: u64, live: Option<Live>) -> Delivery {
    let event = Event {
        sequence,
        r#type: kind.into(),
        statement: "statements/a".to_owned(),
        language_code: "de".to_owned(),
        live,
        ..Event::default()
    };
    Delivery::new(filter_change, event)
}

fn embargoed(filter_change: FilterChange, sequence: u64) -> Delivery {
    let mut delivery = delivery(filter_change, Type::Embargoed, sequence, None);
    let embargo = Embargo { sequence, ..Embargo::default() };
    delivery.event.as_mut().unwrap().embargo = (filter_change != Left).then_some(embargo);
    delivery
}

fn folded(deliveries: &[Delivery]) -> Mirror {
    let mut mirror = Mirror::default();
    for delivery in deliveries {
        mirror.apply(delivery).unwrap();
    }
    mirror
}

#[test]
fn the_newest_state_is_shown_and_what_left_is_not() {
    let mut mirror = folded(&[
        delivery(Entered, Type::Published, 3, Some(live(3, 1))),
        delivery(Stayed, Type::Corrected, 7, Some(live(7, 2))),
    ]);
    assert_eq!(mirror.state["a/de"].edition, "statements/a/editions/de.2");
    assert_eq!((mirror.first_sequence, mirror.last_sequence, mirror.applied), (Some(3), 7, 2));
    mirror.apply(&delivery(Left, Type::Updated, 9, None)).unwrap();
    assert!(mirror.state.is_empty());
}

#[test]
fn a_sequence_is_applied_once() {
    let mut mirror = folded(&[delivery(Entered, Type::Published, 3, Some(live(3, 1)))]);
    let before = mirror.clone();
    for sequence in [1, 3] {
        assert!(mirror.apply(&delivery(Stayed, Type::Updated, sequence, Some(live(sequence, 9)))).is_err());
    }
    assert_eq!(mirror, before);
}

#[test]
fn an_embargo_is_kept_apart_until_it_is_lifted() {
    let mut mirror = folded(&[delivery(Entered, Type::Published, 1, Some(live(1, 1))), embargoed(Entered, 2)]);
    assert_eq!(mirror.state["a/de"].sequence, 1);
    assert!(mirror.embargoes.contains_key("a/de"));
    let mut lifted = delivery(Stayed, Type::Updated, 3, Some(live(3, 2)));
    lifted.event.as_mut().unwrap().embargo_lifted = true;
    mirror.apply(&lifted).unwrap();
    assert_eq!(mirror.state["a/de"].sequence, 3);
    assert!(mirror.embargoes.is_empty());
}

#[test]
fn a_cancelled_embargo_leaves_what_is_shown() {
    let cancelled = [
        delivery(Entered, Type::Published, 1, Some(live(1, 1))),
        embargoed(Entered, 2),
        delivery(Left, Type::EmbargoCancelled, 3, None),
    ];
    let mirror = folded(&cancelled);
    assert_eq!(mirror.state.len(), 1);
    assert!(mirror.embargoes.is_empty());
    assert!(folded(&[embargoed(Entered, 2), embargoed(Left, 3)]).embargoes.is_empty());
}

#[test]
fn an_erased_text_is_not_shown() {
    let erased = [
        delivery(Entered, Type::Published, 1, Some(live(1, 1))),
        embargoed(Entered, 2),
        delivery(Stayed, Type::Expunged, 3, None),
    ];
    let mirror = folded(&erased);
    assert!(mirror.state.is_empty() && mirror.embargoes.is_empty());
}

#[test]
fn a_snapshot_replaces_everything_and_counting_starts_again() {
    let mut mirror = folded(&[delivery(Entered, Type::Published, 3, Some(live(3, 1))), embargoed(Entered, 4)]);
    mirror.replace(&Snapshot::new(vec![live(12, 5)], Vec::new()));
    assert_eq!(mirror.state["a/de"].title, "title 5");
    assert!(mirror.embargoes.is_empty());
    assert_eq!((mirror.first_sequence, mirror.last_sequence, mirror.applied, mirror.snapshots), (None, 12, 0, 1));
    assert!(mirror.apply(&delivery(Stayed, Type::Updated, 12, Some(live(12, 5)))).is_err());
}

#[test]
fn a_type_of_a_later_version_is_folded_by_its_filter_change() {
    let unknown = |filter_change, sequence, live| {
        let mut delivery = delivery(filter_change, Type::Unspecified, sequence, live);
        delivery.event.as_mut().unwrap().r#type = 99;
        delivery
    };
    let mut mirror = folded(&[delivery(Entered, Type::Published, 3, Some(live(3, 1)))]);
    mirror.apply(&unknown(Stayed, 4, None)).unwrap();
    assert_eq!(mirror.state["a/de"].edition, "statements/a/editions/de.1");
    mirror.apply(&unknown(Stayed, 5, Some(live(5, 2)))).unwrap();
    assert_eq!(mirror.state["a/de"].edition, "statements/a/editions/de.2");
    mirror.apply(&unknown(Left, 6, None)).unwrap();
    assert!(mirror.state.is_empty());
}
