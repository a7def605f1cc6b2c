//! The picture in text.
//!
//! ```text
//!  ┌──────────┐
//!  │ source 1 ├──┐
//!  └──────────┘  │   ┌────────┐
//!                ├──►│ server │
//!  ┌──────────┐  │   └────────┘
//!  │ source 2 ├──┘
//!  └──────────┘
//! ```

use std::fmt;

use super::{Drawing, Shown, Sources};
use crate::plan::text::{cut, wrap};

/// Columns of a picture.
const WIDTH: usize = 78;

/// Characters of a line inside a box; three boxes and the wires between them make [`WIDTH`].
const TEXT_WIDTH: usize = 18;

/// Columns of a box: a border and a blank on either side.
const BOX_WIDTH: usize = TEXT_WIDTH + 4;

/// Columns of the wires between two boxes.
const WIRE_WIDTH: usize = 6;

const _: () = assert!(3 * BOX_WIDTH + 2 * WIRE_WIDTH <= WIDTH);

/// A page of characters.
struct Canvas {
    rows: Vec<Vec<char>>,
}

/// A box and the lines in it.
struct Frame {
    lines: Vec<String>,
}

impl Canvas {
    fn new(height: usize) -> Self {
        Self {
            rows: vec![vec![' '; WIDTH]; height],
        }
    }

    fn put(&mut self, x: usize, y: usize, text: &str) {
        for (place, character) in self.rows[y][x..].iter_mut().zip(text.chars()) {
            *place = character;
        }
    }

    /// Draws `frame` around the row `middle`.
    fn frame(&mut self, x: usize, middle: usize, frame: &Frame) {
        let edge = "─".repeat(BOX_WIDTH - 2);
        let top = middle - frame.height() / 2;
        self.put(x, top, &format!("┌{edge}┐"));
        for (index, line) in frame.lines.iter().enumerate() {
            self.put(x, top + 1 + index, &format!("│ {line:<TEXT_WIDTH$} │"));
        }
        self.put(x, top + 1 + frame.lines.len(), &format!("└{edge}┘"));
    }

    /// Draws wires that come from the boxes at the rows `from`, meet, and go on at the row `to`.
    fn wires(&mut self, x: usize, from: &[usize], to: usize) {
        let trunk = x + WIRE_WIDTH / 2 - 1;
        let rows = from.iter().copied().chain([to]);
        let (top, bottom) = rows.fold((to, to), |(top, bottom), row| {
            (top.min(row), bottom.max(row))
        });
        for row in top..=bottom {
            let is_from = from.contains(&row);
            let wire = joint(row > top, row < bottom, is_from, row == to);
            self.put(trunk, row, &wire.to_string());
            if is_from {
                self.put(x, row, &"─".repeat(trunk - x));
                self.put(x - 1, row, "├");
            }
        }
        let rest = WIRE_WIDTH - (trunk - x) - 2;
        self.put(trunk + 1, to, &format!("{}►", "─".repeat(rest)));
    }
}

impl Frame {
    fn new<'a>(lines: impl IntoIterator<Item = &'a String>) -> Self {
        let lines = lines
            .into_iter()
            .flat_map(|line| wrap(line, TEXT_WIDTH))
            .map(|line| cut(&line, TEXT_WIDTH));
        Self {
            lines: lines.collect(),
        }
    }

    fn height(&self) -> usize {
        self.lines.len() + 2
    }
}

/// The column of source addresses: what is at each row of it.
struct Column {
    /// Boxes by the row in their middle.
    frames: Vec<(usize, Frame)>,
    /// The row of the dots that stand for those left out.
    dots: Option<usize>,
    height: usize,
}

impl Column {
    fn of(sources: &Sources) -> Self {
        let mut column = Self {
            frames: Vec::new(),
            dots: None,
            height: 0,
        };
        for shown in sources.shown() {
            match shown {
                Shown::LeftOut => {
                    column.dots = Some(column.height);
                    column.height += 1;
                }
                Shown::Source(number) => {
                    let name = format!("source {}", crate::Grouped(number));
                    let frame = Frame::new([&name, &sources.ports, &sources.used()]);
                    let middle = column.height + frame.height() / 2;
                    column.height += frame.height();
                    column.frames.push((middle, frame));
                }
            }
        }
        column
    }
}

impl fmt::Display for Drawing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = Column::of(&self.sources);
        let between = self.between.as_ref().map(Frame::new);
        let server = Frame::new(&self.server);
        let between_height = between.as_ref().map_or(0, Frame::height);
        let height = column.height.max(between_height).max(server.height());
        let middle = height / 2;
        let top = middle - column.height / 2;
        let mut canvas = Canvas::new(height);
        let mut ends = Vec::new();
        for (row, frame) in &column.frames {
            canvas.frame(0, top + row, frame);
            ends.push(top + row);
        }
        if let Some(dots) = column.dots {
            canvas.put(BOX_WIDTH / 2, top + dots, "⋮");
        }
        let mut x = BOX_WIDTH;
        for frame in between.iter().chain([&server]) {
            canvas.frame(x + WIRE_WIDTH, middle, frame);
            canvas.wires(x, &ends, middle);
            ends = vec![middle];
            x += WIRE_WIDTH + BOX_WIDTH;
        }
        for row in canvas.rows {
            writeln!(f, "{}", row.iter().collect::<String>().trim_end())?;
        }
        writeln!(f)?;
        let mut lines = self.equations.iter().flat_map(|line| wrap(line, WIDTH));
        lines.try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// The character where wires meet.
const fn joint(up: bool, down: bool, left: bool, right: bool) -> char {
    match (up, down, left, right) {
        (true, true, true, true) => '┼',
        (true, true, true, false) => '┤',
        (true, true, false, true) => '├',
        (true, false, true, true) => '┴',
        (false, true, true, true) => '┬',
        (true, false, true, false) => '┘',
        (false, true, true, false) => '┐',
        (true, false, false, true) => '└',
        (false, true, false, true) => '┌',
        (true, _, false, false) | (false, true, false, false) => '│',
        (false, false, _, _) => '─',
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::{
        Question,
        drawing::tests::{drawing, question},
    };

    #[test]
    fn thirty_four_sources_and_one_port() {
        let drawing = drawing(&Question {
            destinations: Some("10.0.0.1:4000".parse().expect("a destination")),
            ..question(2_000_000, 34)
        });
        let expected = "\
┌────────────────────┐
│ source 1           │
│ ports 1024-65535   ├──┐
│ 58,824 in use      │  │
└────────────────────┘  │
┌────────────────────┐  │   ┌────────────────────┐
│ source 2           │  │   │ 10.0.0.1:4000      │
│ ports 1024-65535   ├──┤   │ one port for all   │
│ 58,824 in use      │  ├──►│ 2,000,000          │
└────────────────────┘  │   │ connections        │
           ⋮            │   └────────────────────┘
┌────────────────────┐  │
│ source 34          │  │
│ ports 1024-65535   ├──┘
│ 58,824 in use      │
└────────────────────┘

34 source addresses × 64,512 ports × 1 destination = 2,193,408 tuples
enough for 2,000,000 connections
";
        assert_eq!(drawing.to_string(), expected, "{drawing}");
    }

    #[test]
    fn a_nat_stands_between() {
        let drawing = drawing(&Question {
            nat: Some("linux:8".parse().expect("a NAT")),
            ..question(60_000, 1)
        });
        let expected = "\
┌────────────────────┐      ┌────────────────────┐      ┌────────────────────┐
│ source 1           │      │ NAT on Linux       │      │ the server         │
│ ports 1024-65535   ├─────►│ 8 addresses        ├─────►│ one port for all   │
│ 60,000 in use      │      │ 64,512 ports each  │      │ 60,000 connections │
└────────────────────┘      └────────────────────┘      └────────────────────┘

1 source address × 64,512 ports × 1 destination = 64,512 tuples
NAT on Linux: 8 addresses × 64,512 ports × 1 destination = 516,096 tuples
enough for 60,000 connections
";
        assert_eq!(drawing.to_string(), expected, "{drawing}");
    }

    proptest! {
        #[test]
        fn no_line_is_too_long(
            connections in 1..=u64::MAX,
            sources in 1..=u64::MAX,
            nat in proptest::option::of(proptest::sample::select(
                vec!["linux:4", "aws-nlb:500", "azure-nat-gateway", "proxy:18446744073709551615"],
            )),
            destinations in proptest::sample::select(
                vec!["10.0.0.1:4000", "[fd00:1234:5678:9abc:def0:1234:5678:9abc]:4000-4015"],
            ),
        ) {
            let drawing = drawing(&Question {
                nat: nat.map(|nat| nat.parse().expect("a NAT")),
                destinations: Some(destinations.parse().expect("a destination")),
                ..question(connections, sources)
            });
            for line in drawing.to_string().lines() {
                prop_assert!(line.chars().count() <= WIDTH, "{}", line);
            }
        }
    }
}
