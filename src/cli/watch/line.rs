//! One line for one thing that happened.

use owo_colors::{OwoColorize as _, Style};

use super::fold::slot;
use crate::{
    api::v1::{Delivery, Embargo, Event, Live, delivery::FilterChange, event},
    cli::{
        names::short,
        output::{line, quoted, word},
        times,
    },
};

const TITLE_WIDTH: usize = 70;
const WORDS_WIDTH: usize = 120;

/// A delivery: `    12  2026-11-12T14:05:00.125Z ~ CORRECTED  recall-7/de.3  REPLY, notify  "Title"`.
pub(super) fn delivery(delivery: &Delivery) -> String {
    let event = delivery.event.clone().unwrap_or_default();
    let sign = match delivery.filter_change() {
        FilterChange::Entered => "+",
        FilterChange::Stayed => "~",
        FilterChange::Left => "-",
        FilterChange::Unspecified => "?",
    };
    let time = times::text(event.event_time.as_ref());
    let kind = format!("{:<17}", event_type(event.r#type())).style(style(event.r#type())).to_string();
    let head = format!("{:>6}  {} {sign} {kind}  {}", event.sequence, time.dimmed(), subject(&event).bold());
    let title = title(&event).map(|title| format!("  {}", quoted(&title))).unwrap_or_default();
    let words = words(&event).map(|words| format!("\n{:36}{}", "", line(&words, WORDS_WIDTH).italic()));
    format!("{head}  {}{title}{}", action(&event).dimmed(), words.unwrap_or_default())
}

/// The same in fewer words, and apart from it what readers are told.
pub(in crate::cli) fn told(delivery: &Delivery) -> (String, String) {
    let event = delivery.event.clone().unwrap_or_default();
    let kind = format!("{:<17}", event_type(event.r#type())).style(style(event.r#type())).to_string();
    let subject = format!("{:<19}", subject(&event)).bold().to_string();
    let action = format!("{:<13}", action(&event)).dimmed().to_string();
    let title = title(&event).map(|title| format!("  {}", quoted(&line(&title, TITLE_WIDTH / 2)))).unwrap_or_default();
    let words = words(&event).map(|words| line(&words, WORDS_WIDTH)).unwrap_or_default();
    (format!("{:>4}  {kind} {subject} {action}{title}", format!("#{}", event.sequence)), words)
}

/// An item of a snapshot.
pub(super) fn live(live: &Live) -> String {
    let edition = live.edition.clone().unwrap_or_default();
    let title = line(&edition.content.unwrap_or_default().title, TITLE_WIDTH);
    let stands = word(live.state().as_str_name(), "STATE_");
    let stale = if live.stale_since_edition.is_empty() { "" } else { " stale" };
    format!("{:>6}  = {stands:<17}  {}{stale}  {}", live.sequence, short(&edition.name).bold(), quoted(&title))
}

/// An embargoed item of a snapshot.
pub(super) fn embargo(embargo: &Embargo) -> String {
    let title = embargo.content.as_ref().map(|content| line(&content.title, TITLE_WIDTH)).unwrap_or_default();
    let (slot, until) =
        (slot(&embargo.statement, &embargo.language_code), times::brief(embargo.embargo_end_time.as_ref()));
    format!(
        "{:>6}  = {:<17}  {}  until {until}  {}",
        embargo.sequence,
        "EMBARGOED".purple(),
        slot.bold(),
        quoted(&title)
    )
}

/// `CORRECTED`.
fn event_type(kind: event::Type) -> &'static str {
    word(kind.as_str_name(), "TYPE_")
}

fn style(kind: event::Type) -> Style {
    match kind {
        event::Type::Published | event::Type::Reinstated => Style::new().green(),
        event::Type::Corrected | event::Type::NoticeChanged | event::Type::TranslationStale => Style::new().yellow(),
        event::Type::Withdrawn | event::Type::Removed | event::Type::Expunged | event::Type::Expired => {
            Style::new().red()
        }
        event::Type::Embargoed | event::Type::EmbargoCancelled => Style::new().purple(),
        event::Type::Updated | event::Type::Unspecified => Style::new().cyan(),
    }
}

/// The edition, or the slot where there is none.
fn subject(event: &Event) -> String {
    match event.r#type() {
        event::Type::Embargoed | event::Type::EmbargoCancelled => slot(&event.statement, &event.language_code),
        event::Type::Published
        | event::Type::Updated
        | event::Type::Corrected
        | event::Type::Withdrawn
        | event::Type::NoticeChanged
        | event::Type::Reinstated
        | event::Type::Expired
        | event::Type::Removed
        | event::Type::Expunged
        | event::Type::TranslationStale
        | event::Type::Unspecified => short(&event.edition),
    }
}

fn action(event: &Event) -> String {
    let action = word(event.channel_action().as_str_name(), "CHANNEL_ACTION_");
    if event.notify { format!("{action}, notify") } else { action.to_owned() }
}

fn title(event: &Event) -> Option<String> {
    let live = event.live.as_ref().and_then(|live| live.edition.as_ref()?.content.as_ref());
    let content = live.or_else(|| event.embargo.as_ref()?.content.as_ref());
    content.map(|content| line(&content.title, TITLE_WIDTH))
}

/// What readers are told about it.
fn words(event: &Event) -> Option<String> {
    let correction = event.correction.as_ref().map(|correction| correction.text.clone());
    let notice = || event.notice.as_ref().map(|notice| notice.text.clone());
    let redirect =
        || Some(&event.redirect_statement).filter(|to| !to.is_empty()).map(|to| format!("see {}", short(to)));
    let note = || Some(event.live.as_ref()?.edition.as_ref()?.change_note.clone());
    correction.or_else(notice).or_else(redirect).or_else(note).filter(|words| !words.is_empty())
}
