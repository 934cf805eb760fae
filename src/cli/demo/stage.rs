//! Who acts, who listens, and what is printed.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use owo_colors::{OwoColorize as _, Style};

use super::{
    audience::{Audience, Heard, Told},
    story::{self, Scene},
};
use crate::cli::{
    output::{Format, say},
    session::Session,
    watch::told_line,
};

const SCENE_PAUSE: Duration = Duration::from_millis(1200);
const EVENT_PAUSE: Duration = Duration::from_millis(600);
/// What a dozen calls may take on a slow machine.
const STEPS_TIME: Duration = Duration::from_millis(1200);
const INDENT: usize = 15;

/// Everybody in the story.
#[derive(Debug)]
pub(super) struct Stage {
    session: Session,
    site: Audience,
    newswire: Audience,
    fast: bool,
    /// When the call was made, or the time came, that the audience hears of next.
    since: Instant,
}

impl Stage {
    /// Opens the curtain: both subscribers are seated.
    pub(super) async fn open(server: &str, fast: bool) -> Result<Self> {
        let session = Session::to(server, "narrator", Format::Table)?;
        let site = Audience::seat("site", &session, false).await?;
        let newswire = Audience::seat("newswire", &session, true).await?;
        say(format_args!("\n{}   {}", story::TITLE.bold(), server.dimmed()))?;
        say(story::INTRODUCTION.dimmed())?;
        Ok(Self { session, site, newswire, fast, since: Instant::now() })
    }

    /// The narrator speaks.
    pub(super) async fn scene(&self, scene: &Scene) -> Result<()> {
        let mut lines = scene.words.lines();
        say(format_args!("\n{:<INDENT$}{}", scene.when.bold().cyan(), lines.next().unwrap_or_default().bold()))?;
        lines.try_for_each(|line| say(format_args!("{:INDENT$}{}", "", line.bold())))?;
        self.pause(SCENE_PAUSE).await;
        Ok(())
    }

    async fn pause(&self, pause: Duration) {
        if !self.fast {
            tokio::time::sleep(pause).await;
        }
    }

    /// A time ahead: far enough for `scenes` scenes before it, with two steps each.
    pub(super) fn ahead(&self, scenes: u32) -> Result<jiff::Timestamp> {
        let pauses = if self.fast { Duration::ZERO } else { (SCENE_PAUSE + 2 * EVENT_PAUSE) * scenes };
        Ok(jiff::Timestamp::now().checked_add(jiff::SignedDuration::try_from(STEPS_TIME + pauses)?)?)
    }

    /// Somebody calls. The clock runs from here.
    pub(super) fn call(&mut self, who: &str, rpc: &str, what: impl Display) -> Result<Session> {
        let line = format!("{:INDENT$}{:<8}{:<20}{what}", "", who.green(), rpc);
        say(line.trim_end())?;
        let session = self.session.with_caller(who)?;
        self.since = Instant::now();
        Ok(session)
    }

    /// A call that is not told.
    pub(super) fn quietly(&self, who: &str) -> Result<Session> {
        self.session.with_caller(who)
    }

    /// What came of it.
    #[expect(clippy::unused_self, reason = "what is printed is printed by the stage")]
    pub(super) fn result(&self, what: impl Display) -> Result<()> {
        Ok(say(format_args!("{:INDENT$}{:<8}{} {what}", "", "", "→".dimmed()))?)
    }

    /// Waits for a time; the clock runs from there.
    pub(super) async fn wait_until(&mut self, time: jiff::Timestamp) -> Result<()> {
        let left = Duration::try_from(time.duration_since(jiff::Timestamp::now())).unwrap_or_default();
        self.since = Instant::now() + left;
        tokio::time::sleep(left).await;
        Ok(())
    }

    /// Both subscribers hear this, in one step.
    pub(super) async fn heard(&mut self, wanted: &[Told<'_>]) -> Result<()> {
        let site = self.site.hear().await?;
        let newswire = self.newswire.hear().await?;
        site.check(self.site.name, wanted)?;
        newswire.check(self.newswire.name, wanted)?;
        print(self.site.name, Style::new().blue(), &site, self.since)?;
        let same = format!("the same, after {}", latency(newswire.at, self.since));
        say(row(self.newswire.name, Style::new().purple(), same.dimmed()))?;
        self.pause(EVENT_PAUSE).await;
        Ok(())
    }

    /// Only the cleared subscriber hears this.
    pub(super) async fn heard_by_newswire(&mut self, wanted: &[Told<'_>]) -> Result<()> {
        let newswire = self.newswire.hear().await?;
        newswire.check(self.newswire.name, wanted)?;
        print(self.newswire.name, Style::new().purple(), &newswire, self.since)?;
        self.pause(EVENT_PAUSE).await;
        self.quiet(&[&self.site])
    }

    /// Nobody has heard anything.
    pub(super) fn nothing_heard(&self) -> Result<()> {
        self.quiet(&[&self.site, &self.newswire])
    }

    #[expect(clippy::unused_self, reason = "what is printed is printed by the stage")]
    fn quiet(&self, audiences: &[&Audience]) -> Result<()> {
        for audience in audiences {
            ensure!(audience.is_quiet(), "not as told: {} heard what it should not have", audience.name);
            say(row(audience.name, Style::new().dimmed(), "nothing".dimmed()))?;
        }
        Ok(())
    }

    /// The site that everybody can read.
    pub(super) fn site(&self) -> &Audience {
        &self.site
    }

    /// The subscriber that hears everything.
    pub(super) fn newswire(&self) -> &Audience {
        &self.newswire
    }

    /// The curtain falls.
    pub(super) async fn close(self) -> Result<()> {
        say(format_args!("\n{}\n", story::END.bold().green()))?;
        self.site.leave().await?;
        self.newswire.leave().await
    }
}

fn print(name: &str, style: Style, heard: &Heard, since: Instant) -> Result<()> {
    let took = latency(heard.at, since);
    let mut words_before = String::new();
    for delivery in &heard.deliveries {
        let (line, words) = told_line(delivery);
        say(row(name, style, format_args!("{line}  {}", took.dimmed())))?;
        // The same notice in five languages is one notice.
        if !words.is_empty() && words != words_before {
            say(row("", style, format_args!("       {}", words.italic())))?;
        }
        words_before = words;
    }
    Ok(())
}

fn row(name: &str, style: Style, what: impl Display) -> String {
    format!("{:5}{:>8} {} {what}", "", name.style(style), "│".style(style))
}

fn latency(at: Instant, since: Instant) -> String {
    format!("{:.1} ms", at.saturating_duration_since(since).as_secs_f64() * 1000.0)
}
