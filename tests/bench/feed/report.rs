//! Medians and ratios, as a table and as a chart.

use std::{env, fs};

use crate::{Wanted, fanout::Figures};

/// What one peer showed, round after round.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) rounds: Vec<Figures>,
}

impl Column {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, rounds: Vec::new() }
    }

    fn median(&self, of: fn(&Figures) -> f64) -> f64 {
        let mut values: Vec<_> = self.rounds.iter().map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    }
}

type Row = (&'static str, fn(&Figures) -> f64);

const ROWS: [Row; 7] = [
    ("burst, µs a delivery", |figures| figures.burst),
    ("burst, thousand deliveries/s", |figures| figures.rate / 1_000.0),
    ("live, µs a delivery", |figures| figures.live),
    ("20 events/s, µs a delivery", |figures| figures.paced),
    ("20 events/s, p50 ms", |figures| figures.p50),
    ("20 events/s, p99 ms", |figures| figures.p99),
    ("idle, KiB a subscriber", |figures| figures.idle),
];

/// Prints the table; with `ONRECORD_BENCH_DIR` also writes it there, and a chart of what a delivery costs.
pub(crate) fn print(columns: &[Column], subscribers: usize, wanted: &Wanted) {
    let table = table(columns);
    println!("\n{subscribers} subscribers, {} bytes, medians of {}\n\n{table}", wanted.bytes, wanted.rounds);
    let Ok(directory) = env::var("ONRECORD_BENCH_DIR") else { return };
    let name = format!("{directory}/fanout-{subscribers}-{}", wanted.bytes);
    fs::write(format!("{name}.md"), table).unwrap();
    fs::write(format!("{name}.svg"), chart(columns, subscribers, wanted.bytes)).unwrap();
}

fn table(columns: &[Column]) -> String {
    let (ours, others) = columns.split_first().unwrap();
    let mut table = format!("| | {} |", ours.name);
    for other in others {
        table += &format!(" {} | ratio |", other.name);
    }
    table += &format!("\n|---|---:|{}\n", "---:|---:|".repeat(others.len()));
    for (name, of) in ROWS {
        let own = ours.median(of);
        table += &format!("| {name} | {own:.2} |");
        for other in others {
            let median = other.median(of);
            table += &format!(" {median:.2} | {:.2} |", own / median);
        }
        table += "\n";
    }
    table
}

/// Bars: µs of the server's processor for each delivery, in a burst and live.
fn chart(columns: &[Column], subscribers: usize, bytes: usize) -> String {
    const LEFT: f64 = 90.0;
    const WIDTH: f64 = 460.0;
    let groups: [Row; 2] = [("burst", |figures| figures.burst), ("live, one event at a time", |figures| figures.live)];
    let most = groups.iter().flat_map(|(_, of)| columns.iter().map(|column| column.median(*of))).fold(0.0, f64::max);
    let (mut body, mut y) = (String::new(), 44.0);
    for (name, of) in groups {
        body += &format!(r#"<text x="10" y="{y}" font-weight="bold">{name}</text>"#);
        body += "\n";
        y += 10.0;
        for (place, column) in columns.iter().enumerate() {
            let value = column.median(of);
            let (width, colour) = (value / most * WIDTH, if place == 0 { "#0b7285" } else { "#adb5bd" });
            let (middle, end) = (y + 13.0, LEFT + width + 6.0);
            body += &format!(
                r#"<text x="10" y="{middle}">{}</text><rect x="{LEFT}" y="{y}" width="{width:.1}" height="16" fill="{colour}"/><text x="{end:.1}" y="{middle}">{value:.2}</text>"#,
                column.name
            );
            body += "\n";
            y += 22.0;
        }
        y += 26.0;
    }
    let title = format!("µs of the server's processor for each delivery, {subscribers} subscribers, {bytes} bytes");
    let height = y;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"620\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"10\" y=\"20\">{title}</text>\n{body}</svg>\n"
    )
}
