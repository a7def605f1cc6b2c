//! The picture as SVG: no scripts, no fonts or files of elsewhere, readable on light and on dark paper, and
//! with words for those who do not see it.

use std::fmt;

use super::{Drawing, Shown, Sources};
use crate::{
    Grouped,
    plan::text::{cut, wrap},
};

/// A [`Drawing`] whose `Display` is an SVG document.
#[derive(Clone, Copy, Debug)]
pub struct Svg<'a>(pub(super) &'a Drawing);

/// Units around everything.
const MARGIN: u32 = 32;
/// A box of a column, and what is between two columns.
const BOX_WIDTH: u32 = 252;
const WIRE_WIDTH: u32 = 72;
/// Three columns; without something in between the wires are longer.
const WIDTH: u32 = 2 * MARGIN + 3 * BOX_WIDTH + 2 * WIRE_WIDTH;
const ROOM: u32 = WIDTH - 2 * MARGIN;
/// From the edge of a box to its text.
const PADDING: u32 = 16;
/// From one line of text to the next.
const LINE: u32 = 22;
/// The bar of ports in a source, and what is above it.
const BAR_HEIGHT: u32 = 8;
const BAR_GAP: u32 = 6;
const SOURCE_HEIGHT: u32 = 2 * PADDING + 2 * LINE + BAR_GAP + BAR_HEIGHT;
/// Between two sources, and the room of those left out.
const GAP: u32 = 16;
const DOTS_HEIGHT: u32 = 36;
/// The title above, and the product below.
const TITLE_HEIGHT: u32 = 72;
const PRODUCT_HEIGHT: u32 = 116;
/// Characters that fit into a box and above the picture, in a wide font.
const TEXT_WIDTH: usize = 23;
const TITLE_TEXT_WIDTH: usize = 62;
/// From the line on which text stands to the middle of its small letters.
const HALF_LETTER: u32 = 5;
const ARROW: u32 = 8;

/// Colours by what they are for: light, then dark.
const COLOURS: [(&str, &str, &str); 8] = [
    (".paper{fill:", "#ffffff", "#0d1117"),
    (".ink{fill:", "#1b1f24", "#e6edf3"),
    (".soft{fill:", "#57606a", "#9198a1"),
    (".box,.bar{fill:", "#f1f4f7", "#1c222a"),
    (".box,.bar,.wire{stroke:", "#8c959f", "#6e7681"),
    (".used,.arrow{fill:", "#0969da", "#4493f8"),
    (".short{fill:", "#cf222e", "#f85149"),
    (".enough{fill:", "#1a7f37", "#3fb950"),
];

const STYLE: &str = "text{font:15px system-ui,sans-serif}.title{font-size:20px;font-weight:600}\
                     .name{font-weight:600}.factor{font-size:24px;font-weight:600}.note{font-size:13px}\
                     .middle{text-anchor:middle}.end{text-anchor:end}.wire{fill:none;stroke-width:1.5}";

const SUBTITLE: &str = "Each is a tuple of its own: source address, source port, destination address, \
                        destination port.";

/// A place on the page.
#[derive(Clone, Copy)]
struct Point {
    x: u32,
    y: u32,
}

impl fmt::Display for Svg<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(drawing) = self;
        let top = MARGIN + TITLE_HEIGHT;
        let picture = sources_height(&drawing.sources).max(box_height(4));
        let height = top + picture + PRODUCT_HEIGHT + MARGIN;
        write_head(f, drawing, height)?;
        let middle = top + picture / 2;
        let mut ends = write_sources(f, &drawing.sources, middle)?;
        let server = WIDTH - MARGIN - BOX_WIDTH;
        let between = drawing.between.as_ref();
        let between = between.map(|lines| (MARGIN + BOX_WIDTH + WIRE_WIDTH, lines));
        for (x, lines) in between.into_iter().chain([(server, &drawing.server)]) {
            let to = Point { x, y: middle };
            for from in ends {
                write_wire(f, from, to)?;
            }
            write_arrow(f, to)?;
            write_box(f, to, lines)?;
            ends = vec![Point {
                x: x + BOX_WIDTH,
                y: middle,
            }];
        }
        let product = Point {
            x: MARGIN,
            y: top + picture,
        };
        write_product(f, drawing, product)?;
        writeln!(f, "</svg>")
    }
}

fn write_head(f: &mut fmt::Formatter<'_>, drawing: &Drawing, height: u32) -> fmt::Result {
    writeln!(
        f,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\" aria-labelledby=\"title description\">\n\
         <title id=\"title\">{}</title>\n\
         <desc id=\"description\">{}</desc>",
        Escaped(&drawing.title),
        Escaped(&drawing.description)
    )?;
    write!(f, "<style>{STYLE}")?;
    for (rule, light, _) in COLOURS {
        write!(f, "{rule}{light}}}")?;
    }
    f.write_str("@media (prefers-color-scheme:dark){")?;
    for (rule, _, dark) in COLOURS {
        write!(f, "{rule}{dark}}}")?;
    }
    writeln!(f, "}}</style>")?;
    writeln!(
        f,
        "<rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\"/>"
    )?;
    let place = Point {
        x: MARGIN,
        y: MARGIN + LINE,
    };
    let title = cut(&drawing.title, TITLE_TEXT_WIDTH);
    write_text(f, place, "ink title", &title)?;
    let below = Point {
        y: place.y + LINE,
        ..place
    };
    write_text(f, below, "soft note", SUBTITLE)
}

/// Draws the column of sources around `middle`, and returns where their wires begin.
fn write_sources(
    f: &mut fmt::Formatter<'_>,
    sources: &Sources,
    middle: u32,
) -> Result<Vec<Point>, fmt::Error> {
    let mut y = middle - sources_height(sources) / 2;
    let mut ends = Vec::new();
    for shown in sources.shown() {
        match shown {
            Shown::Source(number) => {
                write_source(f, sources, number, y)?;
                ends.push(Point {
                    x: MARGIN + BOX_WIDTH,
                    y: y + SOURCE_HEIGHT / 2,
                });
                y += SOURCE_HEIGHT + GAP;
            }
            Shown::LeftOut => {
                let place = Point {
                    x: MARGIN + BOX_WIDTH / 2,
                    // Between the two gaps that are around it anyway.
                    y: y + DOTS_HEIGHT / 2 - GAP / 2 + HALF_LETTER,
                };
                write_text(f, place, "soft factor middle", "⋮")?;
                y += DOTS_HEIGHT;
            }
        }
    }
    Ok(ends)
}

/// A source address: its name and ports, and a bar of how many of these are in use.
fn write_source(f: &mut fmt::Formatter<'_>, sources: &Sources, number: u64, y: u32) -> fmt::Result {
    write_rect(f, "box", Point { x: MARGIN, y }, BOX_WIDTH, SOURCE_HEIGHT)?;
    let x = MARGIN + PADDING;
    let line = |index: u32| Point {
        x,
        y: y + PADDING + index * LINE - HALF_LETTER,
    };
    let name = format!("source {}", Grouped(number));
    write_text(f, line(1), "ink name", &name)?;
    let right = Point {
        x: MARGIN + BOX_WIDTH - PADDING,
        ..line(1)
    };
    write_text(f, right, "soft note end", &sources.ports)?;
    let state = format!("{}, of {}", sources.used(), Grouped(sources.ports_count));
    write_text(f, line(2), "soft note", &state)?;
    let room = BOX_WIDTH - 2 * PADDING;
    let (used, class) = if sources.used_count > sources.ports_count {
        (room, "short")
    } else {
        let part =
            u128::from(sources.used_count) * u128::from(room) / u128::from(sources.ports_count);
        // A part is never more than its whole.
        (part as u32, "used")
    };
    let bar = Point {
        x,
        y: y + PADDING + 2 * LINE + BAR_GAP,
    };
    write_rect(f, "bar", bar, room, BAR_HEIGHT)?;
    write_rect(f, class, bar, used, BAR_HEIGHT)
}

/// A box whose left edge has its middle at `left`.
fn write_box(f: &mut fmt::Formatter<'_>, left: Point, lines: &[String]) -> fmt::Result {
    let lines: Vec<_> = lines
        .iter()
        .flat_map(|line| wrap(line, TEXT_WIDTH))
        .collect();
    let height = box_height(lines.len() as u32);
    let top = Point {
        x: left.x,
        y: left.y - height / 2,
    };
    write_rect(f, "box", top, BOX_WIDTH, height)?;
    for (line, index) in lines.iter().zip(1..) {
        let class = if index == 1 { "ink name" } else { "soft" };
        let place = Point {
            x: top.x + PADDING,
            y: top.y + PADDING + index * LINE - HALF_LETTER,
        };
        write_text(f, place, class, &cut(line, TEXT_WIDTH))?;
    }
    Ok(())
}

/// The factors of the tuples, and whether their product is enough.
fn write_product(f: &mut fmt::Formatter<'_>, drawing: &Drawing, top: Point) -> fmt::Result {
    let class = if drawing.is_enough { "enough" } else { "short" };
    let factors = drawing
        .factors
        .iter()
        .map(|(count, name)| (*count, *name, "ink"));
    let cells: Vec<_> = factors
        .chain([(drawing.tuples_count, "tuples", class)])
        .collect();
    let cell = ROOM / cells.len() as u32;
    let baseline = top.y + PRODUCT_HEIGHT / 2;
    for ((count, name, class), index) in cells.iter().zip(0..) {
        let middle = top.x + cell * index + cell / 2;
        let number = Point {
            x: middle,
            y: baseline,
        };
        let below = Point {
            x: middle,
            y: baseline + LINE,
        };
        write_text(
            f,
            number,
            &format!("{class} factor middle"),
            &Grouped(*count).to_string(),
        )?;
        write_text(f, below, "soft note middle", name)?;
    }
    for index in 1..cells.len() as u32 {
        let sign = if index as usize == cells.len() - 1 {
            "="
        } else {
            "×"
        };
        let place = Point {
            x: top.x + cell * index,
            y: baseline,
        };
        write_text(f, place, "soft factor middle", sign)?;
    }
    let verdict = drawing.equations.last().map_or("", String::as_str);
    let place = Point {
        x: top.x + ROOM / 2,
        y: baseline + 2 * LINE + PADDING / 2,
    };
    write_text(f, place, &format!("{class} name middle"), verdict)
}

fn write_wire(f: &mut fmt::Formatter<'_>, from: Point, to: Point) -> fmt::Result {
    let bend = (from.x + to.x) / 2;
    let (x, y) = (to.x - ARROW, to.y);
    writeln!(
        f,
        "<path class=\"wire\" d=\"M{} {}C{bend} {} {bend} {y} {x} {y}\"/>",
        from.x, from.y, from.y
    )
}

fn write_arrow(f: &mut fmt::Formatter<'_>, tip: Point) -> fmt::Result {
    let (x, half) = (tip.x - ARROW, ARROW / 2);
    writeln!(
        f,
        "<path class=\"arrow\" d=\"M{x} {}L{} {}L{x} {}Z\"/>",
        tip.y - half,
        tip.x,
        tip.y,
        tip.y + half
    )
}

fn write_rect(
    f: &mut fmt::Formatter<'_>,
    class: &str,
    Point { x, y }: Point,
    width: u32,
    height: u32,
) -> fmt::Result {
    writeln!(
        f,
        "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"4\"/>"
    )
}

fn write_text(
    f: &mut fmt::Formatter<'_>,
    Point { x, y }: Point,
    class: &str,
    words: &str,
) -> fmt::Result {
    writeln!(
        f,
        "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>",
        Escaped(words)
    )
}

fn sources_height(sources: &Sources) -> u32 {
    let heights = sources.shown().into_iter().map(|shown| match shown {
        Shown::Source(_) => SOURCE_HEIGHT + GAP,
        Shown::LeftOut => DOTS_HEIGHT,
    });
    // None is below the last.
    heights.sum::<u32>() - GAP
}

const fn box_height(lines: u32) -> u32 {
    2 * PADDING + lines * LINE
}

/// Text as the content of an element (XML 1.0 §2.4).
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{
        Question,
        drawing::tests::{drawing, question},
    };

    /// Whether each element is closed where it should be, and text has no character that begins one.
    fn is_well_formed(document: &str) -> bool {
        let mut open = Vec::new();
        let mut rest = document;
        while let Some((text, after)) = rest.split_once('<') {
            let Some((tag, after)) = after.split_once('>') else {
                return false;
            };
            let name = |tag: &str| tag.split_whitespace().next().unwrap_or_default().to_owned();
            if text.contains('>') || tag.matches('"').count() % 2 == 1 {
                return false;
            }
            match tag.strip_prefix('/') {
                Some(closed) if open.pop() != Some(name(closed)) => return false,
                None if !tag.ends_with('/') => open.push(name(tag)),
                _ => {}
            }
            rest = after;
        }
        open.is_empty() && rest.trim().is_empty()
    }

    #[test]
    fn pictures_are_well_formed_and_self_contained() {
        for nat in [None, Some("linux:4"), Some("aws-nlb:37")] {
            for sources in [1, 2, 3, 34, u64::MAX] {
                let drawing = drawing(&Question {
                    nat: nat.map(|nat| nat.parse().expect("a NAT")),
                    ..question(2_000_000, sources)
                });
                let svg = drawing.svg().to_string();
                assert!(is_well_formed(&svg), "{svg}");
                assert!(!svg.contains("<script") && !svg.contains("href"), "{svg}");
                assert_eq!(
                    svg.matches("http").count(),
                    1,
                    "the namespace and nothing else"
                );
            }
        }
    }

    #[test]
    fn words_for_those_who_do_not_see_it() {
        let svg = drawing(&question(2_000_000, 34)).svg().to_string();
        assert!(svg.contains("<title id=\"title\">2,000,000 connections to the server</title>"));
        assert!(svg.contains(
            "<desc id=\"description\">34 source addresses × 64,512 ports × 1 destination = 2,193,408 \
             tuples; enough for 2,000,000 connections.</desc>"
        ));
        assert!(svg.contains("prefers-color-scheme:dark"));
    }

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        let widths = |sources| {
            let svg = drawing(&question(64_512, sources)).svg().to_string();
            let bars = svg.lines().filter(|line| line.contains("class=\"used\""));
            bars.map(|bar| {
                let width = bar.split("width=\"").nth(1).expect("a width");
                width
                    .split('"')
                    .next()
                    .expect("its end")
                    .parse::<u32>()
                    .expect("a number")
            })
            .collect::<Vec<_>>()
        };
        let room = BOX_WIDTH - 2 * PADDING;
        assert_eq!(widths(1), [room]);
        assert_eq!(widths(2), [room / 2; 2]);
        let full = drawing(&question(64_513, 1)).svg().to_string();
        assert!(full.contains("class=\"short\"") && !full.contains("class=\"used\""));
    }

    #[test]
    fn what_begins_an_element_is_escaped() {
        assert_eq!(
            Escaped("<a href=\"x\">&").to_string(),
            "&lt;a href=&quot;x&quot;&gt;&amp;"
        );
        assert!(is_well_formed("<a><b/>x</a>\n"));
        for broken in ["<a>", "<a></b>", "<a>x>y</a>", "<a b=\"></a>", "</a>", "<a"] {
            assert!(!is_well_formed(broken), "{broken}");
        }
    }
}
