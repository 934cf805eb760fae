//! Arguments that several commands share.

use std::path::PathBuf;

use anstream::ColorChoice;
use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::{names::StatementId, output::Format};
use crate::api::v1::{Filter, Notice, Rendition};

/// Arguments of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// The service to call
    #[arg(long, global = true, value_name = "URL", env = "ONRECORD_SERVER", default_value = "http://127.0.0.1:7400")]
    pub(super) server: String,
    /// Who calls, where the service runs with --insecure [default: $USER, or nobody]
    #[arg(long, global = true, value_name = "NAME", env = "ONRECORD_CALLER")]
    caller: Option<String>,
    /// File with the token that shows who calls, where the service runs with a policy
    #[arg(long, global = true, value_name = "FILE", env = "ONRECORD_TOKEN_FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// PEM file with the authority that signed the service's certificate, for an https:// server
    #[arg(long, global = true, value_name = "FILE", env = "ONRECORD_CA_FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// PEM file with the certificate that shows who calls; `--key-file` goes with it
    #[arg(long, global = true, value_name = "FILE", env = "ONRECORD_CERTIFICATE_FILE", requires = "key_file")]
    pub(super) certificate_file: Option<PathBuf>,
    /// PEM file with the key of that certificate
    #[arg(long, global = true, value_name = "FILE", env = "ONRECORD_KEY_FILE", requires = "certificate_file")]
    pub(super) key_file: Option<PathBuf>,
    /// Tables for people, or the responses as JSON: a document each, a line for each message of a stream
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    pub(super) output: Format,
    /// When to use colours; `auto` is on a terminal, unless `NO_COLOR` is set
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub(super) color: Color,
}

impl Global {
    /// The caller's name.
    pub(super) fn caller(&self) -> String {
        let name = self.caller.clone().or_else(|| std::env::var("USER").ok());
        name.filter(|name| !name.is_empty()).unwrap_or_else(|| "nobody".to_owned())
    }
}

/// When to use colours.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// Makes it so for the whole process.
    pub(super) fn apply(self) {
        match self {
            Self::Auto => ColorChoice::Auto,
            Self::Always => ColorChoice::Always,
            Self::Never => ColorChoice::Never,
        }
        .write_global();
    }
}

/// Which statements: any of the values of one flag, all of the flags.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct FilterArgs {
    /// Only these kinds, e.g. press-release
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',')]
    kinds: Vec<String>,
    /// Only these topics
    #[arg(long = "topic", value_name = "TOPIC", value_delimiter = ',')]
    topics: Vec<String>,
    /// Only these languages and their equals (en admits en-US, fr does not admit fr-CA)
    #[arg(long = "language", value_name = "LANG", value_delimiter = ',')]
    languages: Vec<String>,
    /// Only what applies in some part of one of these regions and is excluded from none of it, e.g. DE or 150
    #[arg(long = "region", value_name = "CODE", value_delimiter = ',')]
    regions: Vec<String>,
    /// Only what is for these audiences
    #[arg(long = "audience", value_name = "AUDIENCE", value_delimiter = ',')]
    audiences: Vec<String>,
    /// Only what may be shown on these channels
    #[arg(long = "channel", value_name = "CHANNEL", value_delimiter = ',')]
    channels: Vec<String>,
    /// Only these statements
    #[arg(long = "statement", value_name = "ID", value_delimiter = ',')]
    statements: Vec<StatementId>,
}

impl FilterArgs {
    /// The filter as the service takes it; `None` if it admits everything.
    pub(super) fn filter(&self) -> Option<Filter> {
        let filter = Filter {
            kinds: self.kinds.clone(),
            topics: self.topics.clone(),
            language_codes: self.languages.clone(),
            region_codes: self.regions.clone(),
            audiences: self.audiences.clone(),
            channels: self.channels.clone(),
            statements: self.statements.iter().map(StatementId::name).collect(),
        };
        (filter != Filter::default()).then_some(filter)
    }
}

/// How much to list.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Limit {
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: u32,
}

/// Parses `key=value`.
pub(super) fn annotation(text: &str) -> anyhow::Result<(String, String)> {
    let (key, value) = text.split_once('=').context("write it as key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Creates a notice without renditions.
pub(super) fn notice(text: &str, media_type: &str) -> Notice {
    Notice { text: text.to_owned(), text_media_type: media_type.to_owned(), ..Notice::default() }
}

/// Parses `channel=text`.
pub(super) fn rendition(text: &str) -> anyhow::Result<Rendition> {
    let (channel, text) = text.split_once('=').context("write it as channel=text")?;
    Ok(Rendition { channel: channel.to_owned(), text: text.to_owned() })
}
