//! The picture of a sweep in the terminal: a list of runs above the curves, or the log, of the chosen one.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::{Marker, border};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Cell, Chart, Dataset, GraphType, Paragraph, Row as TableRow, Table, TableState};

use super::overview::{Curves, Overview, Row};

/// Abilities of the terminal that the picture uses.
#[derive(Clone, Copy)]
pub(super) struct Look {
    pub(super) colors: bool,
    pub(super) utf8: bool,
}

/// What is shown of the chosen run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Pane {
    #[default]
    Curves,
    Log,
}

impl Pane {
    /// The other one.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Curves => Self::Log,
            Self::Log => Self::Curves,
        }
    }
}

/// States in the order in which the head counts them.
const STATES: [&str; 6] = ["finished", "running", "failed", "stopped", "interrupted", "missing"];

/// Draws a sweep.
pub(super) fn draw(frame: &mut Frame<'_>, overview: &Overview, pane: Pane, look: Look) {
    let [head, list, details, keys] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(3), Constraint::Fill(2), Constraint::Length(1)])
            .areas(frame.area());
    frame.render_widget(head_line(overview, look), head);
    draw_runs(frame, list, overview, look);
    match pane {
        Pane::Curves if look.utf8 => draw_curves(frame, details, overview, look),
        Pane::Curves => draw_values(frame, details, overview, look),
        Pane::Log => draw_log(frame, details, overview, look),
    }
    let arrows = if look.utf8 { "↑ ↓" } else { "up, down" };
    let other = if pane == Pane::Curves { "log" } else { "curves" };
    let last = match &overview.trouble {
        None => Line::from(format!(" {arrows}: choose a run   tab: {other}   q: quit")),
        Some(trouble) => Line::styled(format!(" not read: {trouble}"), look.of("failed")),
    };
    frame.render_widget(last, keys);
}

/// The name of the sweep, and how many runs are in each state.
fn head_line(overview: &Overview, look: Look) -> Line<'static> {
    let mut spans = vec![Span::styled(format!(" {}", overview.sweep), Modifier::BOLD)];
    for state in STATES {
        let count = overview.count(state);
        if count > 0 {
            spans.push(Span::raw("   "));
            spans.push(Span::styled(format!("{count} {state}"), look.of(state)));
        }
    }
    Line::from(spans)
}

impl Look {
    /// The style of a state.
    fn of(self, state: &str) -> Style {
        if !self.colors {
            return Style::new();
        }
        match state {
            "finished" => Style::new().fg(Color::Green),
            "running" => Style::new().fg(Color::Cyan),
            "failed" => Style::new().fg(Color::Red),
            "stopped" | "interrupted" => Style::new().fg(Color::Yellow),
            _ => Style::new().add_modifier(Modifier::DIM),
        }
    }

    fn block(self, title: String) -> Block<'static> {
        let plain = border::Set {
            top_left: "+",
            top_right: "+",
            bottom_left: "+",
            bottom_right: "+",
            vertical_left: "|",
            vertical_right: "|",
            horizontal_top: "-",
            horizontal_bottom: "-",
        };
        Block::bordered().border_set(if self.utf8 { border::PLAIN } else { plain }).title(title)
    }
}

/// A column of the list of runs.
struct Column {
    name: &'static str,
    cells: Vec<String>,
    /// Whether it holds numbers, which end at its right border.
    numbers: bool,
}

impl Column {
    fn new(name: &'static str, numbers: bool, overview: &Overview, cell: impl Fn(&Row) -> String) -> Self {
        Self { name, cells: overview.rows.iter().map(cell).collect(), numbers }
    }

    /// Width of the widest cell, the name included.
    fn width(&self) -> usize {
        let cells = self.cells.iter().map(String::as_str).chain([self.name]);
        cells.map(|cell| Line::from(cell).width()).max().unwrap_or(0)
    }

    fn alignment(&self) -> Alignment {
        if self.numbers { Alignment::Right } else { Alignment::Left }
    }
}

/// The columns that fit into `width`; those that say least are left out first.
fn columns(overview: &Overview, width: usize) -> Vec<Column> {
    /// Characters of the last column that must stay.
    const LEAST: usize = 24;
    let number = |value: Option<f64>, digits: usize| value.map_or(String::new(), |value| format!("{value:.digits$}"));
    let epoch = |row: &Row| if row.epoch > 0 { row.epoch.to_string() } else { String::new() };
    let mut columns = vec![
        Column::new("state", false, overview, |row| row.state.to_owned()),
        Column::new("row", false, overview, |row| row.label.clone()),
        Column::new("bits", true, overview, |row| row.bits.to_string()),
        Column::new("seed", true, overview, |row| row.seed.to_string()),
        Column::new("epoch", true, overview, epoch),
        Column::new("loss", true, overview, |row| number(row.loss, 4)),
        Column::new("validation", true, overview, |row| number(row.validation, 3)),
    ];
    for name in ["loss", "epoch", "row", "bits", "seed"] {
        if columns.iter().map(|column| column.width() + 1).sum::<usize>() + LEAST > width {
            columns.retain(|column| column.name != name);
        }
    }
    let run = |row: &Row| if row.message.is_empty() { row.id.to_string() } else { row.message.clone() };
    columns.push(Column::new("run", false, overview, run));
    columns
}

fn draw_runs(frame: &mut Frame<'_>, area: Rect, overview: &Overview, look: Look) {
    let columns = columns(overview, usize::from(area.width).saturating_sub(2));
    let line = |(at, row): (usize, &Row)| {
        let cell = |column: &'_ Column| {
            let style = if column.name == "state" { look.of(row.state) } else { Style::new() };
            Cell::from(Line::from(column.cells[at].clone()).alignment(column.alignment())).style(style)
        };
        TableRow::new(columns.iter().map(cell))
    };
    let names = columns.iter().map(|column| Cell::from(Line::from(column.name).alignment(column.alignment())));
    let (_, all_but_last) = columns.split_last().expect("there are columns");
    let widths = all_but_last.iter().map(|column| Constraint::Length(column.width() as u16));
    let title = format!(" {} of {} ", (overview.chosen + 1).min(overview.rows.len()), overview.rows.len());
    let table = Table::new(overview.rows.iter().enumerate().map(line), widths.chain([Constraint::Fill(1)]))
        .header(TableRow::new(names).style(Modifier::BOLD))
        .row_highlight_style(Modifier::REVERSED)
        .block(look.block(title));
    // The table scrolls by itself to keep the chosen line in view.
    frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(overview.chosen));
}

/// What stands in the place of a curve without points.
fn without_points(name: &str, overview: &Overview) -> String {
    match overview.rows.get(overview.chosen) {
        Some(row) if row.state == "finished" => format!("the method has no {name} over epochs"),
        _ => format!("no {name} yet"),
    }
}

/// Loss and validation side by side: their values have no scale in common.
fn draw_curves(frame: &mut Frame<'_>, area: Rect, overview: &Overview, look: Look) {
    let [left, right] = Layout::horizontal([Constraint::Fill(1); 2]).areas(area);
    let color = |color| if look.colors { Style::new().fg(color) } else { Style::new() };
    let curves = &overview.curves;
    for (area, name, points, style) in [
        (left, "loss", &curves.loss, color(Color::Yellow)),
        (right, "validation", &curves.validation, color(Color::Cyan)),
    ] {
        let block = look.block(format!(" {name} "));
        match points.as_slice() {
            [] => frame.render_widget(Paragraph::new(without_points(name, overview)).block(block), area),
            points => draw_curve(frame, area, points, style, block),
        }
    }
}

/// The last values, for a terminal without the characters of which curves are drawn.
fn draw_values(frame: &mut Frame<'_>, area: Rect, overview: &Overview, look: Look) {
    let [left, right] = Layout::horizontal([Constraint::Fill(1); 2]).areas(area);
    let Curves { loss, validation } = &overview.curves;
    for (area, name, points) in [(left, "loss", loss), (right, "validation", validation)] {
        let lines = usize::from(area.height).saturating_sub(2);
        let last = points[points.len().saturating_sub(lines)..].iter();
        let mut text: Vec<Line<'_>> =
            last.map(|(epoch, value)| Line::from(format!("epoch {epoch}: {value:.4}"))).collect();
        if text.is_empty() {
            text.push(Line::from(without_points(name, overview)));
        }
        frame.render_widget(Paragraph::new(text).block(look.block(format!(" {name} "))), area);
    }
}

/// A curve of at least one point.
fn draw_curve(frame: &mut Frame<'_>, area: Rect, points: &[(f64, f64)], style: Style, block: Block<'_>) {
    let (low, high) = points.iter().fold((f64::MAX, f64::MIN), |(low, high), (_, y)| (low.min(*y), high.max(*y)));
    // A curve of equal values is a line in the middle.
    let margin = if high > low { 0.0 } else { low.abs().max(1.0) * 0.1 };
    let (low, high) = (low - margin, high + margin);
    let (first, last) = (points[0].0, points[points.len() - 1].0);
    let span = [first.min(last - 1.0), last];
    let line = Dataset::default().marker(Marker::Braille).graph_type(GraphType::Line).style(style).data(points);
    let x_labels = span.map(|epoch| format!("epoch {epoch:.0}"));
    let y_labels = [low, high].map(|value| format!("{value:.3}"));
    let chart = Chart::new(vec![line])
        .block(block)
        .x_axis(Axis::default().bounds(span).labels(x_labels))
        .y_axis(Axis::default().bounds([low, high]).labels(y_labels));
    frame.render_widget(chart, area);
}

fn draw_log(frame: &mut Frame<'_>, area: Rect, overview: &Overview, look: Look) {
    let title = overview.rows.get(overview.chosen).map_or_else(String::new, |row| format!(" log of {} ", row.id));
    let lines = usize::from(area.height).saturating_sub(2);
    let tail = &overview.log[overview.log.len().saturating_sub(lines)..];
    let text: Vec<Line<'_>> = match tail {
        [] => vec![Line::from("the run has written nothing yet")],
        // A control character of a log could move the cursor.
        lines => lines.iter().map(|line| Line::from(line.replace(char::is_control, " "))).collect(),
    };
    frame.render_widget(Paragraph::new(text).block(look.block(title)), area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::overview::tests::row;
    use super::*;

    fn overview() -> Overview {
        let points = |f: fn(f64) -> f64| (1..=20).map(|epoch| (f64::from(epoch), f(f64::from(epoch)))).collect();
        Overview {
            sweep: "cifar10".to_owned(),
            rows: vec![
                row("cibhash-b64-s0-1f0c2a9b7d3e", "finished", 60),
                row("cibhash-b64-s1-2f0c2a9b7d3e", "running", 20),
                row("cibhash-b64-s2-3f0c2a9b7d3e", "failed", 3),
                row("cibhash-b64-s3-4f0c2a9b7d3e", "missing", 0),
            ],
            chosen: 1,
            curves: Curves { loss: points(|x| 3.0 / x), validation: points(|x| 1.0 - 1.0 / x) },
            log: vec!["first line".to_owned(), "a bell\u{7} and an escape\u{1b}[2J".to_owned()],
            trouble: None,
        }
    }

    fn drawn(overview: &Overview, size: (u16, u16), pane: Pane, utf8: bool) -> String {
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        let look = Look { colors: false, utf8 };
        terminal.draw(|frame| draw(frame, overview, pane, look)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let cells: Vec<&str> = buffer.content().iter().map(|cell| cell.symbol()).collect();
        cells.chunks(usize::from(size.0)).map(|line| line.concat().trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn runs_and_curves() {
        insta::assert_snapshot!(drawn(&overview(), (100, 30), Pane::Curves, true));
    }

    #[test]
    fn a_terminal_without_utf8() {
        let pictures = [Pane::Curves, Pane::Log].map(|pane| drawn(&overview(), (80, 20), pane, false));
        assert!(pictures.iter().all(|text| text.is_ascii()), "{pictures:?}");
        insta::assert_snapshot!(pictures.concat());
    }

    #[test]
    fn numbers_are_whole_or_left_out() {
        let mut overview = overview();
        overview.rows[0].seed = 123_456_789;
        assert!(drawn(&overview, (100, 20), Pane::Log, true).contains(" 123456789 "));
        let narrow = drawn(&overview, (45, 20), Pane::Log, true);
        assert!(narrow.contains("validation run") && narrow.contains("cibhash-b64-s0"), "{narrow}");
        assert!(!narrow.contains("6789"), "{narrow}");
    }

    #[test]
    fn a_reading_that_failed_is_named() {
        let mut overview = overview();
        overview.trouble = Some("the disk is away".to_owned());
        assert!(drawn(&overview, (80, 20), Pane::Log, true).contains("not read: the disk is away"));
    }

    #[test]
    fn every_size_and_state_is_drawn() {
        let mut without_curves = overview();
        without_curves.curves = Curves::default();
        let mut flat = overview();
        flat.curves = Curves { loss: vec![(1.0, 2.0)], validation: vec![(1.0, 0.5), (2.0, 0.5)] };
        for overview in [&Overview::default(), &without_curves, &flat, &overview()] {
            for size in [(1, 1), (5, 3), (40, 8), (200, 60)] {
                drawn(overview, size, Pane::Curves, true);
                drawn(overview, size, Pane::Log, true);
            }
        }
    }
}
