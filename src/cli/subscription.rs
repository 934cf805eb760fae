//! `onrecord subscription`, `onrecord deliveries`: which sites follow, how far they are, and who has applied what.

use anyhow::Result;
use clap::Subcommand;
use owo_colors::OwoColorize as _;

use super::{
    args::{self, FilterArgs, Limit},
    names::{self, EditionName, StatementId, short},
    output::{plain, say, say_table, table},
    pages,
    session::{Session, request_id},
    times,
};
use crate::api::v1::{
    CreateSubscriptionRequest, DeleteSubscriptionRequest, DeliveryReport, GetSubscriptionRequest,
    ListDeliveriesRequest, ListDeliveriesResponse, ListSubscriptionsRequest, ListSubscriptionsResponse, Subscription,
};

const CREATE_EXAMPLES: &str = "\
Examples:
  onrecord subscription create press-site
  onrecord subscription create recall-bot --kind notice --language de,fr --annotation owner=apps
  onrecord watch --as press-site";

const LIST_EXAMPLES: &str = "\
Examples:
  onrecord subscription list                      who lags, who is away, who rejects
  onrecord subscription list --output json | jq -r '.subscriptions[] | select(.state != \"STATE_ACTIVE\").name'";

const SHOW_EXAMPLES: &str = "\
Examples:
  onrecord subscription show press-site";

const DELETE_EXAMPLES: &str = "\
Examples:
  onrecord subscription delete press-site";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Give a site a name, under which it follows and says what it has applied.
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// Its id: 1 to 63 of a-z, 0-9 and inner hyphens
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        filter: FilterArgs,
        /// Texts under embargo too; needs embargo clearance
        #[arg(long)]
        embargoed: bool,
        /// A note for tools; repeat for more
        #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = args::annotation)]
        annotations: Vec<(String, String)>,
    },
    /// All sites, how far behind they are, and when they were heard of last.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        #[command(flatten)]
        limit: Limit,
    },
    /// One site.
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
    },
    /// End a site's name; its stream is closed.
    #[command(after_help = DELETE_EXAMPLES)]
    Delete {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
    },
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Create { id, filter, embargoed, annotations } => {
                let subscription = Subscription {
                    filter: filter.filter(),
                    include_embargoed: embargoed,
                    annotations: annotations.into_iter().collect(),
                    ..Subscription::default()
                };
                let request = CreateSubscriptionRequest {
                    subscription_id: id,
                    subscription: Some(subscription),
                    request_id: request_id(),
                    validate_only: false,
                };
                let answer =
                    session.subscriptions(request, async |mut api, q| api.create_subscription(q).await).await?;
                session.format.answer(&answer, |answer| {
                    let made = answer.subscription.clone().unwrap_or_default();
                    Ok(say(format_args!("{}: created", short(&made.name).bold()))?)
                })
            }
            Self::List { limit } => {
                let list: ListSubscriptionsResponse = pages::all(limit, async |page_size, page_token| {
                    let request = ListSubscriptionsRequest { page_size, page_token };
                    session.subscriptions(request, async |mut api, q| api.list_subscriptions(q).await).await
                })
                .await?;
                session.format.answer(&list, |list| people(&list.subscriptions))
            }
            Self::Show { id } => {
                let request = GetSubscriptionRequest { name: names::subscription(&id) };
                let answer = session.subscriptions(request, async |mut api, q| api.get_subscription(q).await).await?;
                session.format.answer(&answer, |answer| show(&answer.subscription.clone().unwrap_or_default()))
            }
            Self::Delete { id } => {
                let request = DeleteSubscriptionRequest {
                    name: names::subscription(&id),
                    request_id: request_id(),
                    ..DeleteSubscriptionRequest::default()
                };
                let answer =
                    session.subscriptions(request, async |mut api, q| api.delete_subscription(q).await).await?;
                session.format.answer(&answer, |_| Ok(say(format_args!("{}: deleted", id.bold()))?))
            }
        }
    }
}

fn state(subscription: &Subscription) -> String {
    subscription.state().as_str_name().trim_start_matches("STATE_").to_lowercase()
}

fn lag(subscription: &Subscription) -> String {
    match subscription.lag_events {
        0 => "0".to_owned(),
        events => format!("{events} ({} s)", subscription.lag.map_or(0, |lag| lag.seconds)),
    }
}

fn people(subscriptions: &[Subscription]) -> Result<()> {
    let mut table = table(["SUBSCRIPTION", "STATE", "ACKNOWLEDGED", "LAG", "LAST CONTACT", "REJECTS"]);
    for one in subscriptions {
        let rejects = one.rejection.as_ref().map(|it| format!("{}: {}", it.sequence, plain(&it.reason_code)));
        table.add_row([
            short(&one.name),
            state(one),
            one.acknowledged_sequence.to_string(),
            lag(one),
            times::brief(one.last_contact_time.as_ref()),
            rejects.unwrap_or_default(),
        ]);
    }
    say_table(&table, "There are no named subscriptions.")
}

fn show(one: &Subscription) -> Result<()> {
    say(format_args!("{}  {}", short(&one.name).bold(), state(one)))?;
    let filter = one.filter.clone().unwrap_or_default();
    for (what, values) in [
        ("kinds", filter.kinds),
        ("topics", filter.topics),
        ("languages", filter.language_codes),
        ("regions", filter.region_codes),
        ("audiences", filter.audiences),
        ("channels", filter.channels),
        ("statements", filter.statements),
    ] {
        if !values.is_empty() {
            say(format_args!("  {what} {}", plain(&values.join(", "))))?;
        }
    }
    if one.include_embargoed {
        say("  texts under embargo too")?;
    }
    say(format_args!("  acknowledged {}, lag {}", one.acknowledged_sequence, lag(one)))?;
    say(format_args!(
        "  generation {}, last contact {}",
        one.generation,
        times::brief(one.last_contact_time.as_ref())
    ))?;
    if let Some(rejection) = &one.rejection {
        let (sequence, code, detail) = (rejection.sequence, plain(&rejection.reason_code), plain(&rejection.detail));
        say(format_args!("  rejects event {sequence}: {code} {detail}"))?;
    }
    Ok(())
}

const DELIVERIES_EXAMPLES: &str = "\
Examples:
  onrecord deliveries recall-7            who has applied what happened to it last
  onrecord deliveries recall-7/de.2       who has applied this edition";

/// Which sites have applied a statement or an edition, and which have not
#[derive(Debug, clap::Args)]
#[command(after_help = DELIVERIES_EXAMPLES)]
pub(super) struct DeliveriesArgs {
    /// A statement, or an edition
    #[arg(value_name = "ID or ID/LANG.NUMBER")]
    what: Target,
    #[command(flatten)]
    limit: Limit,
}

/// `recall-7` or `recall-7/de.2`, as the service names them.
#[derive(Clone, Debug)]
struct Target(String);

impl std::str::FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if short(text).contains('/') {
            return Ok(Self(text.parse::<EditionName>()?.name().to_owned()));
        }
        Ok(Self(text.parse::<StatementId>()?.name()))
    }
}

impl DeliveriesArgs {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let list: ListDeliveriesResponse = pages::all(self.limit, async |page_size, page_token| {
            let request = ListDeliveriesRequest { parent: self.what.0.clone(), page_size, page_token };
            session.subscriptions(request, async |mut api, q| api.list_deliveries(q).await).await
        })
        .await?;
        session.format.answer(&list, |list| reports(&list.deliveries))
    }
}

fn reports(reports: &[DeliveryReport]) -> Result<()> {
    let mut table = table(["SUBSCRIPTION", "EVENT", "LANGUAGE", "OUTCOME", "SINCE", "WHY"]);
    for one in reports {
        let why = one.rejection.as_ref().map(|it| format!("{} {}", plain(&it.reason_code), plain(&it.detail)));
        let rejected = one.rejection.as_ref().and_then(|it| it.reject_time.as_ref());
        let since = one.apply_time.as_ref().or(rejected).or(one.event_time.as_ref());
        table.add_row([
            short(&one.subscription),
            one.sequence.to_string(),
            plain(&one.language_code),
            one.outcome().as_str_name().trim_start_matches("OUTCOME_").to_lowercase(),
            times::brief(since),
            why.unwrap_or_default(),
        ]);
    }
    say_table(&table, "It concerns no named subscription.")
}
