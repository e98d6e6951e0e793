//! The plot: throughput over the number of policies, a panel for each workload, as SVG.
//!
//! The ground is transparent and every colour is of middling lightness, so that it can be read on
//! a light page and on a dark one. Lines differ by their marks as well as by colour.

use std::fmt::Write;

use super::markdown::thousands;
use crate::matrix::{Case, Cpus, Family, Kind, Workload};
use crate::rounds::{Series, Spread};

const WIDTH: f64 = 860.0;
/// Where a panel's own area begins and how wide it is.
const LEFT: f64 = 86.0;
const ACROSS: f64 = 700.0;
/// From one panel to the next, what is above its area, and how high that is.
const PANEL: f64 = 300.0;
const ABOVE: f64 = 36.0;
const HIGH: f64 = 210.0;
/// What is above the first panel.
const LEGEND: f64 = 76.0;

const GREY: &str = "#767d86";

/// How a setup is drawn.
struct Style {
    kind: Kind,
    colour: &'static str,
    mark: Mark,
    width: f64,
}

#[derive(Clone, Copy)]
enum Mark {
    Circle,
    Square,
    Triangle,
    Diamond,
    /// No marks: a level line, dashed so.
    Dashes(&'static str),
}

const fn style(kind: Kind, colour: &'static str, mark: Mark, width: f64) -> Style {
    Style {
        kind,
        colour,
        mark,
        width,
    }
}

/// In the order in which they are drawn, the last above all others.
const STYLES: [Style; 8] = [
    style(Kind::Direct, GREY, Mark::Dashes("8 3"), 1.5),
    style(Kind::Bridge, "#8f7a00", Mark::Dashes("2 3"), 1.5),
    style(Kind::Routed, "#8f7a00", Mark::Dashes("7 3 2 3"), 1.5),
    style(Kind::IptablesNft, "#b65fa3", Mark::Triangle, 1.8),
    style(Kind::NftRules, "#1e9570", Mark::Square, 1.8),
    style(Kind::NftMap, "#3484d0", Mark::Diamond, 1.8),
    style(Kind::Fleet, "#d4561d", Mark::Diamond, 2.6),
    style(Kind::Plumbline, "#d4561d", Mark::Circle, 2.6),
];

/// The plot of these series: IPv4 on one CPU, or what there is.
pub(crate) fn svg(all: &[Series]) -> String {
    let mut cases: Vec<Case> = Vec::new();
    for workload in [Workload::Rr, Workload::Crr, Workload::Stream] {
        let mut of_it = all
            .iter()
            .map(|s| s.case)
            .filter(|c| c.workload == workload);
        let wanted = |case: &Case| case.family == Family::V4 && case.cpus == Cpus::One;
        cases.extend(of_it.clone().find(wanted).or_else(|| of_it.next()));
    }
    let mut policies: Vec<usize> = all.iter().map(|series| series.setup.policies).collect();
    policies.sort_unstable();
    policies.dedup();

    let high = LEGEND + PANEL * cases.iter().map(|_| 1.0).sum::<f64>();
    let mut svg = Svg(String::new());
    svg.add(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {high}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" role=\"img\">\n\
         <title>Throughput over the number of policies</title>"
    ));
    svg.legend(all);
    let mut top = LEGEND;
    for case in cases {
        let of_it: Vec<&Series> = all.iter().filter(|series| series.case == case).collect();
        Panel::new(top, &of_it, &policies).draw(&mut svg, &case, &of_it);
        top += PANEL;
    }
    svg.add(format_args!("</svg>"));
    svg.0
}

struct Svg(String);

impl Svg {
    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{element}").expect("a string can be written to");
    }

    fn text(&mut self, [x, y]: [f64; 2], anchor: &str, text: &str) {
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{GREY}\">{text}</text>"
        ));
    }

    fn line(&mut self, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], stroke: &str) {
        self.add(format_args!(
            "<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" {stroke} fill=\"none\"/>"
        ));
    }

    fn mark(&mut self, [x, y]: [f64; 2], style: &Style) {
        let (colour, r) = (style.colour, 4.0);
        let corners = match style.mark {
            Mark::Dashes(_) => return,
            Mark::Circle => {
                self.add(format_args!(
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r}\" fill=\"{colour}\"/>"
                ));
                return;
            }
            Mark::Square => format!("M{:.1} {:.1}h7v7h-7z", x - 3.5, y - 3.5),
            Mark::Triangle => format!("M{x:.1} {:.1}l4.5 8h-9z", y - 5.0),
            Mark::Diamond => format!("M{x:.1} {:.1}l5 5l-5 5l-5-5z", y - 5.0),
        };
        self.add(format_args!("<path d=\"{corners}\" fill=\"{colour}\"/>"));
    }

    /// Names of what is there, in two columns.
    fn legend(&mut self, all: &[Series]) {
        let there = |style: &&Style| all.iter().any(|s| s.setup.kind == style.kind);
        let [mut x, mut y] = [LEFT, 16.0];
        for (at, style) in STYLES.iter().rev().filter(there).enumerate() {
            if at == 4 {
                [x, y] = [LEFT + 395.0, 16.0];
            }
            self.line([x, y - 4.0], [x + 30.0, y - 4.0], &style.stroke());
            self.mark([x + 15.0, y - 4.0], style);
            self.text([x + 38.0, y], "start", style.kind.words());
            y += 17.0;
        }
    }
}

impl Style {
    fn stroke(&self) -> String {
        let Self { colour, width, .. } = self;
        let dashes = match self.mark {
            Mark::Dashes(dashes) => format!(" stroke-dasharray=\"{dashes}\""),
            _ => String::new(),
        };
        format!("stroke=\"{colour}\" stroke-width=\"{width}\"{dashes}")
    }
}

/// The scales of one panel.
struct Panel<'a> {
    top: f64,
    policies: &'a [usize],
    /// The ratio at its upper edge.
    most: f64,
    /// The direct pair's rate: what a ratio of 1 is.
    direct: f64,
}

impl<'a> Panel<'a> {
    fn new(top: f64, all: &[&Series], policies: &'a [usize]) -> Self {
        let ratios = all.iter().flat_map(|series| &series.ratios).copied();
        let direct = all.iter().find(|series| series.setup.kind == Kind::Direct);
        let direct = direct.and_then(|series| Spread::of(&series.rates));
        Self {
            top,
            policies,
            most: ratios.fold(1.0, f64::max) * 1.04,
            direct: direct.map_or(1.0, |spread| spread.median),
        }
    }

    /// Each number of policies has a place of the same width; they are powers of ten, and none.
    fn x(&self, policies: usize) -> f64 {
        let at = self
            .policies
            .iter()
            .take_while(|number| **number < policies);
        let at: f64 = at.map(|_| 1.0).sum();
        let all: f64 = self.policies.iter().map(|_| 1.0).sum();
        LEFT + ACROSS * (at + 0.5) / all
    }

    fn y(&self, ratio: f64) -> f64 {
        self.top + ABOVE + HIGH * (1.0 - ratio / self.most)
    }

    fn draw(&self, svg: &mut Svg, case: &Case, all: &[&Series]) {
        let right = LEFT + ACROSS;
        let unit = case.workload.unit();
        svg.text([LEFT, self.top + 14.0], "start", &format!("{case}: {unit}"));
        svg.text([right, self.top + 14.0], "end", "ratio to the direct pair");
        for quarter in [0.0, 0.25, 0.5, 0.75, 1.0] {
            let y = self.y(quarter);
            let faint = format!("stroke=\"{GREY}\" stroke-width=\"0.5\" stroke-opacity=\"0.6\"");
            svg.line([LEFT, y], [right, y], &faint);
            svg.text([right + 8.0, y + 4.0], "start", &format!("{quarter:.2}"));
        }
        let step = step(self.most * self.direct);
        let mut rate = 0.0;
        while rate <= self.most * self.direct {
            let y = self.y(rate / self.direct);
            svg.line([LEFT - 4.0, y], [LEFT, y], &format!("stroke=\"{GREY}\""));
            svg.text([LEFT - 8.0, y + 4.0], "end", &short(rate));
            rate += step;
        }
        let below = self.y(0.0) + 18.0;
        for &number in self.policies {
            svg.text([self.x(number), below], "middle", &thousands(number));
        }
        svg.text([LEFT + ACROSS / 2.0, below + 18.0], "middle", "policies");
        for style in &STYLES {
            self.setup(svg, style, all);
        }
    }

    fn setup(&self, svg: &mut Svg, style: &Style, all: &[&Series]) {
        let of_it = all.iter().filter(|series| series.setup.kind == style.kind);
        let points = of_it.filter_map(|s| Some((s.setup.policies, Spread::of(&s.ratios)?)));
        let points: Vec<(usize, Spread)> = points.collect();
        let stroke = style.stroke();
        if let (Mark::Dashes(_), [(_, spread)]) = (style.mark, points.as_slice()) {
            let y = self.y(spread.median);
            svg.line([LEFT, y], [LEFT + ACROSS, y], &stroke);
            return;
        }
        for pair in points.windows(2) {
            let [from, to] = [pair[0], pair[1]].map(|(n, s)| [self.x(n), self.y(s.median)]);
            svg.line(from, to, &stroke);
        }
        for (number, spread) in points {
            let x = self.x(number);
            let thin = format!("stroke=\"{}\" stroke-width=\"1\"", style.colour);
            svg.line(
                [x, self.y(spread.minimum)],
                [x, self.y(spread.maximum)],
                &thin,
            );
            svg.mark([x, self.y(spread.median)], style);
        }
    }
}

/// What lies between two marks of a scale that reaches so far: 1, 2 or 5 and noughts.
fn step(most: f64) -> f64 {
    let power = 10_f64.powf(most.log10().floor());
    let of_the_power = most / power;
    power
        * match of_the_power {
            few if few < 2.0 => 0.2,
            few if few < 5.0 => 0.5,
            _ => 1.0,
        }
}

/// A rate in few letters: `20 k`.
fn short(rate: f64) -> String {
    match rate {
        rate if rate >= 1000.0 => format!("{} k", rate / 1000.0),
        rate => format!("{rate}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_has_five_to_ten_marks() {
        for (most, marks) in [(1.0, 5), (15_000.0, 7), (49.0, 9), (68_400.0, 6), (99.0, 9)] {
            let mut rate = 0.0;
            let mut count = 0;
            while rate + step(most) <= most {
                rate += step(most);
                count += 1;
            }
            assert_eq!(count, marks, "{most}");
        }
        assert_eq!([short(20_000.0), short(0.5)], ["20 k", "0.5"]);
    }
}
