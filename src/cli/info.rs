//! `onrecord info` and `onrecord whoami`: the service and the caller, as the service knows them.

use anyhow::Result;
use owo_colors::OwoColorize as _;

use super::{
    names::short,
    output::{plain, say},
    session::Session,
    times,
};
use crate::api::v1::{GetServiceInfoRequest, Grant, WhoAmIRequest, WhoAmIResponse};

const INFO_EXAMPLES: &str = "\
Examples:
  onrecord info
  onrecord info --output json | jq .info.textLimits";

const WHOAMI_EXAMPLES: &str = "\
Examples:
  onrecord whoami
  onrecord whoami --token-file anna.token --output json | jq '.grants[].roles'";

/// Show the service's version, formats and limits
#[derive(Debug, clap::Args)]
#[command(after_help = INFO_EXAMPLES)]
pub(super) struct InfoArgs {}

impl InfoArgs {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let answer = session.info(GetServiceInfoRequest {}, async |mut api, q| api.get_service_info(q).await).await?;
        session.format.answer(&answer, |answer| {
            let info = answer.info.clone().unwrap_or_default();
            let commit = if info.commit.is_empty() { "of an unknown commit" } else { &info.commit };
            say(format_args!("{} {} ({})", "onrecord".bold(), plain(&info.version), plain(commit)))?;
            say(format_args!("  feed {}, storage format {}", plain(&info.feed_id), info.storage_format))?;
            let texts = info.text_limits.unwrap_or_default();
            let (title, summary) = (texts.title_graphemes, texts.summary_graphemes);
            say(format_args!("  a title has {title} grapheme clusters, a summary {summary}"))?;
            let (body, content) = (texts.body_bytes, texts.content_bytes);
            say(format_args!("  a body has {body} bytes, a whole text {content}"))?;
            let requests = info.request_limits.unwrap_or_default();
            let (editorial, bytes) = (requests.editorial_bytes, requests.bytes);
            Ok(say(format_args!("  a request of an editor has {editorial} bytes, any other {bytes}"))?)
        })
    }
}

/// Show who the service says you are, and what you may do
#[derive(Debug, clap::Args)]
#[command(after_help = WHOAMI_EXAMPLES)]
pub(super) struct WhoAmIArgs {}

impl WhoAmIArgs {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let answer = session.info(WhoAmIRequest {}, async |mut api, q| api.who_am_i(q).await).await?;
        session.format.answer(&answer, people)
    }
}

fn people(answer: &WhoAmIResponse) -> Result<()> {
    say(format_args!("{} by {}", plain(&answer.caller).bold(), plain(&answer.credential)))?;
    if answer.expire_time.is_some() {
        say(format_args!("  until {}", times::text(answer.expire_time.as_ref())))?;
    }
    answer.grants.iter().try_for_each(grant)
}

fn grant(grant: &Grant) -> Result<()> {
    let scope = grant.scope.clone().unwrap_or_default();
    let statements: Vec<_> = scope.statements.iter().map(|name| short(name)).collect();
    let limits = [
        ("kinds", &scope.kinds),
        ("topics", &scope.topics),
        ("languages", &scope.language_codes),
        ("regions", &scope.region_codes),
        ("audiences", &scope.audiences),
        ("channels", &scope.channels),
        ("statements", &statements),
        ("subscriptions", &grant.subscriptions),
    ];
    let limits: Vec<_> = limits
        .iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(name, values)| format!("{name} {}", plain(&values.join(" "))))
        .collect();
    let of = if limits.is_empty() { "everything".to_owned() } else { limits.join(", ") };
    let embargoed = if grant.embargoed { ", also under embargo" } else { "" };
    Ok(say(format_args!("  {} of {of}{embargoed}", plain(&grant.roles.join(", "))))?)
}
