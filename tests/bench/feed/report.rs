//! Medians and ratios, as a table and as a chart.

use std::{env, fs};

/// What one peer showed, round after round, each the values of the same rows.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) rounds: Vec<Vec<f64>>,
}

impl Column {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, rounds: Vec::new() }
    }

    pub(crate) fn median(&self, row: usize) -> f64 {
        let mut values: Vec<_> = self.rounds.iter().map(|round| round[row]).collect();
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    }
}

/// Prints the table; with `ONRECORD_BENCH_DIR` also writes it there, and a chart of some rows.
pub(crate) fn print(title: &str, name: &str, rows: &[&str], bars: &[(usize, &str)], columns: &[Column]) {
    let table = table(rows, columns);
    println!("\n{title}, medians of {}\n\n{table}", columns[0].rounds.len());
    let Ok(directory) = env::var("ONRECORD_BENCH_DIR") else { return };
    fs::write(format!("{directory}/{name}.md"), table).unwrap();
    fs::write(format!("{directory}/{name}.svg"), chart(title, bars, columns)).unwrap();
}

fn table(rows: &[&str], columns: &[Column]) -> String {
    let (ours, others) = columns.split_first().unwrap();
    let mut table = format!("| | {} |", ours.name);
    for other in others {
        table += &format!(" {} | ratio |", other.name);
    }
    table += &format!("\n|---|---:|{}\n", "---:|---:|".repeat(others.len()));
    for (row, name) in rows.iter().enumerate() {
        let own = ours.median(row);
        table += &format!("| {name} | {own:.2} |");
        for other in others {
            let median = other.median(row);
            let ratio = if median == 0.0 { String::new() } else { format!("{:.2}", own / median) };
            table += &format!(" {median:.2} | {ratio} |");
        }
        table += "\n";
    }
    table
}

/// Bars: one group a row.
fn chart(title: &str, groups: &[(usize, &str)], columns: &[Column]) -> String {
    const LEFT: f64 = 170.0;
    const WIDTH: f64 = 460.0;
    let most = groups.iter().flat_map(|(row, _)| columns.iter().map(|column| column.median(*row))).fold(0.0, f64::max);
    let (mut body, mut y) = (String::new(), 44.0);
    for (row, name) in groups {
        body += &format!(r#"<text x="10" y="{y}" font-weight="bold">{name}</text>"#);
        body += "\n";
        y += 10.0;
        for (place, column) in columns.iter().enumerate() {
            let value = column.median(*row);
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
    let height = y;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"700\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"10\" y=\"20\">{title}</text>\n{body}</svg>\n"
    )
}
