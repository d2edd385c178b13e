//! The figures as a picture: one line an operation, on a logarithmic scale, the peers beside us.
//!
//! A bar goes from the cheapest to the dearest sample, its stroke is the median, each peer is a mark.
//! SVG is written by hand: it is a dozen shapes.

use super::peers::{SYSTEMS, figures};
use super::report::Row;

const ROW: u32 = 22;
const TOP: u32 = 56;
const LEFT: u32 = 200;
const WIDTH: u32 = 720;
const MARGIN: u32 = 24;
const OWN: &str = "#1f4e9c";
const PEERS: [&str; SYSTEMS.len()] = ["#c0392b", "#27802f", "#b07a00"];

/// From a figure to its place: powers of ten are equally far apart.
struct Scale {
    lowest: f64,
    highest: f64,
}

impl Scale {
    /// From the power of ten below the least figure to the one above the greatest.
    fn of(rows: &[Row]) -> Self {
        let peers = rows.iter().flat_map(|row| figures(row.name())).flatten();
        let own = rows.iter().flat_map(|row| [row.min, row.max]);
        let all = || peers.clone().chain(own.clone()).map(|figure| figure.max(1));
        let log = |figure: Option<u64>, other: f64| figure.map_or(other, |f| (f as f64).log10());
        let lowest = log(all().min(), 0.0).floor();
        let highest = log(all().max(), 1.0).ceil().max(lowest + 1.0);
        Self { lowest, highest }
    }

    fn place(&self, figure: u64) -> f64 {
        let part = ((figure.max(1) as f64).log10() - self.lowest) / (self.highest - self.lowest);
        f64::from(LEFT) + part * f64::from(WIDTH)
    }

    /// The powers of ten on it.
    fn powers(&self) -> impl Iterator<Item = u64> + use<> {
        (self.lowest as u32..=self.highest as u32).map(|power| 10_u64.pow(power))
    }
}

/// The whole SVG file.
pub(super) fn picture(rows: &[Row]) -> String {
    // What happens once in the machine's life is on another scale.
    let rows: Vec<Row> = rows.iter().filter(|row| row.samples > 1).cloned().collect();
    let scale = Scale::of(&rows);
    let (width, bottom) = (LEFT + WIDTH + MARGIN, TOP + ROW * rows.len() as u32);
    let height = bottom + MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    legend(&mut out);
    for power in scale.powers() {
        let x = scale.place(power);
        add(
            &mut out,
            format_args!(
                "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#ddd\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#666\">{power}</text>",
                TOP - 6
            ),
        );
    }
    for (index, row) in rows.iter().enumerate() {
        line(&mut out, &scale, row, TOP + ROW * index as u32 + ROW / 2);
    }
    out.push_str("</svg>\n");
    out
}

fn legend(out: &mut String) {
    let entries = [(OWN, "MelloOS (instructions)")];
    let entries = entries.into_iter().chain(PEERS.into_iter().zip(SYSTEMS));
    let mut x = LEFT;
    for (colour, name) in entries {
        add(
            out,
            format_args!(
                "<circle cx=\"{x}\" cy=\"20\" r=\"5\" fill=\"{colour}\"/>\
                 <text x=\"{}\" y=\"24\">{name}</text>",
                x + 10
            ),
        );
        x += 180;
    }
}

fn line(out: &mut String, scale: &Scale, row: &Row, y: u32) {
    let [min, median, max] = [row.min, row.median, row.max].map(|figure| scale.place(figure));
    add(
        out,
        format_args!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{} · {}</text>\
             <rect x=\"{min:.1}\" y=\"{}\" width=\"{:.1}\" height=\"8\" fill=\"{OWN}\" opacity=\"0.4\"/>\
             <path d=\"M{median:.1} {}v14\" stroke=\"{OWN}\" stroke-width=\"3\"/>",
            LEFT - 8,
            y + 4,
            row.name(),
            row.median,
            y - 4,
            (max - min).max(1.0),
            y - 7,
        ),
    );
    for (figure, colour) in figures(row.name()).into_iter().zip(PEERS) {
        if let Some(figure) = figure {
            let x = scale.place(figure);
            add(
                out,
                format_args!("<circle cx=\"{x:.1}\" cy=\"{y}\" r=\"4\" fill=\"{colour}\"/>"),
            );
        }
    }
}

fn add(out: &mut String, shapes: std::fmt::Arguments<'_>) {
    out.push_str(&format!("{shapes}\n"));
}

#[cfg(test)]
mod tests {
    use super::super::report::rows;
    use super::*;

    fn sample(name: &str, samples: u64) -> String {
        format!(
            "{{\"name\":\"{name}\",\"unit\":\"instructions\",\"min\":300,\"median\":400,\
             \"max\":500,\"samples\":{samples},\"transitions\":null,\"cr3_writes\":null,\
             \"copied\":null}}\n"
        )
    }

    #[test]
    fn figures_lie_in_order_and_inside() {
        let rows = rows(&sample("rpc_empty", 1000)).unwrap();
        let scale = Scale::of(&rows);
        let places = [100, 300, 400, 500, 12_808, 100_000].map(|figure| scale.place(figure));
        assert!(places.is_sorted());
        assert!((places[0] - f64::from(LEFT)).abs() < 0.1, "{places:?}");
        assert!(
            (places[5] - f64::from(LEFT + WIDTH)).abs() < 0.1,
            "{places:?}"
        );
    }

    #[test]
    fn every_operation_that_repeats_has_a_line_and_its_peers() {
        let text = sample("rpc_empty", 1000) + &sample("boot_to_prompt", 1);
        let svg = picture(&rows(&text).unwrap());
        assert!(svg.contains("rpc_empty · 400") && !svg.contains("boot_to_prompt"));
        // Four in the legend, three peers of a call.
        assert_eq!(svg.matches("<circle").count(), 4 + 3);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(picture(&[]).contains("</svg>"));
    }
}
