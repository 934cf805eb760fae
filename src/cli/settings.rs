//! The settings of the service: a flag, else the environment, else a file (TOML), else the default. Each is declared once, as an argument of
//! `serve`; in the file its name has underscores.
//!
//! **Invariants**
//! - A key that is not known is refused, with the nearest that is (`a_key_that_is_not_known_is_refused_with_the_nearest`).
//! - A value in the file is checked as that of the flag is, and what is wrong with it is told with its line
//!   (`what_is_wrong_is_told_with_its_line`).
//! - A variable of the environment that is meant for us and not known is told, with the nearest that is
//!   (`a_variable_that_is_not_known_is_told_with_the_nearest`).
//! - A flag counts before the environment, and that before the file (`what_is_nearer_counts`,
//!   `settings_come_from_a_file_and_what_is_wrong_with_it_is_told`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::Path,
};

use clap::{Arg, ArgAction, ArgMatches, Command, parser::ValueSource};
use toml::{Spanned, Value};

use super::failure::{Refusal, unreadable};

/// The argument that names the file.
pub(super) const FILE: &str = "config";
/// How alike a name has to be to be meant, of 1.
const ALIKE: f64 = 0.7;

/// What `command` takes from a file: its values are the defaults.
pub(super) fn with_file(command: Command, file: &Path) -> Result<Command, Refusal> {
    let said = |words: &dyn fmt::Display| Refusal::Usage(format!("{}, {words}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| Refusal::Usage(format!("{}: {error}", unreadable(file))))?;
    with_text(command, &text).map_err(|faults| {
        Refusal::Usage(faults.iter().map(|fault| said(fault).to_string()).collect::<Vec<_>>().join("\n"))
    })
}

fn with_text(mut command: Command, text: &str) -> Result<Command, Vec<String>> {
    let line = |start: usize| 1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count();
    let table = toml::from_str::<BTreeMap<Spanned<String>, Spanned<Value>>>(text);
    let table = table
        .map_err(|error| vec![format!("line {}: {}", line(error.span().unwrap_or_default().start), error.message())])?;
    let mut faults = Vec::new();
    for (key, value) in table {
        let taken = take(&command, key.get_ref(), value.get_ref());
        match taken {
            Ok(values) => {
                command = command.mut_arg(key.get_ref(), |arg| arg.default_values(values).required(false));
            }
            Err(words) => faults.push((line(key.span().start), words)),
        }
    }
    faults.sort();
    if faults.is_empty() {
        Ok(command)
    } else {
        Err(faults.iter().map(|(line, words)| format!("line {line}: {words}")).collect())
    }
}

/// The values of a key, as its flag would be given them.
fn take(command: &Command, key: &str, value: &Value) -> Result<Vec<String>, String> {
    let Some(arg) = settings(command).find(|arg| arg.get_id() == key) else { return Err(unknown(command, key)) };
    let list = value.as_array().filter(|_| takes_many(arg));
    let values = match list {
        Some(values) => values.iter().map(plain).collect::<Option<Vec<_>>>(),
        None => plain(value).map(|value| vec![value]),
    };
    let values = values
        .ok_or_else(|| format!("`{key}` takes {}", if takes_many(arg) { "a list of values" } else { "one value" }))?;
    if !arg.get_action().takes_values() {
        return if matches!(value, Value::Boolean(_)) {
            Ok(values)
        } else {
            Err(format!("`{key}` must be true or false"))
        };
    }
    // The flag alone, given these.
    let alone = Command::new("serve").no_binary_name(true).disable_help_flag(true).arg(arg.clone().required(false));
    let flag = arg.get_long().unwrap_or(key);
    let given = values.iter().map(|value| format!("--{flag}={value}"));
    match alone.try_get_matches_from(given) {
        Ok(_) => Ok(values),
        Err(error) => Err(format!("`{key}`: {}", first_line(&error.to_string()))),
    }
}

/// What clap says, without what is about a command line.
fn first_line(error: &str) -> &str {
    let line = error.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line)
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

fn takes_many(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// The name that is most like this one, if any is like it.
fn nearest<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let alike = names.map(|name| (strsim::jaro_winkler(name, wanted), name)).filter(|(alike, _)| *alike > ALIKE);
    alike.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, name)| name)
}

fn unknown(command: &Command, key: &str) -> String {
    match nearest(key, settings(command).map(|arg| arg.get_id().as_str())) {
        Some(name) => format!("`{key}` is no setting: did you mean `{name}`?"),
        None => format!("`{key}` is no setting: `onrecord print-config` shows all"),
    }
}

/// What our variables begin with.
const OURS: &str = "ONRECORD_";
/// What Kubernetes sets for a service that is called onrecord.
const OF_KUBERNETES: [&str; 2] = ["ONRECORD_PORT", "ONRECORD_SERVICE_"];

/// What is to be said of variables that look as if they were ours.
pub(super) fn strange_variables(command: &Command, names: impl Iterator<Item = String>) -> Vec<String> {
    let mut known = BTreeSet::new();
    collect_variables(command, &mut known);
    let ours =
        names.filter(|name| name.starts_with(OURS) && !OF_KUBERNETES.iter().any(|other| name.starts_with(other)));
    let mut strange: Vec<_> = ours.filter(|name| !known.contains(name)).collect();
    strange.sort();
    let told = strange.into_iter().map(|name| {
        let own = name.strip_prefix(OURS).unwrap_or(&name);
        match nearest(own, known.iter().filter_map(|known| known.strip_prefix(OURS))) {
            Some(nearest) => format!("the variable {name} is no setting: did you mean {OURS}{nearest}?"),
            None => format!("the variable {name} is no setting: `onrecord serve --help` names all"),
        }
    });
    told.collect()
}

fn collect_variables(command: &Command, into: &mut BTreeSet<String>) {
    into.extend(command.get_arguments().filter_map(|arg| Some(arg.get_env()?.to_string_lossy().into_owned())));
    command.get_subcommands().for_each(|command| collect_variables(command, into));
}

/// Whether a command takes settings.
pub(super) fn are_of(command: &Command) -> bool {
    command.get_arguments().any(|arg| arg.get_id() == FILE)
}

/// What a file may set: what is said of `serve` alone, but for where the file is.
fn settings(command: &Command) -> impl Iterator<Item = &Arg> {
    command
        .get_arguments()
        .filter(|arg| !arg.is_global_set() && ![FILE, "help", "version"].contains(&arg.get_id().as_str()))
}

/// Where a value is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Flag,
    Environment,
    File,
    Default,
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Default => "default",
        })
    }
}

/// Every setting as it is, one line each, as a file that [`with_file`] takes. What is not set is a comment. `before` is the command without
/// the file.
pub(super) fn print(before: &Command, command: &Command, matches: &ArgMatches) -> String {
    let lines = settings(before).map(|arg| {
        let id = arg.get_id().as_str();
        let given = matches.get_raw(id).into_iter().flatten();
        let values: Vec<_> = given.map(|value| written(&value.to_string_lossy())).collect();
        let after = command.get_arguments().find(|after| after.get_id() == id);
        let from = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => From::Flag,
            Some(ValueSource::EnvVariable) => From::Environment,
            _ if after.is_some_and(|after| after.get_default_values() != arg.get_default_values()) => From::File,
            _ => From::Default,
        };
        match values.as_slice() {
            [] => format!("# {id} is not set"),
            values if takes_many(arg) => format!("{id} = [{}]  # {from}", values.join(", ")),
            [value, ..] => format!("{id} = {value}  # {from}"),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A value as TOML writes it.
fn written(value: &str) -> String {
    match value {
        "true" | "false" => value.to_owned(),
        // What is a number to TOML too, which has no zero before one.
        value if value.parse::<i64>().is_ok_and(|number| number.to_string() == value) => value.to_owned(),
        value => Value::String(value.to_owned()).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, CommandFactory as _};

    use super::*;
    use crate::cli::serve;

    fn serve() -> Command {
        serve::Args::augment_args(Command::new("serve").no_binary_name(true))
    }

    fn faults(text: &str) -> Vec<String> {
        with_text(serve(), text).err().unwrap_or_default()
    }

    fn one(matches: &ArgMatches, id: &str) -> String {
        matches.get_raw(id).unwrap().next().unwrap().to_string_lossy().into_owned()
    }

    #[test]
    fn a_key_that_is_not_known_is_refused_with_the_nearest() {
        assert_eq!(faults("\ncache_mb = 7"), ["line 2: `cache_mb` is no setting: did you mean `cache_mib`?"]);
        assert_eq!(faults("tls-key = \"a\""), ["line 1: `tls-key` is no setting: did you mean `tls_key`?"]);
        assert_eq!(faults("zzz = 1"), ["line 1: `zzz` is no setting: `onrecord print-config` shows all"]);
        assert_eq!(faults("config = \"other.toml\"").len(), 1, "a file names no other");
    }

    #[test]
    fn a_variable_that_is_not_known_is_told_with_the_nearest() {
        let names = [
            "ONRECORD_CACHE_MB",
            "ONRECORD_CACHE_MIB",
            "ONRECORD_PORT_7400_TCP",
            "ONRECORD_SERVICE_HOST",
            "ONRECORD_ZZZ",
            "ONRECORD_TOKEN_FILE",
            "HOME",
        ];
        let told = strange_variables(&crate::cli::Cli::command(), names.into_iter().map(str::to_owned));
        assert_eq!(
            told,
            [
                "the variable ONRECORD_CACHE_MB is no setting: did you mean ONRECORD_CACHE_MIB?",
                "the variable ONRECORD_ZZZ is no setting: `onrecord serve --help` names all",
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let told = faults(
            "listen = \"nowhere\"\ncache_mib = 0\ninsecure = \"yes\"\nlimit = \"title=1\"\nstreams_max = [1]\nscrub_hours = 1.5",
        );
        let lines: Vec<_> = told.iter().filter_map(|fault| fault.split(':').next()).collect();
        assert_eq!(lines, ["line 1", "line 2", "line 3", "line 5", "line 6"], "{told:#?}");
        assert!(told[0].contains("`listen`: invalid value 'nowhere'"), "{}", told[0]);
        assert!(told[1].contains("1..="), "{}", told[1]);
        assert_eq!(faults("listen = ")[0].split(':').next(), Some("line 1"));
    }

    #[test]
    fn what_is_nearer_counts() {
        let file =
            "data_dir = \"/srv/record\"\ninsecure = true\ncache_mib = 32\nlimit = [\"title=120\", \"body=1000\"]";
        let command = with_text(serve(), file).unwrap();
        let matches = command.clone().try_get_matches_from(["--cache-mib", "16"]).unwrap();
        assert_eq!((one(&matches, "data_dir").as_str(), one(&matches, "cache_mib").as_str()), ("/srv/record", "16"));
        assert!(matches.get_flag("insecure"));
        assert_eq!(matches.get_many::<(String, usize)>("limit").unwrap().count(), 2);
    }

    #[test]
    fn what_is_printed_is_a_file_that_says_the_same() {
        let command = with_text(serve(), "policy = \"policy.toml\"\nlimit = [\"title=120\"]").unwrap();
        let matches = command.clone().try_get_matches_from(["--cache-mib", "16"]).unwrap();
        let printed = print(&serve(), &command, &matches);
        for line in [
            "policy = \"policy.toml\"  # file",
            "cache_mib = 16  # flag",
            "limit = [\"title=120\"]  # file",
            "insecure = false  # default",
            "# data_dir is not set",
        ] {
            assert!(printed.lines().any(|printed| printed == line), "{line} in\n{printed}");
        }
        let again = with_text(serve(), &printed).unwrap();
        let matches = again.clone().try_get_matches_from(Vec::<String>::new()).unwrap();
        let values = |printed: &str| {
            printed.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(values(&print(&serve(), &again, &matches)), values(&printed));
    }
}
